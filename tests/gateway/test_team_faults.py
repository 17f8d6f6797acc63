"""What callers see when the file of keys and money is locked, broken, full or shut."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from ostinato.gateway.books import Books
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import Serving, config_for
from tests.gateway.test_team import MASTER, WITH_MASTER, ask, bearer, key, spend


class Team:
    """A gateway with its books, on a clock that the test moves."""

    def __init__(self, emulator: Emulator, path: Path) -> None:
        self.path = path
        self.clock = ManualClock()
        self.serving = Serving(config_for(emulator, WITH_MASTER), books=Books(path, clock=self.clock))


@pytest.fixture
def team(emulator: Emulator, tmp_path: Path) -> Iterator[Team]:
    team = Team(emulator, tmp_path / "gateway.db")
    with team.serving:
        yield team


@pytest.fixture
def http(team: Team) -> Iterator[httpx2.Client]:
    # Less than SQLite is waited for elsewhere: who is made to wait for the file breaks off.
    with httpx2.Client(base_url=team.serving.url, timeout=4) as client:
        yield client


def spoil(path: Path) -> None:
    for file in path.parent.iterdir():
        if file.name.startswith(path.name):
            file.write_bytes(b"\xa5" * file.stat().st_size)


def test_a_locked_file_keeps_nobody_waiting_and_loses_nothing(team: Team, http: httpx2.Client) -> None:
    free, limited = key(http, id="free"), key(http, id="limited", budget_usd=0.01)
    assert {ask(http, free).status_code, ask(http, limited).status_code} == {200}
    with closing(sqlite3.connect(team.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        never = threading.Event()
        statuses = []
        for number in range(12):
            statuses.append(ask(http, free, f"call {number}").status_code)
            never.wait(0.05)
        refused = [ask(http, limited, f"paid {number}") for number in range(8)]
        other.rollback()
    team.clock.advance(3)

    assert statuses == [200] * 12
    assert [answer.status_code for answer in refused][-1] == 503
    assert "gateway.db" not in refused[-1].text
    assert ask(http, limited, "and on").status_code == 200
    assert {row["key_id"]: row["calls"] - row["errors"] for row in spend(http, "key_id")} == {
        "free": 13,
        "limited": 2 + sum(answer.status_code == 200 for answer in refused),
    }


def test_a_broken_file_is_a_clear_503_for_who_may_not_spend_and_nothing_to_others(
    team: Team, http: httpx2.Client
) -> None:
    free, paying, rated = key(http, id="free"), key(http, id="paying", budget_usd=1), key(http, id="rated", rpm=3)
    ask(http, free)
    spoil(team.path)
    team.clock.advance(1)
    told = {name: ask(http, secret, name) for name, secret in (("free", free), ("paying", paying), ("?", "sk-ost-no"))}

    assert {name: answer.status_code for name, answer in told.items()} == {"free": 200, "paying": 503, "?": 503}
    assert [ask(http, rated).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert not any(str(team.path.parent) in answer.text for answer in told.values())
    assert ask(http, MASTER).status_code == 200
    for path in ("/spend", "/key/list"):
        assert http.get(path, headers=bearer(MASTER)).status_code == 503
    assert http.post("/key/generate", json={}, headers=bearer(MASTER)).status_code == 503
    assert http.get("/health/readiness").json()["books"] == "cannot be used"
    assert "cannot be used" in http.get("/health", headers=bearer(MASTER)).json()["books"]["problem"]
