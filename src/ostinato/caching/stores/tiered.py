"""Two stores as one: a fast one of this process in front of one that many share."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from ostinato.caching.stores.contract import Dating, Found, Store, in_thread
from ostinato.caching.stores.forks import renew_after_fork
from ostinato.caching.stores.leases import Leasing
from ostinato.caching.stores.tiered_leases import TieredLeases
from ostinato.errors import StoreError

LOOK_S = 1.0
"""How often a process looks whether others changed something: what it may answer from its fast tier too long."""
SCOPE_BYTES = 8
MARK = sha256(b"ostinato tiers").digest()
"""What a scope's mark is kept under, behind the scope."""
NO_ENTRY = b"F"
"""What a mark starts with: who looks at the shared store alone sees that it is no entry."""
MOST_MISSED = 10_000


class TieredStore:
    """A fast store in front of a shared one. Whatever is here is in the shared one, or on its way there.

    A scope has a mark in the shared store, with 16 bytes of chance. Whoever removes something or replaces it writes
    another; whoever clears the scope, with tiers or without, removes it. A process looks at the mark when it is
    asked, once a second by `clock`, and lets its fast tier go of the scope when the mark is another or gone. So
    what one process removes is answered by others for one second at most, beside what the shared store itself
    may add; while the mark cannot be read, the fast tier is not asked.

    An entry stays in the fast tier as long as it would live in the shared one; a second where that cannot say.
    """

    fork_rank = -1

    def __init__(self, fast: Store, shared: Store, *, clock: Callable[[], float] = time.time) -> None:
        self.fast = fast
        self.shared = shared
        self.instant = fast.instant and shared.instant
        self.process_local = fast.process_local and shared.process_local
        self.fast_errors = 0
        self._clock = clock
        self._marks: dict[bytes, bytes | None] = {}
        """By scope, as last read; never as written: a word of ours may go over another's, and must be seen, too."""
        self._marked: set[bytes] = set()
        """Scopes that have a mark in the shared store, which counts it as an entry."""
        self._unsent: set[bytes] = set()
        """Scopes whose mark we wrote and which may still wait, hiding what stands in the shared store."""
        self._look_at: dict[bytes, tuple[float, float]] = {}
        """From when to when the fast tier may answer for a scope."""
        self._epoch = 0
        self._missed: OrderedDict[bytes, None] = OrderedDict()
        """What was asked for and not found: what is set there replaces nothing."""
        self._lock = threading.RLock()
        leases = shared.leases if isinstance(shared, Leasing) else None
        self.leases = None if leases is None else TieredLeases(leases, self._settle)
        renew_after_fork(self)

    def get(self, key: bytes) -> bytes | None:
        if self._is_due(key):
            if self._has_unsent(key):
                self.shared.flush()
            self._saw(key, self.shared.get(_mark_of(key)))
        value = self._fast_get(key)
        if value is not None:
            return value
        epoch = self._epoch
        return self._fill(key, self.find(key), epoch)

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self.shared.set(key, value, ttl_s)
        self._settle(key, value, ttl_s)

    def delete(self, key: bytes) -> bool:
        try:
            there = self._fast_delete(key)
            there = self.shared.delete(key) or there
            self._announce(key)
            if there:
                self.shared.flush()
        finally:
            # Again: a reader may have kept what it found before.
            self._fast_delete(key)
        return there

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key, value in self.shared.scan(scope):
            if key[SCOPE_BYTES:] != MARK:
                yield key, value

    def clear(self, scope: bytes = b"") -> int:
        try:
            marks = sum(self.shared.get(mark) is not None for mark in self._marks_within(scope))
            count = self.shared.clear(scope) - marks
            if len(scope) >= SCOPE_BYTES:
                self._announce(scope)
            else:
                # A mark that another process set meanwhile, having kept what was not yet cleared, goes as well.
                self.shared.clear(scope)
                self._marked = {marked for marked in list(self._marked) if not marked.startswith(scope)}
            self.shared.flush()
        finally:
            self._forget(scope)
        return count

    def flush(self) -> None:
        self.fast.flush()
        self.shared.flush()

    def stats(self) -> dict[str, Any]:
        shared = self.shared.stats()
        return {
            **shared,
            "entries": max(shared["entries"] - len(self._marked), 0),
            "fast": self.fast.stats(),
            "fast_errors": self.fast_errors,
        }

    def close(self) -> None:
        self.fast.close()
        self.shared.close()

    def find(self, key: bytes) -> Found | None:
        if isinstance(self.shared, Dating):
            return self.shared.find(key)
        return _undated(self.shared.get(key))

    async def aget(self, key: bytes) -> bytes | None:
        if self._is_due(key):
            if self._has_unsent(key):
                await in_thread(self.shared.flush)
            self._saw(key, await self.shared.aget(_mark_of(key)))
        value = await self._fast_aget(key)
        if value is not None:
            return value
        epoch = self._epoch
        return self._fill(key, await self.afind(key), epoch)

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        await self.shared.aset(key, value, ttl_s)
        self._settle(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        return await in_thread(self.delete, key)

    async def aclear(self, scope: bytes = b"") -> int:
        return await in_thread(self.clear, scope)

    async def aclose(self) -> None:
        await self.fast.aclose()
        await self.shared.aclose()

    async def afind(self, key: bytes) -> Found | None:
        if isinstance(self.shared, Dating):
            return await self.shared.afind(key)
        return _undated(await self.shared.aget(key))

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._lock = threading.RLock()
        else:
            self._lock.release()

    # The mark of a scope.

    def _is_due(self, key: bytes) -> bool:
        since, until = self._look_at.get(key[:SCOPE_BYTES], (0.0, 0.0))
        return not since <= self._clock() < until

    def _has_unsent(self, key: bytes) -> bool:
        """Return whether a mark of ours has to be sent before that of the shared store can be read."""
        scope = key[:SCOPE_BYTES]
        if scope not in self._unsent:
            return False
        # Before it is sent: one that is written meanwhile has to be sent once more.
        self._unsent.discard(scope)
        return True

    def _saw(self, key: bytes, mark: bytes | None) -> None:
        """Take note of a scope's mark; let the fast tier go of the scope when it is not the one that was known."""
        scope = key[:SCOPE_BYTES]
        with self._lock:
            if mark is None or mark != self._marks.get(scope):
                self._forget(scope)
            if mark is None:
                # There has to be one: its end is how a scope that was cleared is known by.
                self._announce(scope)
            self._marks[scope] = None if scope in self._unsent else mark
            self._marked.add(scope)
            now = self._clock()
            self._look_at[scope] = (now, now + LOOK_S)

    def _announce(self, key: bytes) -> None:
        """Have every process let go of a scope: others at their next look, this one at its own."""
        scope = key[:SCOPE_BYTES]
        self._unsent.add(scope)
        self._marked.add(scope)
        self.shared.set(_mark_of(scope), NO_ENTRY + os.urandom(16))

    def _marks_within(self, scope: bytes) -> list[bytes]:
        if len(scope) > SCOPE_BYTES:
            return []
        if len(scope) == SCOPE_BYTES:
            return [_mark_of(scope)]
        return [_mark_of(marked) for marked in list(self._marked) if marked.startswith(scope)]

    # The fast tier, which may fail without harm.

    def _fast_get(self, key: bytes) -> bytes | None:
        try:
            return self.fast.get(key)
        except StoreError:
            self.fast_errors += 1
            return None

    async def _fast_aget(self, key: bytes) -> bytes | None:
        if self.fast.instant:
            return self._fast_get(key)
        try:
            return await self.fast.aget(key)
        except StoreError:
            self.fast_errors += 1
            return None

    def _fast_delete(self, key: bytes) -> bool:
        with self._lock:
            self._epoch += 1
            return self.fast.delete(key)

    def _forget(self, scope: bytes) -> None:
        with self._lock:
            self._epoch += 1
            self.fast.clear(scope)

    def _fill(self, key: bytes, found: Found | None, epoch: int) -> bytes | None:
        """Keep what the shared store has, unless anything was removed since `epoch`."""
        with self._lock:
            if found is None:
                self._missed[key] = None
                if len(self._missed) > MOST_MISSED:
                    self._missed.popitem(last=False)
                return None
            value, left_s = found
            if epoch == self._epoch:
                self._fast_set(key, value, left_s)
        return value

    def _settle(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        """Keep what was set; tell the others where it may have replaced what they have."""
        with self._lock:
            self._epoch += 1
            self._fast_set(key, value, ttl_s)
            if key in self._missed:
                del self._missed[key]
                return
        self._announce(key)

    def _fast_set(self, key: bytes, value: bytes, ttl_s: float | None) -> None:
        try:
            self.fast.set(key, value, ttl_s)
        except StoreError:
            self.fast_errors += 1


def _mark_of(key: bytes) -> bytes:
    return key[:SCOPE_BYTES] + MARK


def _undated(value: bytes | None) -> Found | None:
    """Return what a store found that cannot say for how long: it is asked again at the next look."""
    return None if value is None else (value, LOOK_S)
