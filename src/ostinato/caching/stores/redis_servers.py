"""The servers behind one cache in Redis, shared by all stores of the process that mean the same ones."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.caching.stores.forks import renew_after_fork
from ostinato.caching.stores.redis_node import Dial, Node

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_settings import Settings

_lock = threading.Lock()
_shared: weakref.WeakValueDictionary[tuple[object, ...], Servers] = weakref.WeakValueDictionary()


class Servers(Protocol):
    """One server, or a cluster of them. Every question has a deadline, on `time.monotonic`.

    A reply is a value of RESP2: bytes, a number, a list, None, or an error of the server's (`hiredis.ReplyError`).
    Nothing else is raised than `StoreError`.
    """

    holders: weakref.WeakSet[Any]
    """The stores that use them, until closed."""

    def ask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        """Send a command to the server of `key` and return its reply. `again`: it may be done twice."""

    async def aask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        """Send a command to the server of `key` and return its reply. `again`: it may be done twice."""

    def node_of(self, key: bytes) -> Node:
        """Return the server of `key`, as far as is known."""

    async def anode_of(self, key: bytes, deadline: float) -> Node:
        """Return the server of `key`, as far as is known."""

    def nodes(self, deadline: float) -> list[Node]:
        """Return the servers that hold keys."""

    def redirected(self, reply: Any) -> bool:
        """Return whether `reply` says that the key is elsewhere: `ask` finds it."""

    def stats(self) -> dict[str, Any]:
        """Return the state of the connections and breakers."""

    def close(self) -> None:
        """Hang up. A later question connects anew."""

    async def aclose(self) -> None:
        """Hang up, those of the running event loop, too."""


class Single:
    """One server, or the master that sentinels name."""

    fork_rank = 2

    def __init__(self, settings: Settings) -> None:
        self.holders: weakref.WeakSet[Any] = weakref.WeakSet()
        self.node = Node(Dial(settings, None))
        renew_after_fork(self)

    def ask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        return self.node.ask(packed, deadline, again=again)

    async def aask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        return await self.node.aask(packed, deadline, again=again)

    def node_of(self, key: bytes) -> Node:
        return self.node

    async def anode_of(self, key: bytes, deadline: float) -> Node:
        return self.node

    def nodes(self, deadline: float) -> list[Node]:
        return [self.node]

    def redirected(self, reply: Any) -> bool:
        return False

    def stats(self) -> dict[str, Any]:
        return self.node.stats()

    def close(self) -> None:
        self.node.hang_up()

    async def aclose(self) -> None:
        self.node.hang_up()
        await self.node.loops.close()

    def before_fork(self) -> None:
        """Nothing rests: a child takes nothing over."""

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self.node.renew()


def open_servers(settings: Settings) -> Servers:
    """Return the servers of `settings`, the same object for the same servers and credentials."""
    key = settings.pool_key()
    with _lock:
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = _open(settings)
        return found


def _open(settings: Settings) -> Servers:
    if settings.kind == "cluster":
        from ostinato.caching.stores.redis_cluster import Cluster

        return Cluster(settings)
    return Single(settings)
