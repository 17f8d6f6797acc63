"""Brings what leaders in other processes tell to the flights of this process that follow them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ostinato.caching.stores.leases import Seen
from ostinato.caching.worker import Worker
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.envelope import Envelope
    from ostinato.caching.leased_flight import LeasedFlight
    from ostinato.caching.stores.leases import Leases, Live

LOOK_S = 0.25
"""How long to wait for a word before looking whether the leaders live."""
PAUSE_S = 0.1
"""How long a store that failed is left alone."""


class Follow:
    """One flight that follows a leader elsewhere."""

    __slots__ = ("flight", "heard_at", "live", "position", "token")

    def __init__(self, flight: LeasedFlight, token: int, live: Live, now: float) -> None:
        self.flight = flight
        self.token = token
        self.live = live
        self.position = 0
        self.heard_at = now


class Watch:
    """One thread, while there are flights that follow."""

    def __init__(
        self,
        leases: Leases,
        failed: Callable[[StoreError], None],
        envelope: Envelope | None,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._leases = leases
        self._store_failed = failed
        self._envelope = envelope
        self._monotonic = monotonic
        self._follows: list[Follow] = []
        self._rung: Collection[bytes] = ()
        """The keys of which something may have been told."""
        self.worker = Worker("ostinato-watch", self.round, self._follows.clear)

    def follow(self, flight: LeasedFlight, token: int, live: Live) -> None:
        """Let `flight` have what has come, and what comes, until its leader is done or gone."""
        self._follows.append(Follow(flight, token, live, self._monotonic() - LOOK_S))
        self.worker.wake()
        self._leases.interrupt()

    def round(self) -> float | None:
        """Hear what is new. Return 0 while somebody follows, the pause after a failure, None when nobody does."""
        for one in list(self._follows):
            if not one.flight.is_following(one.token):
                self._follows.remove(one)
        keys = [one.live.key for one in self._follows]
        try:
            if keys:
                self._ask()
            self._rung = self._leases.wait(keys, LOOK_S)
        except StoreError as error:
            self._rung = keys
            self._failed(error)
            return PAUSE_S
        return 0.0 if keys else None

    def _ask(self) -> None:
        """Hear of the streams of which something was told, and of those of which nothing was heard for long."""
        now = self._monotonic()
        asked = [one for one in self._follows if one.live.key in self._rung or now >= one.heard_at + LOOK_S]
        for one in asked:
            if not one.position:
                self._hear(one, one.live.frames)
        news = self._leases.follow([Seen(one.live.key, one.live.token, one.position) for one in asked]) if asked else []
        problem: StoreError | None = None
        for one, new in zip(asked, news, strict=True):
            if isinstance(new, StoreError):
                problem = new
                continue
            one.heard_at = self._monotonic()
            self._hear(one, new.frames)
            if new.gone:
                one.flight.orphaned(one.token)
        if problem is not None:
            raise problem

    def _hear(self, one: Follow, heard: list[bytes]) -> None:
        if heard:
            stream, position = one.live.key + one.live.token, one.position
            told = heard if self._envelope is None else self._envelope.open(stream, position, heard)
            one.position += len(heard)
            one.flight.told(one.token, told)

    def _failed(self, error: StoreError) -> None:
        """Bear with a store that fails for as long as a lease lasts; then each flight is for itself."""
        self._store_failed(error)
        now = self._monotonic()
        for one in self._follows:
            if now - one.heard_at >= self._leases.lease_s:
                one.flight.cut_off(one.token)
