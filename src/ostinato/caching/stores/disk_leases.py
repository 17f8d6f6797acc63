"""Leases in the file of a disk cache: rows that its processes write in transactions, and poll while they follow."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from ostinato.caching.stores.leases import DROP_S, LINGER_S, Claimed, Heard, Lead, Live, News, Report, Seen
from ostinato.caching.stores.rows import LEASE_SCHEMA, LOOKUP, Removal, integers_of, is_live, remove
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.disk_file import CacheFile
    from ostinato.caching.stores.disk_writer import Stored, Writer

LEADING, BROKEN, OVER = 0, 1, 2
"""What a lease's `state` says."""
POLL_S = 0.003
SLOW_POLL_S = 0.015
"""How often a process looks for news while it follows: at first, and when none has come for a while."""

STANDING = "SELECT token, state, until, followed FROM ostinato_leases WHERE key = ?"
NEXT = "SELECT position, frames FROM ostinato_live WHERE token = ? AND position >= ? ORDER BY position LIMIT 1"

_encode = msgspec.msgpack.Encoder().encode
_frames_of = msgspec.msgpack.Decoder(list[bytes]).decode
Result = TypeVar("Result")
_never = threading.Event()


class Answer(NamedTuple):
    """What a leader is told, and what came of the entries that it stored."""

    heard: list[Heard]
    stored: Stored | None
    refused: list[tuple[Report, Removal]]
    """Those whose entry was too large, and what became of the one before it: it must not answer in its place."""


class DiskLeases:
    """The leases of one disk store. Who follows polls every 3 to 15 ms: a file rings no bell."""

    gather_s, alone_s = 0.005, 0.05
    live_bytes = 16 * 2**20

    def __init__(
        self, file: CacheFile, writer: Writer, *, lease_s: float, largest_bytes: int, clock: Callable[[], float]
    ) -> None:
        self.lease_s = lease_s
        self.landing: dict[bytes, bytes] = {}
        self._file = file
        self._writer = writer
        self._largest_bytes = largest_bytes
        self._clock = clock
        self._built: sqlite3.Connection | None = None
        self._poll_s = POLL_S

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        return self._run(partial(self._claim, key=key, over=over, again=again))

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        import asyncio  # the caller's loop has loaded it; a program without one never does

        return await asyncio.to_thread(partial(self.claim, key, over=over, again=again))

    def tell(self, reports: Sequence[Report]) -> list[Heard]:
        with self._writer.write_lock:
            answer = self._run(partial(self._tell, reports=reports))
            for report, removal in answer.refused:
                self._file.refuse(len(report.value or b""))
                if removal.generation is not None:
                    self._writer.front.saw(removal.generation - 1, removal.generation)
                self._writer.front.forget(report.key)
            if answer.stored is not None:
                self._writer.took(answer.stored)
                self._writer.front.place(answer.stored.batch)
        return answer.heard

    def follow(self, seen: Sequence[Seen]) -> list[News]:
        now = self._clock()
        news, unmarked = [], []
        for one in seen:
            row = self._file.fetch(STANDING, (one.key,))
            mine = row is not None and row[0] == one.token
            frames = self._frames(one.token, one.position) if mine else []
            news.append(News(frames, gone=not mine or row[1] == BROKEN or (row[1] == LEADING and row[2] < now)))
            if mine and row[3] - now < self.lease_s / 2:
                unmarked.append(one)
        if unmarked:
            with contextlib.suppress(StoreError):  # it is for the leader to know, and said again next time
                self._run(partial(self._mark, unmarked))
        self._poll_s = POLL_S if any(new.frames for new in news) else min(self._poll_s * 1.2, SLOW_POLL_S)
        return news

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        if keys:
            _never.wait(min(seconds, self._poll_s))
        return keys

    def interrupt(self) -> None:
        self._poll_s = POLL_S

    def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one transaction."""
        writer = self._writer
        with writer.write_lock:
            try:
                result = writer.run(partial(self._with_tables, work), create=True)
            except BaseException:
                self._built = None
                raise
        assert result is not None  # noqa: S101  # the file is created where there is none
        return result

    def _with_tables(self, work: Callable[[sqlite3.Connection], Result], connection: sqlite3.Connection) -> Result:
        if connection is not self._built:
            for statement in LEASE_SCHEMA:  # a file that an earlier ostinato made has none
                connection.execute(statement)
            self._built = connection
        return work(connection)

    def _claim(self, connection: sqlite3.Connection, *, key: bytes, over: bool, again: bool) -> Claimed:
        now = self._clock()
        if not over:
            row = connection.execute(LOOKUP, integers_of(key)).fetchone()
            if row is not None and row[0] == key and isinstance(row[1], bytes) and is_live(row[2], now):
                return row[1]
        row = connection.execute(STANDING, (key,)).fetchone()
        if row is not None and ((row[1] == LEADING and now < row[2]) or (row[1] == OVER and again)):
            self._mark([Seen(key, row[0], 0)], connection)
            return Live(key, row[0], self._frames(row[0], 0, connection))
        _purge(connection, key, now)
        token = os.urandom(16)
        inherits = row is not None and row[1] != OVER and row[3] > 0
        followed = now + self.lease_s if inherits else 0.0
        connection.execute(
            "INSERT INTO ostinato_leases (key, token, state, until, followed, frames, drop_at)"
            " VALUES (?, ?, ?, ?, ?, 0, ?)",
            (key, token, LEADING, now + self.lease_s, followed, now + DROP_S),
        )
        return Lead(key, token, last=row is not None and row[1] == BROKEN)

    def _tell(self, connection: sqlite3.Connection, *, reports: Sequence[Report]) -> Answer:
        now = self._clock()
        heard: list[Heard] = []
        batch, refused = [], []
        for report in reports:
            word = self._take(connection, report, now)
            heard.append(word)
            if word == "fenced" or report.value is None:
                continue
            if len(report.value) > self._largest_bytes:
                refused.append((report, remove(connection, report.key, now)))
            else:
                expires_at = None if report.ttl_s is None else now + max(0.0, report.ttl_s)
                batch.append((report.key, (report.value, expires_at)))
        return Answer(heard, self._writer.store(batch, (), connection) if batch else None, refused)

    def _take(self, connection: sqlite3.Connection, report: Report, now: float) -> Heard:
        row = connection.execute(
            "SELECT followed, frames FROM ostinato_leases WHERE key = ? AND token = ? AND state = ?",
            (report.key, report.token, LEADING),
        ).fetchone()
        if row is None:
            return "fenced"
        followed, count = now < row[0], row[1]
        end = report.end
        if end == "dropped" or (end == "released" and not followed) or (end is not None and not row[0]):
            _drop(connection, report.key, report.token)
            return "alone"
        frames = report.frames[count - report.position :]
        if frames:
            connection.execute("INSERT INTO ostinato_live VALUES (?, ?, ?)", (report.token, count, _encode(frames)))
        ends = end is not None and end != "released"
        state = (BROKEN if end == "broken" else OVER) if ends else LEADING
        connection.execute(
            "UPDATE ostinato_leases SET state = ?, frames = ?, until = ?, drop_at = ? WHERE key = ?",
            (
                state,
                count + len(frames),
                now + self.lease_s,
                now + (LINGER_S if ends else DROP_S),
                report.key,
            ),
        )
        return "followed" if followed else "alone"

    def _mark(self, seen: Sequence[Seen], connection: sqlite3.Connection) -> int:
        """Note that these are followed. Return of how many that is so."""
        return connection.executemany(
            "UPDATE ostinato_leases SET followed = ? WHERE key = ? AND token = ?",
            [(self._clock() + self.lease_s, one.key, one.token) for one in seen],
        ).rowcount

    def _frames(self, token: bytes, position: int, connection: sqlite3.Connection | None = None) -> list[bytes]:
        """Return the frames from `position`, where a report began."""
        fetch = self._file.fetch if connection is None else lambda *query: connection.execute(*query).fetchone()
        found: list[bytes] = []
        while (row := fetch(NEXT, (token, position + len(found)))) is not None:
            try:
                found += _frames_of(row[1])
            except (msgspec.DecodeError, TypeError) as exc:
                raise StoreError("a live stream in the disk cache is damaged") from exc
        return found


def _purge(connection: sqlite3.Connection, key: bytes, now: float) -> None:
    """Remove what stands under `key`, and whatever nobody will ask for any more."""
    rows = connection.execute("SELECT key, token FROM ostinato_leases WHERE key = ? OR drop_at < ?", (key, now))
    for dropped, token in rows.fetchall():
        _drop(connection, dropped, token)


def _drop(connection: sqlite3.Connection, key: bytes, token: bytes) -> None:
    connection.execute("DELETE FROM ostinato_leases WHERE key = ?", (key,))
    connection.execute("DELETE FROM ostinato_live WHERE token = ?", (token,))
