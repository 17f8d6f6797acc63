from __future__ import annotations

from ostinato.caching.stores.breaker import Breaker
from ostinato.testing.clock import ManualClock


def opened(clock: ManualClock) -> Breaker:
    """Return a breaker that has just opened, for 5 seconds."""
    breaker = Breaker(failures=3, rest_s=5, clock=clock)
    for _ in range(3):
        assert breaker.admits()
        breaker.failed()
    return breaker


def test_a_breaker_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, rest_s=5, clock=ManualClock())
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert (breaker.state, breaker.admits()) == ("closed", True)
    breaker.failed()

    assert (breaker.state, breaker.admits()) == ("open", False)


def test_an_open_breaker_lets_one_caller_probe_when_it_has_rested() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(4.9)
    assert not breaker.admits()
    clock.advance(0.1)

    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    assert breaker.state == "probing"


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admits()
    breaker.succeeded()

    assert breaker.state == "closed"
    assert [breaker.admits() for _ in range(3)] == [True, True, True]


def test_a_probe_that_fails_opens_the_breaker_for_as_long_again() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admits()
    clock.advance(1)
    breaker.failed()
    assert breaker.state == "open"
    clock.advance(4.9)
    assert not breaker.admits()
    clock.advance(0.1)

    assert breaker.admits()


def test_a_probe_that_never_reports_is_followed_by_another() -> None:
    clock = ManualClock()
    breaker = opened(clock)
    clock.advance(5)
    assert breaker.admits()
    clock.advance(5)

    assert breaker.admits()


def test_a_tripped_breaker_is_open_at_once() -> None:
    clock = ManualClock()
    breaker = Breaker(failures=3, rest_s=5, clock=clock)
    breaker.trip()
    assert (breaker.state, breaker.admits()) == ("open", False)
    clock.advance(5)
    assert breaker.admits()
    breaker.succeeded()

    assert breaker.state == "closed"
