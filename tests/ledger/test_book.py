from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ostinato.errors import ConfigurationError
from ostinato.ledger.book import SCHEMA, add_sums, day_of, spend
from ostinato.ledger.file import LedgerFile
from ostinato.ledger.line import Account, Line, Sum, summed


def line(**said: object) -> Line:
    return Line(**{"at": 0.0, "tenant": "t", "key_id": "k", "model": "m", "outcome": "miss", **said})  # type: ignore[arg-type]


def kept(folder: Path, *lines: tuple[str, Line]) -> LedgerFile:
    file = LedgerFile(folder / "gateway.db", SCHEMA)
    with file.transaction() as connection:
        add_sums(connection, summed(lines))
    return file


def test_lines_are_summed_by_day_tenant_key_and_model() -> None:
    lines = [
        ("2026-01-01", line(cost_pico=5, uncached=1, read=2, written=3, output=4)),
        ("2026-01-01", line(outcome="hit", saved_pico=5)),
        ("2026-01-01", line(outcome="shared", saved_pico=5)),
        ("2026-01-01", line(outcome="error")),
        ("2026-01-01", line(cost_pico=None)),
        ("2026-01-02", line(prompt_saved_pico=-2)),
    ]

    assert summed(lines) == {
        Account("2026-01-01", "t", "k", "m"): Sum(5, 1, 1, 1, 1, 1, 2, 3, 4, 5, 10, 0),
        Account("2026-01-02", "t", "k", "m"): Sum(calls=1, prompt_saved_pico=-2),
    }


def test_sums_add_up_over_writers_and_restarts(tmp_path: Path) -> None:
    def write() -> None:
        for _ in range(20):
            kept(tmp_path, ("2026-01-01", line(cost_pico=10**15)))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (row,) = spend(LedgerFile(tmp_path / "gateway.db", SCHEMA), ["tenant"])

    assert (row["tenant"], row["calls"], row["cost_pico"]) == ("t", 80, 80 * 10**15)


def test_spend_is_asked_by_part_and_by_day(tmp_path: Path) -> None:
    file = kept(
        tmp_path,
        ("2026-01-01", line(cost_pico=1)),
        ("2026-01-02", line(cost_pico=2, model="n")),
        ("2026-01-03", line(cost_pico=4, tenant="u", key_id="l")),
    )

    assert [(row["model"], row["cost_pico"]) for row in spend(file, ["model"])] == [("m", 5), ("n", 2)]
    assert [row["cost_pico"] for row in spend(file, ["day"], since="2026-01-02", until="2026-01-02")] == [2]
    assert [row["cost_pico"] for row in spend(file, [], tenant="t")] == [3]
    assert [row["cost_pico"] for row in spend(file, [], key_id="l")] == [4]
    assert [row["cost_pico"] for row in spend(file, [], tenant="nobody")] == [0]
    assert len(spend(file)) == 3


@pytest.mark.parametrize("part", ["cost_pico", "day; DROP TABLE spend", ""])
def test_spend_is_asked_by_no_other_part(tmp_path: Path, part: str) -> None:
    with pytest.raises(ConfigurationError, match="is summed by day, tenant, key_id, model"):
        spend(kept(tmp_path), [part])  # type: ignore[list-item]


def test_an_error_in_a_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    file = kept(tmp_path, ("2026-01-01", line(cost_pico=1)))
    with pytest.raises(ZeroDivisionError), file.transaction() as connection:  # noqa: PT012  # what it undoes
        add_sums(connection, summed([("2026-01-01", line(cost_pico=9))]))
        raise ZeroDivisionError

    assert [row["cost_pico"] for row in spend(file, [])] == [1]


def test_a_day_is_utc() -> None:
    assert (day_of(0), day_of(86_399.9), day_of(86_400)) == ("1970-01-01", "1970-01-01", "1970-01-02")
