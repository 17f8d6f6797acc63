"""Several processes with one store, in one: each a cache of its own whose threads are turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ostinato import Cache
from ostinato.caching.abroad import Abroad
from ostinato.caching.worker import Worker
from ostinato.testing.clock import ManualClock
from tests.caching.rider import KEY, Rider, chunk
from tests.caching.shared_store import SharedLeases, SharedStore

STALL_S = 30.0
ANSWER = [chunk("a"), chunk("b"), chunk(finish="stop")]
OTHER = [chunk("A"), chunk("B"), chunk(finish="stop")]


class ByHand(Worker):
    """A worker without a thread."""

    def _start(self) -> bool:
        return True


class Seen:
    """The shared leases as one process has them: what is landing there is its own."""

    def __init__(self, leases: SharedLeases) -> None:
        self._leases = leases
        self.landing: dict[bytes, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)


class Process:
    """One process: a cache over the shared store, and what carries its flights' news out and in."""

    def __init__(self, store: SharedStore, clock: ManualClock, **settings: Any) -> None:
        self.cache = Cache(store=store, clock=clock, stall_timeout_s=STALL_S, **settings)
        shelf = self.cache.shelf
        assert shelf.abroad is not None
        abroad = Abroad(
            Seen(store.leases),
            self.cache.counters,
            shelf._store_failed,
            stall_s=STALL_S,
            envelope=shelf.abroad.courier._envelope,
            monotonic=clock,
        )
        abroad.courier.worker = ByHand("courier", abroad.courier.round, abroad.courier._forget)
        abroad.watch.worker = ByHand("watch", abroad.watch.round, lambda: None)
        self.fed: list[Callable[[], None]] = []
        """What pulls on for those who follow, to be called when a test wants it."""
        abroad.courier.in_a_thread = self.fed.append  # type: ignore[method-assign,assignment]
        shelf.abroad = abroad
        self.abroad = abroad

    def calls(self, **settings: Any) -> Rider:
        """Return a call that has looked up in vain."""
        rider = Rider(self.cache, **settings)
        rider.settle_look_ups()
        return rider

    def claims(self, **settings: Any) -> Rider:
        """Return a call that has claimed."""
        rider = self.calls(**settings)
        rider.claims()
        return rider

    def tells(self) -> None:
        self.abroad.courier.round()

    def hears(self) -> None:
        self.abroad.watch.round()


class Machine:
    """A store, a clock, and as many processes as are asked for."""

    def __init__(self, processes: int, **settings: Any) -> None:
        self.clock = ManualClock()
        self.store = SharedStore(clock=self.clock)
        self.processes = [Process(self.store, self.clock, **settings) for _ in range(processes)]

    def news_goes_round(self) -> None:
        """Let everybody tell, and then everybody hear."""
        for process in self.processes:
            process.tells()
        for process in self.processes:
            process.hears()

    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)


def leading_and_following(followers: int = 1, **settings: Any) -> tuple[Machine, Rider, list[Rider]]:
    """Return a machine with a leader in its first process and a follower in each of the others."""
    machine = Machine(1 + followers)
    first, *others = machine.processes
    return machine, first.claims(**settings), [process.claims(**settings) for process in others]


def stored(machine: Machine) -> Any:
    entry = machine.processes[-1].cache.shelf.recall(KEY, "chat")
    return None if entry is None else msgspec.json.decode(entry.body)["choices"][0]["message"]["content"]
