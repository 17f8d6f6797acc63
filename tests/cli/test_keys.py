from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ostinato.cli.main import cli
from ostinato.gateway.books import Books


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


def run(*words: Any) -> Result:
    return CliRunner().invoke(cli, ["keys", *map(str, words)], env={"COLUMNS": "200"})


def test_a_key_is_made_listed_and_revoked(ledger: Path) -> None:
    made = run("create", "a", "--tenant", "t", "--model", "m", "--model", "x/*", "--rpm", 5, "--ledger", ledger)
    secret = made.stdout.strip()
    found = Books(ledger).ring.find(secret)

    assert found is not None
    assert (found.tenant, found.models, found.rpm) == ("t", ("m", "x/*"), 5)
    listed = run("list", "--ledger", ledger).stdout
    assert "m x/*" in listed
    assert secret not in listed
    assert "revoked" in run("revoke", "a", "--ledger", ledger).stdout
    assert Books(ledger).ring.find(secret) is None
    assert "revoked" in run("list", "--ledger", ledger).stdout


def test_keys_are_listed_as_json_a_line_each(ledger: Path) -> None:
    run("create", "a", "--budget", 2.5, "--budget-period", "day", "--days", 1, "--ledger", ledger)
    run("create", "b", "--control", "ttl", "--ledger", ledger)
    rows = [json.loads(line) for line in run("list", "--json", "--ledger", ledger).stdout.splitlines()]

    assert [row["id"] for row in rows] == ["a", "b"]
    assert (rows[0]["budget_usd"], rows[0]["budget_period"]) == (2.5, "day")
    assert rows[0]["expires_at"] - rows[0]["created_at"] == pytest.approx(86_400, abs=1)
    assert rows[1]["allowed_cache_controls"] == ["ttl"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "a/b"], "the id of a key"),
        (["create", "a", "--control", "tl"], "no cache control 'tl'"),
        (["revoke", "nobody"], "there is no key 'nobody'"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(ledger: Path, words: list[str], said: str) -> None:
    ran = run(*words, "--ledger", ledger)

    assert ran.exit_code == 1
    assert said in ran.stderr
    assert "Traceback" not in ran.output


def test_to_list_or_revoke_makes_no_file_that_was_not_there(ledger: Path) -> None:
    listed = run("list", "--json", "--ledger", ledger)
    revoked = run("revoke", "a", "--ledger", ledger)

    assert (listed.exit_code, listed.stdout) == (0, "")
    assert revoked.exit_code == 1
    assert "is not there yet" in listed.stderr
    assert list(ledger.parent.iterdir()) == []
