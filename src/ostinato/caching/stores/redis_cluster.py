"""The servers of a cluster: which of them has a key, and where it is now when it is not there."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from ostinato.caching.stores.forks import renew_after_fork
from ostinato.caching.stores.redis_line import pack, run_behind
from ostinato.caching.stores.redis_node import Dial, Node
from ostinato.caching.stores.redis_refusal import code_of, refusal
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_settings import Address, Settings

SLOTS = 16384
HOPS = 5
"""How often one question is sent on; a cluster at rest needs one, one that moves slots two."""
LEARN_S = 0.5
"""The least time from one look at the map to the next."""
QUESTION = pack("CLUSTER", "SLOTS")
ASKING = pack("ASKING")


class Cluster:
    """Servers that share the slots of the key space.

    The map of slots is asked of any of them, by a thread that outlives an impatient caller: at first use, when
    a server says that a slot has moved, and while one does not answer. Each server has a breaker of its own, so
    that a lost one costs its own keys alone.
    """

    fork_rank = 2

    def __init__(self, settings: Settings) -> None:
        self.holders: weakref.WeakSet[Any] = weakref.WeakSet()
        self._settings = settings
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._known = False
        self._learning: Future[None] | None = None
        self._learned_at = 0.0
        self._lock = threading.Lock()
        self.redirects = 0
        renew_after_fork(self)

    def ask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        node = self._find(slot_of(key), deadline)
        for _ in range(HOPS):
            reply = node.ask(packed, deadline, again=again)
            if isinstance(reply, hiredis.ReplyError) and (there := self._elsewhere(reply, node)) is not None:
                node = there
                if code_of(reply) == "MOVED":
                    continue
                reply = node.ask_all(ASKING + packed, 2, deadline, again=again)[1]
            return reply
        raise _moving()

    async def aask(self, key: bytes, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        node = await self.anode_of(key, deadline)
        for _ in range(HOPS):
            reply = await node.aask(packed, deadline, again=again)
            if isinstance(reply, hiredis.ReplyError) and (there := self._elsewhere(reply, node)) is not None:
                node = there
                if code_of(reply) == "MOVED":
                    continue
                reply = (await node.aask_all(ASKING + packed, 2, deadline, again=again))[1]
            return reply
        raise _moving()

    def node_of(self, key: bytes) -> Node:
        return self._find(slot_of(key), monotonic() + self._settings.timeout_s)

    async def anode_of(self, key: bytes, deadline: float) -> Node:
        slot = slot_of(key)
        if not self._known:
            await self._await_map(deadline)
        return self._trusted(self._slots[slot] or self._nobody(slot))

    def nodes(self, deadline: float) -> list[Node]:
        self._wait_for_map(deadline)
        return [self._trusted(node) for node in dict.fromkeys(self._slots) if node is not None]

    def redirected(self, reply: Any) -> bool:
        return isinstance(reply, hiredis.ReplyError) and code_of(reply) in {"MOVED", "ASK"}

    def stats(self) -> dict[str, Any]:
        nodes = {f"{host}:{port}": node.stats() for (host, port), node in list(self._nodes.items())}
        states = [node["breaker"] for node in nodes.values()]
        problems = [node["problem"] for node in nodes.values() if node["problem"]]
        counted = ("connections", "reconnects", "breaker_opened", "failures", "not_asked")
        return {
            **{name: sum(node[name] for node in nodes.values()) for name in counted},
            "breaker": next((state for state in states if state != "closed"), "closed"),
            "problem": problems[0] if problems else None,
            "redirects": self.redirects,
            "nodes": nodes,
        }

    def close(self) -> None:
        for node in list(self._nodes.values()):
            node.hang_up()

    async def aclose(self) -> None:
        for node in list(self._nodes.values()):
            node.hang_up()
            await node.loops.close()

    def before_fork(self) -> None:
        """Nothing rests: a child takes nothing over but the map."""

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._lock = threading.Lock()
            self._learning = None
            for node in self._nodes.values():
                node.renew()

    # Where things are.

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        return node or self._nodes.setdefault(address, Node(Dial(self._settings, address)))

    def _elsewhere(self, reply: hiredis.ReplyError, node: Node) -> Node | None:
        """Return the server that `reply` of `node` points to, or None where it is no redirection."""
        if not self.redirected(reply):
            return None
        self.redirects += 1
        code, slot, place = str(reply).split(" ")[:3]
        host, _, port = place.rpartition(":")
        # Without a host it is the one that answered.
        there = self._node((host or node.dial.host, int(port)))
        if code == "MOVED":
            self._slots[int(slot)] = there
            self._learn_behind()
        return there

    def _find(self, slot: int, deadline: float) -> Node:
        if not self._known:
            self._wait_for_map(deadline)
        return self._trusted(self._slots[slot] or self._nobody(slot))

    def _trusted(self, node: Node) -> Node:
        """Return `node`. One that did not answer may have been followed by another: the map is asked for again."""
        if node.problem is not None:
            self._learn_behind()
        return node

    async def _await_map(self, deadline: float) -> None:
        import asyncio

        learning = asyncio.wrap_future(self._learn_behind())
        done, _ = await asyncio.wait({learning}, timeout=max(deadline - monotonic(), 0))
        if not done:
            raise self._unknown()
        learning.result()

    def _wait_for_map(self, deadline: float) -> None:
        if not self._known:
            try:
                self._learn_behind().result(max(deadline - monotonic(), 0))
            except TimeoutError:
                raise self._unknown() from None

    def _unknown(self) -> StoreError:
        return StoreError(f"the cluster at {self._settings.where} did not say in time who has what", retryable=True)

    def _nobody(self, slot: int) -> Node:
        self._learn_behind()
        raise StoreError(f"nobody in the cluster at {self._settings.where} has slot {slot}", retryable=True)

    def _learn_behind(self) -> Future[None]:
        """Have the map asked for, unless that was done just now or is under way. Return what is done then."""
        with self._lock:
            if self._learning is not None and not (self._learning.done() and monotonic() >= self._learned_at + LEARN_S):
                return self._learning
            self._learned_at = monotonic()
            try:
                self._learning = run_behind(self._learn, "ostinato-redis-map")
            except StoreError as exc:
                self._learning = Future()
                self._learning.set_exception(exc)
            return self._learning

    def _learn(self) -> None:
        """Ask for the map, first those that are not known to be lost."""
        known = sorted(self._nodes.values(), key=lambda node: node.problem is not None)
        error: StoreError | None = None
        for node in [*known, *(self._node(address) for address in self._settings.addresses)]:
            try:
                reply = node.ask(QUESTION, monotonic() + self._settings.timeout_s)
            except StoreError as exc:
                error = exc
                continue
            if isinstance(reply, list) and reply:
                self._draw(reply, node)
                return
            error = refusal(reply) if isinstance(reply, hiredis.ReplyError) else error
        raise error or StoreError(f"the cluster at {self._settings.where} has no slots", retryable=True)

    def _draw(self, ranges: Iterable[list[Any]], told_by: Node) -> None:
        slots: list[Node | None] = [None] * SLOTS
        for first, last, master, *_ in ranges:
            host = master[0].decode() if master[0] else told_by.dial.host
            slots[first : last + 1] = [self._node((host, int(master[1])))] * (last + 1 - first)
        self._slots = slots
        self._known = True


def slot_of(key: bytes) -> int:
    """Return the slot of a key, as the servers reckon it."""
    from redis.crc import key_slot

    slot: int = key_slot(key)
    return slot


def _moving() -> StoreError:
    return StoreError("the cluster sends a question round and round", retryable=True)
