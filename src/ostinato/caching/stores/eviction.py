"""What leaves the file of a disk cache, and in which order. Every function works inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

MOVE = "UPDATE ostinato_entries SET used = 0, id = (SELECT max(id) + 1 FROM ostinato_entries) WHERE id = ?"

ROW_OVERHEAD = 150
"""Bytes that an entry takes in table and index beside its value, roughly."""
STEP = 32
"""Rows looked at together."""
MOST_STEPS = 64
MOST_MOVED = 256
"""How many used entries one transaction moves to the young end before it takes used ones as well."""
PURGE_STEP = 500
SHRINK_PAGES = 64
SHRINK_BYTES = 32 * 2**20
"""A file is rewritten smaller only when what it still holds is no more than this."""


def pages_of(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the file's pages, those of them that are free, and the bytes of one."""
    return (
        connection.execute("PRAGMA page_count").fetchone()[0],
        connection.execute("PRAGMA freelist_count").fetchone()[0],
        connection.execute("PRAGMA page_size").fetchone()[0],
    )


def make_room(connection: sqlite3.Connection, incoming_bytes: int, max_bytes: int) -> int:
    """Remove the oldest entries until `incoming_bytes` more fit into `max_bytes`. Return how many left.

    An old entry that was used since it came gets a second chance: it moves to the young end. That is
    nearly the least recently used order, for one write an entry and lap instead of one a read.
    """
    evicted = moved = 0
    for _ in range(MOST_STEPS):
        pages, free, page_bytes = pages_of(connection)
        excess = (pages - free) * page_bytes + incoming_bytes - max_bytes
        if excess <= 0:
            break
        rows = connection.execute(
            "SELECT id, used, coalesce(length(value), 0) FROM ostinato_entries ORDER BY id LIMIT ?", (STEP,)
        ).fetchall()
        if not rows:
            break
        last = 0
        for row_id, used, size in rows:
            last = row_id
            if used and moved < MOST_MOVED:
                moved += 1
                connection.execute(MOVE, (row_id,))
                continue
            excess -= size + ROW_OVERHEAD
            if excess <= 0:
                break
        evicted += connection.execute("DELETE FROM ostinato_entries WHERE id <= ?", (last,)).rowcount
    return evicted


def mark_used(connection: sqlite3.Connection, keys: Iterable[tuple[int, int]]) -> None:
    """Give the entries of `keys` a second chance, as far as they are in the older half."""
    connection.executemany(
        "UPDATE ostinato_entries SET used = 1 WHERE scope = ? AND digest = ? AND used = 0 AND id <"
        " (SELECT (min(id) + max(id)) / 2 FROM ostinato_entries)",
        keys,
    )


def purge(connection: sqlite3.Connection, now: float) -> int:
    """Remove up to `PURGE_STEP` entries that have expired. Return how many there were."""
    return connection.execute(
        "DELETE FROM ostinato_entries WHERE id IN"
        " (SELECT id FROM ostinato_entries WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, PURGE_STEP),
    ).rowcount


def worth_shrinking(connection: sqlite3.Connection) -> bool:
    """Return whether most of the file is free and the rest is little to rewrite."""
    pages, free, page_bytes = pages_of(connection)
    used = pages - free
    return free > max(used, SHRINK_PAGES) and used * page_bytes <= SHRINK_BYTES
