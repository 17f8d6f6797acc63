"""Entries in this process's memory: the least recently used leave first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from ostinato.caching.stores.contract import Found, found_until
from ostinato.caching.stores.forks import renew_after_fork
from ostinato.errors import ConfigurationError

# Two bytes objects of 33 bytes each beside their content, and 22 that the allocator adds to round them up
# (measured with tracemalloc and the resident set over 100,000 entries of 1 KB; CPython 3.11).
ENTRY_OVERHEAD = 88
# A tuple of two with the collector's header (56 bytes), and a float (24): what a time to live adds.
EXPIRY_OVERHEAD = 80


class MemoryStore:
    """A bounded store in this process's memory.

    `max_bytes` bounds what the entries really take: keys, values, object headers and the table.

    `get` takes no lock. Each operation on the table is one C call under the interpreter's lock, a key is
    never absent while it is replaced, and an entry that goes away between its lookup and its recency mark
    is a miss. Everything that counts bytes is under `_lock`.
    """

    instant = True
    process_local = True
    fork_rank = 1

    def __init__(self, max_bytes: int = 256 * 2**20, *, clock: Callable[[], float] = time.time) -> None:
        if max_bytes < 0:
            raise ConfigurationError(f"max_bytes is {max_bytes!r}; give a number of bytes, 0 to keep nothing")
        self.max_bytes = max_bytes
        self._clock = clock
        self._table: OrderedDict[bytes, bytes | tuple[bytes, float]] = OrderedDict()
        self._mark = self._table.move_to_end
        self._table_bytes = self._table.__sizeof__
        self._lock = threading.RLock()
        self._bytes = 0
        self._evictions = 0
        self._expirations = 0
        renew_after_fork(self)

    def get(self, key: bytes) -> bytes | None:
        entry = self._table.get(key)
        if entry is None:
            return None
        try:
            self._mark(key)
        except KeyError:
            return None
        if isinstance(entry, tuple):
            value, expires_at = entry
            if self._clock() < expires_at:
                return value
            self._expire(key, entry)
            return None
        return entry

    def find(self, key: bytes) -> Found | None:
        entry = self._table.get(key)
        value = self.get(key)
        if value is None:
            return None
        return found_until(value, entry[1] if isinstance(entry, tuple) else None, self._clock())

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self.set_until(key, value, None if ttl_s is None else self._clock() + ttl_s)

    def set_until(self, key: bytes, value: bytes, expires_at: float | None) -> None:
        """Keep `value` until `expires_at` on this store's clock, or until evicted when None."""
        size = len(key) + len(value) + ENTRY_OVERHEAD
        entry: bytes | tuple[bytes, float] = value
        if expires_at is not None:
            size += EXPIRY_OVERHEAD
            entry = (value, expires_at)
        table = self._table
        with self._lock:
            old = table.get(key)
            if size > self.max_bytes:
                if old is not None:
                    self._bytes -= _size(key, old)
                    del table[key]
                return
            # Replaced in place: a reader without the lock must not find it absent.
            table[key] = entry
            self._bytes += size
            if old is not None:
                self._bytes -= _size(key, old)
                self._mark(key)
            if self._bytes + self._table_bytes() > self.max_bytes:
                self._evict()

    def delete(self, key: bytes) -> bool:
        with self._lock:
            entry = self._table.pop(key, None)
            if entry is None:
                return False
            self._bytes -= _size(key, entry)
            return self._is_live(entry)

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        for key in self._keys():
            entry = self._table.get(key)
            if entry is not None and key.startswith(scope) and self._is_live(entry):
                yield key, entry[0] if isinstance(entry, tuple) else entry

    def clear(self, scope: bytes = b"") -> int:
        with self._lock:
            return sum(self.delete(key) for key in self._keys() if key.startswith(scope))

    def flush(self) -> None:
        """Return: memory is as durable as it gets."""

    def stats(self) -> dict[str, Any]:
        with self._lock:
            return {
                "entries": len(self._table),
                "bytes": self._bytes + self._table_bytes() if self._table else 0,
                "max_bytes": self.max_bytes,
                "evictions": self._evictions,
                "expirations": self._expirations,
                "errors": 0,
            }

    def close(self) -> None:
        """Return: there is nothing to give back, and the entries stay."""

    async def aget(self, key: bytes) -> bytes | None:
        return self.get(key)

    async def afind(self, key: bytes) -> Found | None:
        return self.find(key)

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self.set(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        return self.delete(key)

    async def aclear(self, scope: bytes = b"") -> int:
        return self.clear(scope)

    async def aclose(self) -> None:
        self.close()

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._lock = threading.RLock()
        else:
            self._lock.release()

    def _keys(self) -> list[bytes]:
        # list() is one C call: readers may mark entries meanwhile, which a loop over the table would not survive.
        return list(self._table)

    def _is_live(self, entry: bytes | tuple[bytes, float]) -> bool:
        return not isinstance(entry, tuple) or self._clock() < entry[1]

    def _expire(self, key: bytes, entry: tuple[bytes, float]) -> None:
        with self._lock:
            # Another thread may have put a new entry there.
            if self._table.get(key) is entry:
                del self._table[key]
                self._bytes -= _size(key, entry)
                self._expirations += 1

    def _evict(self) -> None:
        table = self._table
        while table and self._bytes + self._table_bytes() > self.max_bytes:
            key, entry = table.popitem(last=False)
            self._bytes -= _size(key, entry)
            if self._is_live(entry):
                self._evictions += 1
            else:
                self._expirations += 1


def _size(key: bytes, entry: bytes | tuple[bytes, float]) -> int:
    if isinstance(entry, tuple):
        return len(key) + len(entry[0]) + ENTRY_OVERHEAD + EXPIRY_OVERHEAD
    return len(key) + len(entry) + ENTRY_OVERHEAD
