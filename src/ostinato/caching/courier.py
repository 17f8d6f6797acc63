"""Carries what the leading flights of this process learn to the store, behind their readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostinato.caching.load import Load
from ostinato.caching.stores.leases import Report
from ostinato.caching.worker import Worker
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.counters import Counters
    from ostinato.caching.envelope import Envelope
    from ostinato.caching.leased_flight import LeasedFlight
    from ostinato.caching.stores.leases import Heard, Lead, Leases

PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""How long a store that failed is left alone, the last again and again."""


class Courier:
    """One thread, while there are leading flights. Whatever the store does, the flights go on."""

    def __init__(
        self,
        leases: Leases,
        counters: Counters,
        failed: Callable[[StoreError], None],
        envelope: Envelope | None,
        *,
        stall_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._leases = leases
        self._counters = counters
        self._store_failed = failed
        self._envelope = envelope
        self._stall_s = stall_s
        self._monotonic = monotonic
        self.landing = leases.landing
        self._loads: dict[bytes, Load] = {}
        self._unwanted: list[Report] = []
        self._failures = 0
        self._telling = threading.Lock()
        self.worker = Worker("ostinato-courier", self.round, self._forget)

    def carry(self, flight: LeasedFlight, lease: Lead) -> None:
        """Tell what comes of `flight` from here on, until it is over or the lease is lost."""
        self._loads[lease.token] = Load(flight, lease, self._monotonic(), self.in_a_thread)
        flight.on_moved = self.worker.wake
        self.worker.wake()

    @staticmethod
    def in_a_thread(work: Callable[[], None]) -> None:
        """Do `work` beside everything else."""
        threading.Thread(target=work, name="ostinato-feed", daemon=True).start()

    def give_back(self, lease: Lead) -> None:
        """End a lease that nobody wants any more."""
        self._unwanted.append(Report(lease.key, lease.token, 0, [], "dropped"))
        self.worker.wake()

    def keep(self, lease: Lead, value: bytes, ttl_s: float | None) -> None:
        """Store the entry of a flight that landed, with the end of its lease; if that is lost, not at all."""
        load = self._loads.get(lease.token)
        if load is not None:
            load.ttl_s, load.value = ttl_s, value
            self.landing[lease.key] = value

    def flush(self) -> None:
        """Tell what there is to tell, in the caller's thread."""
        if self.landing:
            self.round()

    def end(self) -> None:
        """Tell what there is to tell, and give back the leases of calls that end with this process."""
        self._unwanted += [
            Report(load.lease.key, load.lease.token, 0, [], "dropped")
            for load in list(self._loads.values())
            if not load.flight.over
        ]
        if self._loads or self._unwanted:
            self.round()

    def round(self) -> float | None:
        """Tell what is due. Return the seconds until more is, None when nothing is under way."""
        with self._telling:
            now = self._monotonic()
            loads = list(self._loads.values())
            told = [(load, report) for load in loads if (report := load.report(now, self._leases, self._stall_s))]
            unwanted, self._unwanted = self._unwanted, []
            if told or unwanted:
                for (load, report), word in zip(told, self._tell(told, unwanted), strict=False):
                    if isinstance(word, StoreError):
                        self._failed(load, now)
                    else:
                        self._heard(load, report, word, now)
            if not self._loads:
                return None
            return max(0.0, min(load.due for load in self._loads.values()) - self._monotonic())

    def _tell(self, told: list[tuple[Load, Report]], unwanted: list[Report]) -> Sequence[Heard | StoreError]:
        """Return what the store says to each report, and take note of how it does."""
        try:
            # Sealing asks the store for its data key, and may fail as well.
            heard = self._leases.tell([*(self._sealed(report) for _, report in told), *unwanted])
        except StoreError as error:
            heard = [error] * (len(told) + len(unwanted))
        failure = next((word for word in heard if isinstance(word, StoreError)), None)
        if failure is None:
            self._failures = 0
        else:
            self._store_failed(failure)
            self._failures += 1
        return heard

    def _sealed(self, report: Report) -> Report:
        if self._envelope is None or not report.frames:
            return report
        return replace(report, frames=self._envelope.close(report.key + report.token, report.position, report.frames))

    def _heard(self, load: Load, report: Report, heard: Heard, now: float) -> None:
        if not load.heard(report, heard, now):
            self._unload(load)
            if report.value is not None and heard != "fenced":
                self._counters.stored += 1

    def _failed(self, load: Load, now: float) -> None:
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S)) - 1]
        if not load.failed(now, pause_s):
            self._unload(load)

    def _unload(self, load: Load) -> None:
        self._loads.pop(load.lease.token, None)
        if load.value is not None and self.landing.get(load.lease.key) is load.value:
            del self.landing[load.lease.key]

    def _forget(self) -> None:
        self._telling = threading.Lock()
        self._loads = {}
        self._unwanted = []
        self.landing.clear()
