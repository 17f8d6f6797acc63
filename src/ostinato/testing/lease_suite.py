"""The behaviours that the leases of every store have, to be run over a store of your own.

    from ostinato.testing.lease_suite import LeaseSuite

    class TestMyLeases(LeaseSuite):
        def make_store(self, clock):
            return MyStore(lease_s=self.lease_s, clock=clock)

The store has `leases`; see `ostinato.caching.stores.leases`. Where its server has a clock of its own, `pass_time` moves
what the server compares with it, or waits, and then `lease_s` is better small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from ostinato.caching.stores.contract import Store
from ostinato.caching.stores.leases import Claimed, End, Heard, Lead, Leases, Live, News, Report, Seen
from ostinato.errors import StoreError
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import key_of

KEY = key_of("asked for by many")


class LeasingStore(Store, Protocol):
    """A store with leases."""

    @property
    def leases(self) -> Leases: ...


class LeaseSuite:
    """Subclass it, name the class `Test…`, and say how a store is made."""

    lease_s = 5.0
    tells_alone = True
    """Whether what is told while nobody follows is in the store, and not held back until somebody does."""
    clock = ManualClock()

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        """Return a new, empty store whose leases last `lease_s`."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let `seconds` pass for the store."""
        self.clock.advance(seconds)

    @contextmanager
    def opened(self) -> Iterator[LeasingStore]:
        """Make a store, and close it afterwards."""
        self.clock = ManualClock()
        store = self.make_store(self.clock)
        try:
            yield store
        finally:
            store.close()

    def test_one_of_many_leads_and_the_others_follow(self) -> None:
        with self.opened() as store, ThreadPoolExecutor(8) as pool:
            claimed = list(pool.map(lambda _: store.leases.claim(KEY), range(8)))
            leads = [one for one in claimed if isinstance(one, Lead)]
            lives = [one for one in claimed if isinstance(one, Live)]

            assert len(leads) == 1
            assert lives == [Live(KEY, leads[0].token, [])] * 7

    def test_claims_by_awaiting_and_by_waiting_are_one(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))

            async def claim() -> tuple[Claimed, Claimed]:
                return await store.leases.aclaim(KEY), await store.leases.aclaim(key_of("another"))

            live, other = asyncio.run(claim())
            assert live == Live(KEY, lead.token, [])
            assert led(other).key == key_of("another")

    def test_who_attaches_gets_what_has_come_and_then_the_rest(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            heard = [tell(store, lead, 0, b"one"), tell(store, lead, 1, b"two", b"")]
            live = followed(store.leases.claim(KEY))
            heard.append(tell(store, lead, 3, b"three"))
            rest = news(store, lead, len(live.frames))
            nothing = news(store, lead, 4)

            assert heard == ["alone", "alone", "followed"]
            assert live.frames == ([b"one", b"two", b""] if self.tells_alone else [])
            assert [*live.frames, *rest.frames] == [b"one", b"two", b"", b"three"]
            assert nothing == News([])

    def test_what_is_told_twice_is_taken_once(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            tell(store, lead, 0, b"one")
            tell(store, lead, 0, b"one", b"two")
            store.leases.claim(KEY)
            tell(store, lead, 1, b"two")
            tell(store, lead, 1, b"two", b"three")

            assert followed(store.leases.claim(KEY)).frames == [b"one", b"two", b"three"]

    def test_an_answer_that_landed_is_the_entry_of_whoever_claims(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            tell(store, lead, 0, b"one", end="landed", value=b"entry")

            assert store.get(KEY) == b"entry"
            assert store.leases.claim(KEY) == b"entry"
            assert asyncio.run(store.leases.aclaim(KEY)) == b"entry"
            assert isinstance(store.leases.claim(KEY, over=True), Lead)

    def test_an_entry_is_claimed_while_somebody_replaces_it(self) -> None:
        with self.opened() as store:
            store.set(KEY, b"old")
            store.flush()
            lead = led(store.leases.claim(KEY, over=True))

            assert store.leases.claim(KEY) == b"old"
            assert isinstance(store.leases.claim(KEY, over=True), Live)
            tell(store, lead, 0, end="landed", value=b"new")
            assert store.get(KEY) == b"new"

    def test_an_entry_that_landed_lives_as_long_as_it_was_told(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            tell(store, lead, 0, end="landed", value=b"entry", ttl_s=self.lease_s)
            self.pass_time(self.lease_s * 1.5)

            assert isinstance(store.leases.claim(KEY), Lead)
            assert store.get(KEY) is None

    def test_who_followed_can_read_to_the_end_after_the_landing(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, lead, 0, b"one", b"end", end="landed", value=b"entry")

            assert news(store, lead, 0) == News([b"one", b"end"])
            assert news(store, lead, 2) == News([])

    def test_who_followed_once_can_read_to_the_end_after_a_long_silence(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            self.pass_time(self.lease_s * 1.5)
            tell(store, lead, 0, b"one", b"end", end="landed", value=b"entry")

            assert news(store, lead, 0) == News([b"one", b"end"])

    def test_nothing_is_left_of_a_stream_that_nobody_followed(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            tell(store, lead, 0, b"one")
            tell(store, lead, 1, b"end", end="landed", value=b"entry")

            assert news(store, lead, 0) == News([], gone=True)

    def test_a_leader_that_tells_nothing_is_taken_for_dead_and_one_follower_takes_over(self) -> None:
        with self.opened() as store:
            dead = led(store.leases.claim(KEY))
            tell(store, dead, 0, b"dead")
            self.pass_time(self.lease_s * 1.5)
            gone = news(store, dead, 1).gone
            claimed = [store.leases.claim(KEY) for _ in range(3)]

            assert gone
            assert [type(one) for one in claimed] == [Lead, Live, Live]
            assert not led(claimed[0]).last
            assert followed(claimed[1]).frames == []

    def test_who_takes_over_is_followed_at_first_by_those_who_have_yet_to_notice(self) -> None:
        with self.opened() as store:
            dead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, dead, 0, b"dead")
            self.pass_time(self.lease_s * 1.5)
            heir = led(store.leases.claim(KEY))
            heard = [tell(store, heir, 0, b"one", end="released")]
            self.pass_time(self.lease_s * 1.2)
            heard.append(tell(store, heir, 1, b"two"))

            assert heard == ["followed", "alone"]

    def test_a_leader_that_was_taken_for_dead_can_tell_and_store_nothing(self) -> None:
        with self.opened() as store:
            frozen = led(store.leases.claim(KEY))
            tell(store, frozen, 0, b"one")
            self.pass_time(self.lease_s * 1.5)
            lead = led(store.leases.claim(KEY))
            heard = [
                tell(store, frozen, 1, b"two"),
                tell(store, frozen, 1),
                tell(store, frozen, 1, end="landed", value=b"frozen"),
                tell(store, frozen, 1, end="dropped"),
            ]

            assert heard == ["fenced"] * 4
            assert store.get(KEY) is None
            assert followed(store.leases.claim(KEY)) == Live(KEY, lead.token, [])

    def test_a_leader_that_wakes_after_its_successor_landed_stores_nothing(self) -> None:
        with self.opened() as store:
            frozen = led(store.leases.claim(KEY))
            self.pass_time(self.lease_s * 1.5)
            lead = led(store.leases.claim(KEY))
            tell(store, lead, 0, b"whole", end="landed", value=b"entry")

            assert tell(store, frozen, 0, end="landed", value=b"frozen") == "fenced"
            assert store.get(KEY) == b"entry"

    def test_a_leader_that_wakes_before_anybody_claimed_goes_on(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            self.pass_time(self.lease_s * 1.5)

            assert tell(store, lead, 0, b"one") == "alone"
            assert isinstance(store.leases.claim(KEY), Live)

    def test_a_lease_lasts_as_long_as_it_is_renewed(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            for _ in range(3):
                self.pass_time(self.lease_s * 0.6)
                tell(store, lead, 0)

            assert isinstance(store.leases.claim(KEY), Live)

    def test_after_an_error_that_passes_one_takes_over_for_the_last_time(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, lead, 0, end="broken")
            gone = news(store, lead, 0).gone
            claimed = [store.leases.claim(KEY) for _ in range(2)]

            assert gone
            assert [type(one) for one in claimed] == [Lead, Live]
            assert led(claimed[0]).last

    def test_a_final_error_is_read_by_those_who_follow_and_asked_anew_by_others(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, lead, 0, b"error", end="failed")
            read = news(store, lead, 0)
            claimed = led(store.leases.claim(KEY))

            assert read == News([b"error"])
            assert not claimed.last

    def test_who_followed_a_dead_leader_joins_its_heir_even_when_that_has_ended(self) -> None:
        with self.opened() as store:
            dead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, dead, 0, b"dead")
            self.pass_time(self.lease_s * 1.5)
            heir = led(store.leases.claim(KEY, again=True))
            tell(store, heir, 0, b"one", b"error", end="failed")
            late = followed(store.leases.claim(KEY, again=True))

            assert late == Live(KEY, heir.token, [b"one", b"error"])
            assert isinstance(store.leases.claim(KEY), Lead)

    def test_a_lease_is_given_back_unless_somebody_follows(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            alone = tell(store, lead, 0, b"one", end="released")
            again = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            kept = tell(store, again, 0, b"two", end="released")

            assert (alone, kept) == ("alone", "followed")
            assert followed(store.leases.claim(KEY)).frames == [b"two"]

    def test_a_lease_that_is_dropped_is_gone_for_those_who_follow(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, lead, 0, end="dropped")

            assert news(store, lead, 0).gone
            assert isinstance(store.leases.claim(KEY), Lead)

    def test_a_follower_that_asks_no_more_is_forgotten(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY))
            store.leases.claim(KEY)
            tell(store, lead, 0, b"one")
            self.pass_time(self.lease_s * 0.6)
            news(store, lead, 0)
            self.pass_time(self.lease_s * 0.6)
            still = tell(store, lead, 1, b"two")
            self.pass_time(self.lease_s * 1.5)

            assert still == "followed"
            assert tell(store, lead, 2, b"three") == "alone"

    def test_many_reports_and_many_followers_are_one_operation(self) -> None:
        with self.opened() as store:
            keys = [key_of(number) for number in range(20)]
            leads = [led(store.leases.claim(key)) for key in keys]
            lives = [followed(store.leases.claim(key)) for key in keys]
            reports = [Report(lead.key, lead.token, 0, [lead.key]) for lead in leads]
            stale = Report(keys[0], b"of nobody", 0, [b"wrong"])
            heard = store.leases.tell([*reports, stale])
            read = store.leases.follow([Seen(live.key, live.token, 0) for live in lives])

            assert heard == [*["followed"] * 20, "fenced"]
            assert read == [News([key]) for key in keys]


def tell(
    store: LeasingStore,
    lead: Lead,
    position: int,
    *frames: bytes,
    end: End | None = None,
    value: bytes | None = None,
    ttl_s: float | None = None,
) -> Heard:
    """Tell one report, and return what the leader hears."""
    [heard] = store.leases.tell([Report(lead.key, lead.token, position, list(frames), end, value, ttl_s)])
    if isinstance(heard, StoreError):
        raise heard
    return heard


def news(store: LeasingStore, lead: Lead, position: int) -> News:
    """Return what is new of a live stream."""
    [new] = store.leases.follow([Seen(lead.key, lead.token, position)])
    if isinstance(new, StoreError):
        raise new
    return new


def led(claimed: Claimed) -> Lead:
    """Return the lead that was claimed."""
    assert isinstance(claimed, Lead)
    return claimed


def followed(claimed: Claimed) -> Live:
    """Return the live stream that was claimed."""
    assert isinstance(claimed, Live)
    return claimed
