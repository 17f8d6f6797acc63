"""One cache's part in the flights that processes share: what it tells of its own, and hears of theirs."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from ostinato.caching.courier import Courier
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.record import Entry
from ostinato.caching.stores.forks import call_when_worker_ends
from ostinato.caching.stores.leases import Lead, Leases, Live
from ostinato.caching.watch import Watch
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.counters import Counters
    from ostinato.caching.envelope import Envelope


class Abroad:
    """The leases of a store, and the two threads that tell and hear; they are there while flights need them."""

    def __init__(
        self,
        leases: Leases,
        counters: Counters,
        failed: Callable[[StoreError], None],
        *,
        stall_s: float,
        envelope: Envelope | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leases = leases
        self._counters = counters
        self.courier = Courier(leases, counters, failed, envelope, stall_s=stall_s, monotonic=monotonic)
        self.watch = Watch(leases, failed, envelope, monotonic=monotonic)
        self.landing = self.courier.landing
        """Entries on their way to the store, by key."""

    def settle(self, flight: LeasedFlight, token: int, standing: Entry | Lead | Live | None) -> Entry | None:
        """Give `flight` what its claim brought. Return the entry that answers, if it was one."""
        match standing:
            case Entry():
                flight.found(token, standing)
                return standing
            case Lead() if flight.leads(token, standing):
                _end_at_exit(self.courier)
                self.courier.carry(flight, standing)
            case Lead():
                self.courier.give_back(standing)
            case Live() if flight.follows(token):
                self._counters.joins += 1
                self.watch.follow(flight, token, standing)
            case None:
                flight.leads(token, None)
        return None

    def flush(self) -> None:
        """Have stored what has landed, here and in other caches of this process over the same store."""
        if self.landing:
            for courier in list(_couriers):
                if courier.landing is self.landing:
                    courier.flush()


_couriers: weakref.WeakSet[Courier] = weakref.WeakSet()


def _end_at_exit(courier: Courier) -> None:
    if courier not in _couriers:
        _couriers.add(courier)
        call_when_worker_ends(courier, Courier.end)
        _hook()


@cache
def _hook() -> None:
    atexit.register(_end_all)


def _end_all() -> None:
    for courier in list(_couriers):
        courier.end()
