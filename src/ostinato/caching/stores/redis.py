"""Entries in a Redis or Valkey, shared by everyone who uses it: one server, a cluster, or what sentinels name."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from ostinato.caching.stores.behind import Behind
from ostinato.caching.stores.contract import Found, found_until, in_thread
from ostinato.caching.stores.leases import LEASE_S
from ostinato.caching.stores.redis_leases import RedisLeases
from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_near import Near
from ostinato.caching.stores.redis_refusal import refusal
from ostinato.caching.stores.redis_servers import open_servers
from ostinato.caching.stores.redis_settings import Settings
from ostinato.caching.stores.redis_stats import read_stats
from ostinato.caching.stores.redis_sweep import clear_node, refuse_part, scan_node
from ostinato.caching.stores.redis_writes import Writes
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_node import Node

BATCH = 200
"""Entries in one round trip of the writer."""


class RedisStore:
    """A store in a Redis or Valkey, for any number of threads, event loops, processes and machines.

    A key is the prefix and 40 bytes; a hit is one GET. How long an entry lives is judged by the server. What is
    kept, and what makes room, is the server's `maxmemory` and `maxmemory-policy`.

    `set` returns at once; one thread writes behind it, and this process finds it meanwhile. While the server
    does not answer, up to 64 MB wait. What waits is written at the interpreter's exit, by `flush` and by `close`.

    Every question to a server has `timeout_ms`, opening its connection included. After three failures in a row
    a breaker refuses for it, until a probe behind the callers is answered: once a second, when there is a call.

    With `near_bytes`, that much of what was found lately is answered from memory, for one second at most after
    another process changed it: see `Near`.

    Stores of the same servers share their connections: one for each thread that asks at the moment, one for each
    event loop.
    """

    instant = False
    process_local = False

    def __init__(
        self, settings: Settings, *, lease_s: float | None = LEASE_S, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.servers = open_servers(settings)
        self.servers.holders.add(self)
        self._clock = clock
        self._timeout_s = settings.timeout_s
        self._prefix = settings.prefix
        self._ask = self.servers.ask
        self._aask = self.servers.aask
        self._writes = Writes(self.servers, settings, clock)
        self._behind = Behind(
            self._writes.send, clock=clock, name="ostinato-redis-writer", most=BATCH, patience_s=self._timeout_s
        )
        # Runs when the store is collected, and when the interpreter ends.
        weakref.finalize(self, self._behind.close)
        self._near: Near | None = None
        if settings.near_bytes:
            # Never a cluster, so there is one.
            self._node = self.servers.node_of(b"")
            self._near = Near(self._node.dial, settings.near_bytes, clock)
            weakref.finalize(self, self._near.close)
        self.leases: RedisLeases | None = None
        if lease_s is not None:
            self.leases = RedisLeases(self.servers, settings, self._near, self._writes, lease_s=lease_s)

    def get(self, key: bytes) -> bytes | None:
        waiting = self._behind.find(key)
        if waiting is not None:
            return self._living(*waiting)
        name = self._prefix + key
        near = self._near
        if near is not None:
            value = near.get(key)
            if value is not None:
                return value
            epoch, asked_at = near.epoch, self._clock()
            replies = self._node.ask_all(_value_and_left(name), 2, monotonic() + self._timeout_s)
            return _kept(near, key, replies, asked_at, epoch)
        return _value(self._ask(name, pack("GET", name), monotonic() + self._timeout_s))

    def find(self, key: bytes) -> Found | None:
        waiting = self._behind.find(key)
        if waiting is not None:
            return found_until(*waiting, self._clock())
        name, deadline = self._prefix + key, monotonic() + self._timeout_s
        replies = self.servers.node_of(name).ask_all(_value_and_left(name), 2, deadline)
        if self.servers.redirected(replies[0]):
            replies = [self._ask(name, pack(word, name), deadline) for word in ("GET", "PTTL")]
        return _dated(replies)

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if len(value) > self.settings.max_value_bytes:
            self._writes.refuse(len(value))
            # What it would have replaced must not answer in its place; gone behind the caller, too.
            value, ttl_s = b"", 0.0
        # Never NaN, which no comparison ends.
        self._behind.put(key, value, None if ttl_s is None else self._clock() + max(0.0, ttl_s))
        if self._near is not None:
            self._near.forget(key)

    def delete(self, key: bytes) -> bool:
        try:
            return self._behind.delete(key, lambda: self._unlink(key))
        finally:
            # Afterwards: a reader may have kept what it found before.
            if self._near is not None:
                self._near.forget(key)

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        waiting = self._behind.waiting(scope)
        for key, entry in waiting.items():
            value = self._living(*entry)
            if value is not None:
                yield key, value
        for node in self._nodes():
            for key, value in scan_node(self.servers, node, self._prefix, scope, self.settings):
                if key not in waiting:
                    yield key, value

    def clear(self, scope: bytes = b"") -> int:
        try:
            return self._behind.clear(lambda: self._sweep(scope))
        finally:
            if self._near is not None:
                self._near.forget_scope(scope)

    def flush(self) -> None:
        self._behind.flush()

    def stats(self) -> dict[str, Any]:
        state = read_stats(self.servers, monotonic() + self._timeout_s)
        return {
            **state,
            **self._behind.stats(),
            "errors": state["failures"] + self._writes.refused,
            "refused": self._writes.refused,
            "oversized": self._writes.oversized,
            "near": None if self._near is None else self._near.stats(),
        }

    def close(self) -> None:
        self._close_own()
        if not self.servers.holders:
            self.servers.close()

    async def aget(self, key: bytes) -> bytes | None:
        waiting = self._behind.find(key)
        if waiting is not None:
            return self._living(*waiting)
        name = self._prefix + key
        near = self._near
        if near is not None:
            value = near.get(key)
            if value is not None:
                return value
            epoch, asked_at = near.epoch, self._clock()
            replies = await self._node.aask_all(_value_and_left(name), 2, monotonic() + self._timeout_s)
            return _kept(near, key, replies, asked_at, epoch)
        return _value(await self._aask(name, pack("GET", name), monotonic() + self._timeout_s))

    async def afind(self, key: bytes) -> Found | None:
        waiting = self._behind.find(key)
        if waiting is not None:
            return found_until(*waiting, self._clock())
        name, deadline = self._prefix + key, monotonic() + self._timeout_s
        node = await self.servers.anode_of(name, deadline)
        replies = await node.aask_all(_value_and_left(name), 2, deadline)
        if self.servers.redirected(replies[0]):
            replies = [await self._aask(name, pack(word, name), deadline) for word in ("GET", "PTTL")]
        return _dated(replies)

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        self.set(key, value, ttl_s)

    async def adelete(self, key: bytes) -> bool:
        return await in_thread(self.delete, key)

    async def aclear(self, scope: bytes = b"") -> int:
        return await in_thread(self.clear, scope)

    async def aclose(self) -> None:
        await in_thread(self._close_own)
        if not self.servers.holders:
            await self.servers.aclose()

    def __repr__(self) -> str:
        return f"RedisStore({self.settings.where})"

    def _close_own(self) -> None:
        """Write what waits, and end what no other store shares."""
        self._behind.close()
        if self.leases is not None:
            self.leases.ear.close()
        if self._near is not None:
            self._near.close()
        self.servers.holders.discard(self)

    def _unlink(self, key: bytes) -> bool:
        name = self._prefix + key
        removed = self._ask(name, pack("UNLINK", name), monotonic() + self._timeout_s)
        if not isinstance(removed, int):
            raise refusal(removed)
        return removed > 0

    def _sweep(self, scope: bytes) -> int:
        """Remove what is of `scope` from every server. One that is lost keeps no other from being swept."""
        count = 0
        error: StoreError | None = None
        for node in self._nodes():
            try:
                count += clear_node(self.servers, node, self._prefix, scope, self._timeout_s)
            except StoreError as exc:
                error = exc
        if error is not None:
            raise error
        return count

    def _nodes(self) -> list[Node]:
        """Return all servers that hold entries.

        Raises: StoreError: the only one known is one of a cluster.
        """
        nodes = self.servers.nodes(monotonic() + self._timeout_s)
        if self.settings.kind != "cluster":
            refuse_part(nodes[0], self._timeout_s)
        return nodes

    def _living(self, value: bytes, expires_at: float | None) -> bytes | None:
        return value if expires_at is None or self._clock() < expires_at else None


def _value_and_left(name: bytes) -> bytes:
    """Return the question for a value and for how long it lives: one round trip."""
    return pack("GET", name) + pack("PTTL", name)


def _kept(near: Near, key: bytes, replies: list[Any], asked_at: float, epoch: int) -> bytes | None:
    """Return what was found under `key`, kept near for as long as it lives."""
    found = _dated(replies)
    if found is None:
        return None
    value, left_s = found
    # The server counts on from when it answered, which was after it was asked.
    near.fill(key, value, None if left_s is None else asked_at + left_s, epoch)
    return value


def _dated(replies: list[Any]) -> Found | None:
    """Return the value, and the seconds it has yet to live: none when the server may not be asked for them."""
    value, left_ms = _value(replies[0]), replies[1]
    if value is None:
        return None
    if left_ms == -1:
        return value, None
    return value, left_ms / 1000 if isinstance(left_ms, int) and left_ms > 0 else 0.0


def _value(reply: Any) -> bytes | None:
    if reply is None:
        return None
    if isinstance(reply, bytes):
        return reply
    raise refusal(reply)
