"""What a process answers without the file: what is not yet written, and a small memory tier."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from ostinato.caching.stores.memory import MemoryStore

Pending = tuple[bytes, float | None]
"""A value and when it expires."""

PENDING_OVERHEAD = 300
"""Bytes that a waiting entry takes beside its key and value, roughly."""


class Front:
    """The pending entries and the near tier of one disk store, kept true under one lock.

    A value that was read from the file enters the near tier only if `epoch` has not moved since before it
    was read: every set, delete, clear and foreign change moves it.
    """

    def __init__(self, near_bytes: int, clock: Callable[[], float]) -> None:
        self.near = MemoryStore(near_bytes, clock=clock)
        self.pending: OrderedDict[bytes, Pending] = OrderedDict()
        self.pending_bytes = 0
        self.epoch = 0
        self.generation = 0
        """The file's count of entries that were replaced or removed, as this process last knew it."""
        self.touched: set[bytes] = set()
        """Keys that were found since the writer last looked; kept while `filling`."""
        self.filling = False
        """Whether the file is so full that it matters which entries are used."""
        self.lock = threading.RLock()
        self._clock = clock

    def put(self, key: bytes, value: bytes, expires_at: float | None) -> int:
        """Let `value` wait for the writer. Return how many wait if `key` was not among them, else 0."""
        with self.lock:
            self.epoch += 1
            old = self.pending.get(key)
            self.pending[key] = (value, expires_at)
            self.near.set_until(key, value, expires_at)
            if old is None:
                self.pending_bytes += len(value) + PENDING_OVERHEAD
                return len(self.pending)
            self.pending_bytes += len(value) - len(old[0])
            return 0

    def waiting(self, scope: bytes) -> dict[bytes, Pending]:
        """Return what waits of `scope`, expired or not."""
        with self.lock:
            return {key: entry for key, entry in self.pending.items() if key.startswith(scope)}

    def take(self, most: int, most_bytes: int) -> list[tuple[bytes, Pending]]:
        """Return what waits longest: at least one if any does. It goes on waiting until settled."""
        with self.lock:
            batch = list(islice(self.pending.items(), most))
        size = 0
        for position, (_, (value, _)) in enumerate(batch):
            size += len(value)
            if size > most_bytes:
                return batch[: max(position, 1)]
        return batch

    def settle(self, batch: Iterable[tuple[bytes, Pending]]) -> None:
        """Let `batch` wait no longer, except for what was set anew meanwhile."""
        with self.lock:
            for key, entry in batch:
                if self.pending.get(key) is entry:
                    del self.pending[key]
                    self.pending_bytes -= len(entry[0]) + PENDING_OVERHEAD

    def requeue(self, batch: Iterable[tuple[bytes, Pending]]) -> None:
        """Let `batch` wait behind the others. A reader finds it all the while."""
        with self.lock:
            for key, entry in batch:
                if self.pending.get(key) is entry:
                    self.pending.move_to_end(key)

    def take_touched(self) -> list[bytes]:
        """Return the keys that were found since the last time. One that is found meanwhile may be lost."""
        touched, self.touched = self.touched, set()
        return list(touched)

    def fill(self, key: bytes, value: bytes, expires_at: float | None, epoch: int) -> None:
        """Keep what was read from the file, unless anything changed since `epoch`."""
        with self.lock:
            if self.epoch == epoch:
                self.near.set_until(key, value, expires_at)

    def place(self, batch: Iterable[tuple[bytes, Pending]]) -> None:
        """Keep near what was written without having waited here."""
        with self.lock:
            self.epoch += 1
            for key, (value, expires_at) in batch:
                self.near.set_until(key, value, expires_at)

    def drop(self, key: bytes) -> bool:
        """Forget `key`, waiting or near. Return whether a live entry waited."""
        with self.lock:
            self.forget(key)
            entry = self.pending.pop(key, None)
            if entry is None:
                return False
            self.pending_bytes -= len(entry[0]) + PENDING_OVERHEAD
            return entry[1] is None or self._clock() < entry[1]

    def forget(self, key: bytes) -> None:
        """Forget what is near of `key`."""
        with self.lock:
            self.epoch += 1
            self.near.delete(key)

    def forget_scope(self, scope: bytes = b"") -> None:
        """Forget what is near of `scope`, all when empty."""
        with self.lock:
            self.epoch += 1
            self.near.clear(scope)

    def saw(self, before: int, after: int) -> None:
        """Take note of the file's generation, `before` and `after` a change of our own; equal when only read."""
        with self.lock:
            if before != self.generation:
                self.forget_scope()
            self.generation = after

    def renew(self) -> None:
        """Start over in a forked child: what waits is the parent's to write."""
        self.lock = threading.RLock()
        self.pending = OrderedDict()
        self.pending_bytes = 0
        self.touched = set()

    def stats(self) -> dict[str, Any]:
        """Return the sizes: `pending`, `pending_bytes`, `near`."""
        return {"pending": len(self.pending), "pending_bytes": self.pending_bytes, "near": self.near.stats()}
