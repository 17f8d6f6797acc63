"""Entries in Azure Cosmos DB, shared by every process and machine that has the account."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 (the SDK loads it, which Python forbids when a process is ending)
import math
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ostinato.caching.stores.behind import Behind
from ostinato.caching.stores.contract import Found, found_until
from ostinato.caching.stores.cosmos_account import CONTAINER, DATABASE, Account
from ostinato.caching.stores.cosmos_container import Container
from ostinato.caching.stores.cosmos_items import ENTRIES, Item, fits, key_of, value_of
from ostinato.caching.stores.cosmos_leases import CosmosLeases
from ostinato.caching.stores.cosmos_loops import Loops
from ostinato.caching.stores.leases import LEASE_S
from ostinato.errors import ConfigurationError, StoreError

TIMEOUT_MS = 1000.0
SETTINGS = ("connection_string", "database_id", "container_id", "client", "timeout_ms")
_GONE = 0.0
"""When what is to be removed expired."""


class CosmosStore:
    """A store in one container of an account, which is made if it is missing.

    `set` returns at once and is written by one thread; this process finds it meanwhile. What waits is written
    at the interpreter's exit, by `flush` and by `close`.

    An answer that takes longer than `timeout_ms` is none. 429, 449 and 503 are asked again within it, as soon
    as the service says. After three failures in a row nobody asks for five seconds.

    A value that does not fit into an item of 2 MB is not kept, nor is the one before it: counted, and warned of
    once.

    Args:
        connection_string: `AccountEndpoint=…;AccountKey=…;`.
        client: an `azure.cosmos.CosmosClient` instead, whose own retries come on top, and which event loops
            use in threads; or a credential of `azure.identity`, beside a connection string without a key.
        timeout_ms: how long a question may take, all tries together. Opening takes up to 5 seconds more.

    Raises:
        ConfigurationError: A setting that cannot be.
        MissingDependencyError: The SDK is not installed.
    """

    instant = False
    process_local = False

    def __init__(
        self,
        connection_string: str | None = None,
        database_id: str = DATABASE,
        container_id: str = CONTAINER,
        *,
        client: Any = None,
        timeout_ms: float = TIMEOUT_MS,
        lease_s: float | None = LEASE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < timeout_ms < math.inf:
            raise ConfigurationError(f"timeout_ms must be a number of milliseconds above 0, not {timeout_ms!r}")
        account = Account(connection_string, client)
        self._clock = clock
        self._container = Container(account, database_id, container_id, timeout_s=timeout_ms / 1000, clock=clock)
        self._behind = Behind(self._container.send, clock=clock, name="ostinato-cosmos-writer")
        self._loops = Loops(self._container)
        self.leases = None if lease_s is None else CosmosLeases(self._container, lease_s=lease_s, clock=clock)
        # Runs when the store is collected, and when the interpreter ends.
        weakref.finalize(self, _end, self._behind, self._container)

    def get(self, key: bytes) -> bytes | None:
        found = self.find(key)
        return None if found is None else found[0]

    def find(self, key: bytes) -> Found | None:
        """Return the value of `key`, and the seconds that it has yet to live, None: until it is removed."""
        waiting = self._behind.find(key)
        if waiting is not None:
            return self._alive(*waiting)
        item = self._container.read(key)
        return None if item is None else self._found(item)

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if not fits(value):
            self._container.tally.refuse(len(value))
            self._behind.put(key, b"", _GONE)
            return
        # Never NaN, which is no JSON.
        self._behind.put(key, value, None if ttl_s is None else self._clock() + max(0.0, ttl_s))

    def delete(self, key: bytes) -> bool:
        return self._behind.delete(key, lambda: self._container.remove(key))

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        waiting = self._behind.waiting(scope)
        for key, entry in waiting.items():
            alive = self._alive(*entry)
            if alive is not None:
                yield key, alive[0]
        for _, items in self._container.pages(ENTRIES, scope):
            for item in items:
                found, value = key_of(item), value_of(item, self._clock())
                if found is not None and value is not None and found not in waiting:
                    yield found, value

    def clear(self, scope: bytes = b"") -> int:
        return self._behind.clear(lambda: self._container.clear(scope))

    def flush(self) -> None:
        self._behind.flush()

    def stats(self) -> dict[str, Any]:
        entries = size = 0
        tally = self._container.tally
        try:
            entries, size = self._container.usage()
        except StoreError as exc:
            tally.problem = str(exc)
        return {
            "entries": entries,
            "bytes": size,
            "max_bytes": None,
            "evictions": 0,
            "errors": tally.errors,
            "retries": tally.retries,
            "throttled": tally.throttled,
            "too_large": tally.too_large,
            "request_units": tally.request_units,
            "state": self._container.breaker.state,
            "problem": tally.problem,
            **self._behind.stats(),
        }

    def close(self) -> None:
        self._behind.close()
        self._container.close()

    async def aget(self, key: bytes) -> bytes | None:
        found = await self.afind(key)
        return None if found is None else found[0]

    async def afind(self, key: bytes) -> Found | None:
        """Return the value of `key`, and the seconds that it has yet to live, None: until it is removed."""
        waiting = self._behind.find(key)
        if waiting is not None:
            return self._alive(*waiting)
        item = await self._loops.read(key)
        return None if item is None else self._found(item)

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self.set(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        return await asyncio.to_thread(self.delete, key)

    async def aclear(self, scope: bytes = b"") -> int:
        return await asyncio.to_thread(self.clear, scope)

    async def aclose(self) -> None:
        await self._loops.close()
        await asyncio.to_thread(self.close)

    def _found(self, item: Item) -> Found | None:
        value = value_of(item, self._clock())
        return None if value is None else self._alive(value, item.get("expires_at"))

    def _alive(self, value: bytes, expires_at: float | None) -> Found | None:
        return found_until(value, expires_at, self._clock())

    def __repr__(self) -> str:
        container = self._container
        return f"CosmosStore({container.account.endpoint!r}, {container.database!r}, {container.name!r})"


def _end(behind: Behind, container: Container) -> None:
    behind.close()
    container.close()
