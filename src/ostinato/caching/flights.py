"""The flights in the air: who makes a call that is being made already joins it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ostinato.caching.flight import Flight
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.stores.forks import renew_after_fork

if TYPE_CHECKING:
    from ostinato.caching.moves import Reader
    from ostinato.wire.contract import Wire


class Flights:
    """The flights in the air, by key. A forked child starts with none: those of its parent land there."""

    fork_rank = 0

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}
        self._lock = threading.Lock()
        renew_after_fork(self)

    def before_fork(self) -> None:
        """Let no claim be half made."""
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Give the lock back."""
        if in_child:
            self._flights = {}
        self._lock.release()

    def claim(self, key: bytes, wire: Wire, *, leased: bool = False) -> tuple[Flight, Reader, bool]:
        """Return the flight of `key`, a new reader of it, and whether this call founded it.

        A `leased` one begins by asking the store who leads.
        """
        with self._lock:
            flight = self._flights.get(key)
            # Deployments that stand in for each other may speak different wires: one cannot go on for the other.
            reader = flight.attach() if flight is not None and flight.wire.name == wire.name else None
            if flight is not None and reader is not None:
                return flight, reader, False

            def release(closed: Flight) -> None:
                with self._lock:
                    if self._flights.get(key) is closed:
                        del self._flights[key]

            flight = self._flights[key] = (
                LeasedFlight(wire, on_over=release) if leased else Flight(wire, shared=True, on_over=release)
            )
            reader = flight.attach()
            assert reader is not None  # noqa: S101  # a new flight takes readers
            return flight, reader, True

    def __len__(self) -> int:
        return len(self._flights)
