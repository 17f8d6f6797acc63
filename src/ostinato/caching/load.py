"""What one leading flight has to tell the processes that follow it, and when. Decides; tells nobody itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostinato.caching import frames
from ostinato.caching.stores.leases import Heard, Report
from ostinato.errors import as_ours

if TYPE_CHECKING:
    from ostinato.caching.leased_flight import LeasedFlight, Told
    from ostinato.caching.stores.leases import Lead, Leases

UNREAD_S = 0.02
"""After this, a thread pulls for those who follow what no reader here does."""
RENEWALS = 4
"""How often a lease is renewed in its time."""
GIVE_UP_S = 30.0
"""How long an answer waits for a store that fails."""


class Load:
    """One leading flight, and how much of it was told."""

    def __init__(
        self, flight: LeasedFlight, lease: Lead, now: float, feed: Callable[[Callable[[], None]], None]
    ) -> None:
        """`feed` has a function called that pulls on, in a thread of its own."""
        self.flight = flight
        self._in_a_thread = feed
        self.lease = lease
        self.value: bytes | None = None
        """The entry to store, once the answer is whole."""
        self.ttl_s: float | None = None
        self.due = now
        """When to look again, if the flight does not move before."""
        self.followed = False
        self._events = self._frames = self._bytes = 0
        self._cut = False
        self._version = -1
        self._moved_at = self._told_at = now
        self._failing_since: float | None = None
        self._feeding = False

    def report(self, now: float, leases: Leases, stall_s: float) -> Report | None:
        """Return what is to be told now, or None."""
        if self._version == self.flight.version and now < self.due:
            return None
        told = self.flight.since(self._events)
        if told.version != self._version:
            self._version, self._moved_at = told.version, now
        elif self.followed and told.unread and now - self._moved_at >= UNREAD_S:
            self._feed()
        if told.end == "released" and self.followed and now < self._told_at + leases.lease_s / RENEWALS:
            # It was asked just now: whether they still follow is asked again with the next renewal.
            told = replace(told, end=None)
        # What nobody reads here, somebody who follows may wait for: ask often enough whether anybody does.
        renew_at = self._told_at + (2 * leases.alone_s if told.unread else leases.lease_s / RENEWALS)
        self.due = min(renew_at, now + UNREAD_S) if self.followed else renew_at
        if told.end is None and told.frames and self._events:
            send_at = self._told_at + (leases.gather_s if self.followed else leases.alone_s)
            if now < send_at:
                self.due = min(self.due, send_at)
                return None
        if told.end is None and not told.frames and (now < renew_at or now - self._moved_at >= stall_s):
            # A leader of which nothing comes lets its lease end: somebody else tries.
            self.due = max(self.due, now + UNREAD_S)
            return None
        return self._report(told, leases.live_bytes)

    def _report(self, told: Told, most_bytes: int) -> Report:
        sent = [] if self._cut else told.frames
        if self._bytes + sum(map(len, sent)) > most_bytes:
            sent = [frames.CUT]
        key, token = self.lease.key, self.lease.token
        return Report(key, token, self._frames, sent, told.end, self.value, self.ttl_s)

    def heard(self, report: Report, heard: Heard, now: float) -> bool:
        """Take note of what the store said. Return whether there is more to tell."""
        self._failing_since = None
        self._told_at = self.due = now
        if heard == "fenced":
            self.flight.let_go(fenced=True)
            return False
        self.followed = heard == "followed"
        if report.frames == [frames.CUT]:
            self._cut = True
        self._frames += len(report.frames)
        self._bytes += sum(map(len, report.frames))
        self._events += sum(frame[:1] == frames.EVENT for frame in report.frames)
        if report.end == "dropped" or (report.end == "released" and not self.followed):
            self.flight.let_go(fenced=False)
            return False
        return report.end in {None, "released"}

    def failed(self, now: float, pause_s: float) -> bool:
        """Take note that the store failed. Return whether to try again."""
        self.due = now + pause_s
        self._failing_since = now if self._failing_since is None else self._failing_since
        return not self.flight.over or now - self._failing_since < GIVE_UP_S

    def _feed(self) -> None:
        if not self._feeding:
            self._feeding = True
            self._in_a_thread(self._pull_on)

    def _pull_on(self) -> None:
        """Pull what no reader here does, as long as somebody elsewhere follows."""
        flight = self.flight
        moved = threading.Event()
        while self.followed and flight.lease is self.lease and not flight.over:
            version = flight.version
            pull = flight.pull_unread()
            if pull is None:
                moved.clear()
                if flight.call_when_moved(moved.set, version):
                    moved.wait(UNREAD_S)
                continue
            source = pull.source
            try:
                events = source.pull() if source.home is None else source.pull_from_thread()
            except Exception as error:  # noqa: BLE001  # whatever it is, everybody who waits must hear of it
                flight.ended(pull.token, as_ours(error))
            else:
                if events is None:
                    flight.ended(pull.token)
                else:
                    flight.pulled(pull.token, events)
        self._feeding = False
