"""The books of a gateway in one SQLite file, which the processes of a machine share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ostinato.gateway.vault import GRANT_LIFE_S, Ask, Batch, Keys
from ostinato.ledger import book
from ostinato.ledger.book import Part, add_sums
from ostinato.ledger.file import LedgerFile

QUICK_S = 0.2
"""How long calls wait for a file that another process holds: it is everybody who waits."""

SCHEMA = (
    book.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, said BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
INSERT OR IGNORE INTO changes VALUES (1, 0);
CREATE TABLE IF NOT EXISTS spent (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, span TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grants (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, span TEXT NOT NULL, worker TEXT NOT NULL,
    amount INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (key_id, kind, worker)
) WITHOUT ROWID;
"""
)

_SPENT = "SELECT amount FROM spent WHERE key_id = ? AND kind = ? AND span = ?"
_GRANTED = """
SELECT COALESCE(SUM(amount), 0), COUNT(*) FROM grants
WHERE key_id = ? AND kind = ? AND span = ? AND worker <> ? AND at > ?
"""
_SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    amount = CASE WHEN span = excluded.span THEN amount + excluded.amount
             WHEN span < excluded.span THEN excluded.amount ELSE amount END,
    span = MAX(span, excluded.span)
"""
_KEEP = "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)"
_CHANGED = "UPDATE changes SET number = number + 1"


class FileVault:
    """A vault in one file. What calls wait for goes over a connection of its own, which waits for nobody long."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = LedgerFile(path, SCHEMA)
        self._quick = LedgerFile(path, SCHEMA, busy_timeout_s=QUICK_S)
        self.where = str(self._file.path)

    def is_absent(self) -> bool:
        """Return whether there is no such file: whoever asks it anything else makes it."""
        return not os.path.lexists(self.where)

    def keys(self, unless: bytes | None = None) -> Keys | None:
        with self._quick.reading() as connection:
            mark = b"%d" % connection.execute("SELECT MAX(number) FROM changes").fetchone()[0]
            if mark == unless:
                return None
            return Keys(mark, connection.execute("SELECT digest, said FROM keys").fetchall())

    def add_key(self, key_id: str, digest: bytes, said: bytes) -> bool:
        with self._file.transaction() as connection:
            added = connection.execute("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", (key_id, digest, said)).rowcount
            if added:
                connection.execute(_CHANGED)
        return bool(added)

    def change_key(self, key_id: str, said: bytes) -> bool:
        with self._file.transaction() as connection:
            changed = connection.execute("UPDATE keys SET said = ? WHERE id = ?", (said, key_id)).rowcount
            if changed:
                connection.execute(_CHANGED)
        return bool(changed)

    def grant(self, ask: Ask) -> int | None:
        limit = (ask.limit.key_id, ask.limit.kind, ask.limit.span)
        with self._quick.transaction() as connection:
            row = connection.execute(_SPENT, limit).fetchone()
            others = connection.execute(_GRANTED, (*limit, ask.worker, ask.at - GRANT_LIFE_S)).fetchone()
            left = ask.granted(0 if row is None else row[0], *others)
            if left is None:
                return None
            connection.execute(_KEEP, (*limit, ask.worker, left + ask.owed, ask.at))
        return left

    def settle(self, batch: Batch, *, patient: bool = False) -> None:
        file = self._file if patient else self._quick
        with file.transaction() as connection:
            add_sums(connection, batch.sums)
            for taken in batch.taken:
                limit = (taken.limit.key_id, taken.limit.kind, taken.limit.span)
                if taken.spent:
                    connection.execute(_SPEND, (*limit, taken.spent))
                connection.execute(_KEEP, (*limit, batch.worker, taken.left, batch.at))
            connection.execute("DELETE FROM grants WHERE amount = 0 OR at <= ?", (batch.at - GRANT_LIFE_S,))

    def spend(self, by: Sequence[Part], **within: Any) -> list[dict[str, Any]]:
        return book.spend(self._file, by, **within)

    def close(self) -> None:
        self._quick.close()
        self._file.close()
