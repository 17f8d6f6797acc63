"""The ledger's sums, kept by day, tenant, key and model."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, get_args

from msgspec.structs import astuple, fields

from ostinato.errors import ConfigurationError
from ostinato.ledger.file import LedgerFile
from ostinato.ledger.line import Account, Sum

Part = Literal["day", "tenant", "key_id", "model"]
PARTS: tuple[Part, ...] = get_args(Part)

_COUNTS = tuple(field.name for field in fields(Sum))
_COLUMNS = (*PARTS, *_COUNTS)

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS spend (
    day TEXT NOT NULL, tenant TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in _COUNTS)},
    PRIMARY KEY (day, tenant, key_id, model)
) WITHOUT ROWID;
"""

_ADD = (
    f"INSERT INTO spend ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # our own names
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _COUNTS)}"
)
_THERE = "SELECT 1 FROM spend WHERE day = ? AND tenant = ? AND key_id = ? AND model = ?"
_MODELS = "SELECT COUNT(*) FROM spend WHERE day = ? AND tenant = ? AND key_id = ?"

MOST_MODELS = 500
"""Models that one key has rows of in one day, in all processes: behind a wildcard clients make names up."""
OTHER = "other"
"""The model of all calls beyond."""


def day_of(at: float) -> str:
    """Return the UTC day of a moment, as `2026-11-24`."""
    return _day(at // 86_400)


@lru_cache(8)
def _day(number: float) -> str:
    return datetime.fromtimestamp(number * 86_400, UTC).date().isoformat()


def add_sums(connection: sqlite3.Connection, sums: Mapping[Account, Sum]) -> None:
    """Add `sums` to what is kept, inside the transaction of `connection`."""
    for account, total in sums.items():
        row = astuple(account)
        if not connection.execute(_THERE, row).fetchone():
            (models,) = connection.execute(_MODELS, row[:3]).fetchone()
            if models >= MOST_MODELS:
                row = (*row[:3], OTHER)
        connection.execute(_ADD, (*row, *astuple(total)))


def checked_parts(by: Sequence[str]) -> None:
    """Raises: ConfigurationError: `by` names no part."""
    unknown = [part for part in by if part not in PARTS]
    if unknown:
        raise ConfigurationError(f"spend is summed by {', '.join(PARTS)}, not by {', '.join(map(repr, unknown))}")


def grouped(rows: Iterable[tuple[Account, Sum]], by: Sequence[Part]) -> list[dict[str, Any]]:
    """Return rows summed for each value of `by`, as `spend` does."""
    sums: dict[tuple[str, ...], list[int]] = {} if by else {(): [0] * len(_COUNTS)}
    for account, total in rows:
        value = tuple(getattr(account, part) for part in by)
        before = sums.get(value)
        counts = astuple(total)
        sums[value] = [a + b for a, b in zip(before, counts, strict=True)] if before else list(counts)
    return [dict(zip((*by, *_COUNTS), (*value, *counts), strict=True)) for value, counts in sorted(sums.items())]


def spend(
    file: LedgerFile,
    by: Sequence[Part] = PARTS,
    *,
    since: str = "",
    until: str = "~",
    tenant: str | None = None,
    key_id: str | None = None,
) -> list[dict[str, Any]]:
    """Return the sums of the days from `since` up to `until` (inclusive), a dict for each value of `by`, sorted.

    Raises: ConfigurationError: `by` names no part.
    """
    checked_parts(by)
    where, values = "day >= ? AND day <= ?", [since, until]
    for name, value in (("tenant", tenant), ("key_id", key_id)):
        if value is not None:
            where += f" AND {name} = ?"
            values.append(value)
    group = ", ".join(by)
    sums = ", ".join(f"SUM({name})" for name in _COUNTS)
    query = f"SELECT {group + ', ' if by else ''}{sums} FROM spend WHERE {where}"  # noqa: S608  # checked names
    if by:
        query += f" GROUP BY {group} ORDER BY {group}"
    with file.reading() as connection:
        rows = connection.execute(query, values).fetchall()
    names = (*by, *_COUNTS)
    return [
        {name: value or 0 if name in _COUNTS else value for name, value in zip(names, row, strict=True)} for row in rows
    ]
