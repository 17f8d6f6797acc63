"""The entries of a disk cache as rows. What changes them works inside the caller's transaction."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ostinato.caching.stores.front import Pending

Batch = Sequence[tuple[bytes, Pending]]

LEASE_SCHEMA = (
    # Who asks for a key at the moment, until when it is believed to live, and until when somebody follows it.
    """CREATE TABLE IF NOT EXISTS ostinato_leases (
        key BLOB PRIMARY KEY, token BLOB NOT NULL, state INTEGER NOT NULL, until REAL NOT NULL,
        followed REAL NOT NULL, frames INTEGER NOT NULL, drop_at REAL NOT NULL) WITHOUT ROWID""",
    # What it told so far: a row a report, at the position of its first frame.
    """CREATE TABLE IF NOT EXISTS ostinato_live (
        token BLOB NOT NULL, position INTEGER NOT NULL, frames BLOB NOT NULL, PRIMARY KEY (token, position))""",
)
SCHEMA = (
    # The id is the age: the oldest lie together, and removing them frees whole pages. Lookups go through the
    # index, over two 64-bit integers taken from the key; the key itself is compared on every read.
    """CREATE TABLE IF NOT EXISTS ostinato_entries (
        id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, digest INTEGER NOT NULL, expires_at REAL,
        used INTEGER NOT NULL DEFAULT 0, key BLOB NOT NULL, value BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS ostinato_by_key ON ostinato_entries (scope, digest)",
    "CREATE INDEX IF NOT EXISTS ostinato_by_expiry ON ostinato_entries (expires_at) WHERE expires_at IS NOT NULL",
    # How often an entry was replaced or removed: what tells other processes that their memory tier is stale.
    "CREATE TABLE IF NOT EXISTS ostinato_state (generation INTEGER NOT NULL)",
    "INSERT INTO ostinato_state SELECT 0 WHERE NOT EXISTS (SELECT * FROM ostinato_state)",
    *LEASE_SCHEMA,
)

LOOKUP = "SELECT key, value, expires_at FROM ostinato_entries WHERE scope = ? AND digest = ?"
COUNT = "SELECT count(*) FROM ostinato_entries"
GENERATION = "SELECT CAST(coalesce(max(generation), 0) AS INTEGER) FROM ostinato_state"

SCOPE_BYTES = 8
CLEAR_STEP = 2000

integers_of = struct.Struct("<qq").unpack_from
"""Return the two integers that a key is looked up by: of its scope and of its digest."""


class Removal(NamedTuple):
    """What a removal did."""

    rows: int
    alive: int
    """How many of the rows had not expired."""
    generation: int | None
    """The new generation; None when nothing was removed."""


def insert(connection: sqlite3.Connection, batch: Batch) -> bool:
    """Write `batch`. Return whether it replaced anything.

    One statement for all rows: SQLite lets go of the interpreter's lock at each statement, and a busy
    thread beside it takes its time to give it back.
    """
    columns = "INTO ostinato_entries (scope, digest, expires_at, key, value) VALUES"
    rows = ", ".join(["(?, ?, ?, ?, ?)"] * len(batch))
    parameters: list[Any] = []
    for key, (value, expires_at) in batch:
        parameters += (*integers_of(key), expires_at, key, value)
    inserted = connection.execute(f"INSERT OR IGNORE {columns} {rows}", parameters).rowcount
    if inserted == len(batch):
        return False
    connection.execute(f"INSERT OR REPLACE {columns} {rows}", parameters)
    return True


def remove(connection: sqlite3.Connection, key: bytes, now: float) -> Removal:
    """Remove the row of `key`."""
    row = connection.execute(
        "DELETE FROM ostinato_entries WHERE scope = ? AND digest = ? AND key = ? RETURNING expires_at",
        (*integers_of(key), key),
    ).fetchone()
    if row is None:
        return Removal(0, 0, None)
    return Removal(1, int(is_live(row[0], now)), bump(connection))


def remove_some(connection: sqlite3.Connection, scope: bytes, last: int, now: float) -> Removal:
    """Remove some rows of `scope` up to the id `last`; none only when none is left."""
    condition, parameters = within(scope)
    chosen = f"SELECT id FROM ostinato_entries WHERE {condition} AND id <= ? LIMIT {CLEAR_STEP}"  # noqa: S608
    rows = connection.execute(
        f"DELETE FROM ostinato_entries WHERE id IN ({chosen}) RETURNING expires_at",  # noqa: S608
        (*parameters, last),
    ).fetchall()
    alive = sum(is_live(expires_at, now) for (expires_at,) in rows)
    return Removal(len(rows), alive, bump(connection) if rows else None)


def within(scope: bytes) -> tuple[str, tuple[Any, ...]]:
    """Return the condition that a row's key starts with `scope`, and its parameters."""
    if len(scope) == SCOPE_BYTES:
        return "scope = ?", struct.unpack("<q", scope)
    return "substr(key, 1, ?) = ?", (len(scope), scope)


def last_id(connection: sqlite3.Connection) -> int:
    """Return the id of the youngest row, 0 when there is none."""
    last: int = connection.execute("SELECT coalesce(max(id), 0) FROM ostinato_entries").fetchone()[0]
    return last


def is_live(expires_at: object, now: float) -> bool:
    """Return whether a row with this `expires_at` is alive. One that damage made no number is not."""
    return expires_at is None or (isinstance(expires_at, float) and now < expires_at)


def generation_of(connection: sqlite3.Connection) -> int:
    """Return how often a row was replaced or removed."""
    generation: int = connection.execute(GENERATION).fetchone()[0]
    return generation


def bump(connection: sqlite3.Connection) -> int:
    """Note that a row was replaced or removed. Return the new generation."""
    generation = generation_of(connection) + 1
    connection.execute("UPDATE ostinato_state SET generation = ?", (generation,))
    return generation
