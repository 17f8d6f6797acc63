"""Entries on this machine's disk, shared by its processes, with a small memory tier in front."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ostinato.caching.stores.contract import Found, found_until, in_thread
from ostinato.caching.stores.disk_file import CacheFile
from ostinato.caching.stores.disk_leases import DiskLeases
from ostinato.caching.stores.disk_writer import MARKS, Writer
from ostinato.caching.stores.folder import Folder, Identity
from ostinato.caching.stores.forks import renew_after_fork
from ostinato.caching.stores.front import Front
from ostinato.caching.stores.leases import LEASE_S
from ostinato.caching.stores.rows import COUNT, GENERATION, LOOKUP, integers_of, is_live, within
from ostinato.errors import ConfigurationError, StoreError

LOOK_S = 1.0
"""How often a process looks whether others changed the file: what it may answer from memory too long."""
LARGEST_BYTES = 512 * 2**20
"""SQLite takes no value of a gigabyte; half of it leaves room for its row."""
FORK_WAIT_S = 2.0


class DiskStore:
    """A bounded store in one SQLite file, for many threads and processes of one machine.

    `set` returns at once and is written by one thread within 50 ms; this process finds it meanwhile. What
    waits is written at the interpreter's exit, by `flush` and by `close`. More than 64 MB of it are
    written in the caller's thread.

    Up to `near_bytes` of what was set or found stay in memory, too. What another process replaces,
    deletes or clears is answered from there for one second at most, by `clock`; what this process changes
    is changed at once. SQLite keeps half as much for each connection, 2 to 16 MB.

    `max_bytes` bounds the file's pages in use; SQLite's log adds a sixteenth of it, 4 MB at most. What is
    oldest and unused since leaves first.

    Nothing is created before the first `set`. A corrupt file is renamed to `cache.db.corrupt-N`, of which
    the last three are kept. While the file cannot be used, `get` raises `StoreError`, a set is counted as
    dropped and reported by `flush`, and there is a try every five seconds.

    Raises:
        ConfigurationError: The folder is a symlink, another user's, or no folder.
    """

    instant = True
    process_local = False
    fork_rank = 0

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_bytes: int = 4 * 2**30,
        near_bytes: int = 32 * 2**20,
        lease_s: float | None = LEASE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes < 0:
            raise ConfigurationError(f"max_bytes is {max_bytes!r}; give a number of bytes")
        self.max_bytes = max_bytes
        self._folder = Folder(folder)
        complaint = self._folder.complaint()
        if complaint is not None:
            raise ConfigurationError(complaint)
        self._clock = clock
        self._front = Front(near_bytes, clock)
        self._near_get = self._front.near.get
        self._file = CacheFile(self._folder, clock, cached_bytes=near_bytes // 2)
        self._writer = Writer(self._file, self._front, max_bytes=max_bytes, clock=clock)
        self.leases: DiskLeases | None = None
        self._largest_bytes = min(max_bytes, LARGEST_BYTES)
        if lease_s is not None:
            self.leases = DiskLeases(
                self._file, self._writer, lease_s=lease_s, largest_bytes=self._largest_bytes, clock=clock
            )
        self._identity: Identity | None = None
        self._looked_at = self._look_at = 0.0
        self._at_rest = True
        renew_after_fork(self)
        # Runs when the store is collected, and when the interpreter ends.
        weakref.finalize(self, self._writer.close, for_good=True)

    def get(self, key: bytes) -> bytes | None:
        now = self._clock()
        if not self._looked_at <= now < self._look_at:
            self._look_around(now)
        front = self._front
        value: bytes | None = self._near_get(key)
        if value is None:
            epoch = front.epoch
            waiting = front.pending.get(key)
            if waiting is not None:
                value, expires_at = waiting
                return value if expires_at is None or now < expires_at else None
            row = self._file.fetch(LOOKUP, integers_of(key))
            if row is None or row[0] != key:
                return None
            _, value, expires_at = row
            if not isinstance(value, bytes) or (expires_at is not None and not is_live(expires_at, now)):
                return None
            front.fill(key, value, expires_at, epoch)
        if front.filling:
            front.touched.add(key)
        return value

    def find(self, key: bytes) -> Found | None:
        value = self.get(key)
        if value is None:
            return None
        waiting = self._front.pending.get(key)
        if waiting is not None:
            return found_until(*waiting, self._clock())
        row = self._file.fetch(LOOKUP, integers_of(key))
        return None if row is None else found_until(value, row[2], self._clock())

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if len(value) > self._largest_bytes:
            self._file.refuse(len(value))
            self.delete(key)
        elif self._writer.put(key, value, self._expiry(ttl_s)):
            self._writer.relieve()

    def delete(self, key: bytes) -> bool:
        waited = self._front.drop(key)
        try:
            return self._writer.delete(key) or waited
        finally:
            # A reader may have kept what it found before the file was changed.
            self._front.forget(key)

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        now = self._clock()
        waiting = self._front.waiting(scope)
        for key, (value, expires_at) in waiting.items():
            if expires_at is None or now < expires_at:
                yield key, value
        # One row a query: no reader is held while the caller thinks. `+` keeps SQLite from sorting by the index.
        condition, parameters = within(scope)
        sql = (
            "SELECT id, key, value, expires_at FROM ostinato_entries"  # noqa: S608
            f" WHERE id > ? AND +{condition} ORDER BY id LIMIT 1"
        )
        seen = set(waiting)
        row = self._file.fetch(sql, (0, *parameters))
        while row is not None:
            last, key, value, expires_at = row
            # An entry that is used moves to the young end, and would be met again.
            if key not in seen and isinstance(key, bytes) and isinstance(value, bytes) and is_live(expires_at, now):
                seen.add(key)
                yield key, value
            row = self._file.fetch(sql, (last, *parameters))

    def clear(self, scope: bytes = b"") -> int:
        try:
            return self._writer.clear(scope)
        finally:
            self._front.forget_scope(scope)

    def flush(self) -> None:
        self._writer.flush()

    def stats(self) -> dict[str, Any]:
        entries = used_bytes = 0
        problem = None
        try:
            row = self._file.fetch(COUNT)
            if row is not None:
                entries = row[0]
                pages, free, page_bytes = (
                    self._file.fetch(f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count", "page_size")
                )
                used_bytes = (pages - free) * page_bytes
        except StoreError as exc:
            problem = str(exc)
        front = self._front.stats()
        return {
            "entries": entries + front["pending"],
            "bytes": used_bytes + front["pending_bytes"],
            "max_bytes": self.max_bytes,
            "evictions": self._writer.evictions,
            "expirations": self._writer.expirations,
            "errors": self._file.errors,
            "dropped": self._writer.dropped,
            "oversized": self._file.oversized,
            "file_bytes": self._folder.file_bytes(),
            "problem": problem,
            **front,
        }

    def close(self) -> None:
        self._writer.close()
        self._front.forget_scope()

    async def aget(self, key: bytes) -> bytes | None:
        return self.get(key)

    async def afind(self, key: bytes) -> Found | None:
        return self.find(key)

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if len(value) > self._largest_bytes:
            self._file.refuse(len(value))
            await self.adelete(key)
        elif self._writer.put(key, value, self._expiry(ttl_s)):
            await in_thread(self._writer.relieve)

    async def adelete(self, key: bytes) -> bool:
        return await in_thread(self.delete, key)

    async def aclear(self, scope: bytes = b"") -> int:
        return await in_thread(self.clear, scope)

    async def aclose(self) -> None:
        await in_thread(self.close)

    def before_fork(self) -> None:
        self._writer.write_lock.acquire()
        self._writer.disconnect()
        self._file.open_lock.acquire()
        # SQLite's locks do not survive a fork, and a child must not even close what its parent opened.
        self._at_rest = self._file.close_readers(FORK_WAIT_S)
        self._front.lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._front.renew()
            self._file.renew(at_rest=self._at_rest)
            self._writer.renew()
        else:
            self._front.lock.release()
            self._file.open_lock.release()
            self._writer.write_lock.release()

    def _expiry(self, ttl_s: float | None) -> float | None:
        if ttl_s is None:
            return None
        # Never NaN: SQLite keeps it as NULL, which would be forever.
        return self._clock() + max(0.0, ttl_s)

    def _look_around(self, now: float) -> None:
        """Let go of what is near if another process replaced the file, or an entry in it."""
        self._looked_at, self._look_at = now, now + LOOK_S
        front = self._front
        try:
            identity = self._file.watch()
            if self._identity is not None and identity != self._identity:
                front.forget_scope()
            self._identity = identity
            if identity is None:
                return
            front.filling = self._folder.file_bytes() * 2 > self.max_bytes
            row = self._file.fetch(GENERATION)
            if row is not None:
                front.saw(row[0], row[0])
        except StoreError:
            # It is counted; a file that cannot be read cannot have been changed either.
            return
        if len(front.touched) >= MARKS:
            self._writer.wake()
