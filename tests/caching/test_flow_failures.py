"""The state machine when something fails: the vendor, a stream, a reader."""

from __future__ import annotations

import pytest

from ostinato import (
    APIConnectionError,
    BadRequestError,
    Cache,
    OstinatoError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.caching import tape
from ostinato.caching.flow import Sleep
from ostinato.caching.moves import Open, Pull, Wait
from tests.caching.rider import BODY, Rider, chunk, riders


@pytest.mark.parametrize("error", [None, APIConnectionError("cut")])
def test_cut_stream_fails_everybody_after_what_came_and_stores_nothing(error: OstinatoError | None) -> None:
    cache, (leader, follower) = riders(2, streams=True)
    leader.opens()
    leader.pulls(chunk("a"))
    leader.reads()
    leader.ends(error)
    follower.moves()
    follower.reads()

    assert isinstance(leader.error, APIConnectionError)
    assert isinstance(follower.error, APIConnectionError)
    assert leader.error is not follower.error
    assert cache.counters.stored == 0


def test_error_event_in_mid_stream_fails_everybody() -> None:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), b'{"error": {"message": "overloaded", "type": "server_error"}}')
    leader.reads()

    assert leader.error is not None
    assert cache.counters.stored == 0


def test_error_event_after_the_finish_is_an_error_all_the_same() -> None:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), chunk(finish="stop"), b'{"error": {"message": "late", "type": "server_error"}}')
    leader.reads()

    assert leader.error is not None
    assert cache.counters.stored == 0


def test_stream_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "MAX_STREAM_BYTES", 400)
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), chunk("b" * 400))
    leader.reads()

    assert "larger than 400 bytes" in str(leader.error)
    assert cache.counters.stored == 0


def test_flight_that_failed_takes_nobody_more() -> None:
    _, (leader,) = riders(1)
    failed = leader.flight
    leader.breaks(BadRequestError("no"))

    assert failed.attach() is None


def test_error_as_the_first_event_is_tried_again() -> None:
    _, (leader,) = riders(1, streams=True, retries=1)
    leader.opens()
    leader.pulls(b'{"error": {"message": "try later", "type": "server_error", "code": 503}}')

    assert leader.step == Sleep(0.5)
    leader.answer(None)
    assert isinstance(leader.step, Open)


def test_event_that_is_no_json_fails_the_stream() -> None:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), b"{nonsense")
    leader.reads()

    assert "no JSON" in str(leader.error)
    assert cache.counters.stored == 0


def test_final_error_is_everybodys() -> None:
    _, (leader, *followers) = riders(4)
    leader.breaks(BadRequestError("no"))
    for rider in followers:
        rider.moves()

    errors = [rider.error for rider in (leader, *followers)]
    assert all(isinstance(error, BadRequestError) for error in errors)
    assert len({id(error) for error in errors}) == 4


def test_leader_alone_retries_and_followers_keep_waiting() -> None:
    _, (leader, follower) = riders(2, retries=1)
    leader.breaks(ServiceUnavailableError("busy"))
    follower.moves()

    assert leader.step == Sleep(0.5)
    assert isinstance(follower.step, Wait)
    leader.answer(None)
    leader.lands()
    follower.moves()
    if isinstance(follower.step, Wait):
        follower.moves()
    assert follower.result.body() == BODY


def test_after_the_leader_gave_up_exactly_one_asks_again() -> None:
    _, (leader, *followers) = riders(4)
    leader.breaks(ServiceUnavailableError("busy"))
    for rider in followers:
        rider.moves()

    assert isinstance(leader.error, ServiceUnavailableError)
    assert sum(isinstance(rider.step, Open) for rider in followers) == 1
    assert sum(isinstance(rider.step, Wait) for rider in followers) == 2


def test_second_failure_is_everybodys() -> None:
    _, (leader, *followers) = riders(4)
    leader.breaks(ServiceUnavailableError("busy"))
    for rider in followers:
        rider.moves()
    heir = next(rider for rider in followers if isinstance(rider.step, Open))
    heir.breaks(ServiceUnavailableError("busy"))
    for rider in followers:
        if isinstance(rider.step, Wait):
            rider.moves()

    assert all(isinstance(rider.error, ServiceUnavailableError) for rider in followers)


def test_follower_takes_over_when_the_opening_leader_is_interrupted() -> None:
    _, (leader, follower) = riders(2)
    assert isinstance(leader.step, Open)
    leader.flight.aborted(leader.step.token)
    leader.ride.leave()
    follower.moves()

    assert isinstance(follower.step, Open)


def test_follower_takes_over_when_the_sleeping_leader_leaves() -> None:
    _, (leader, follower) = riders(2, retries=5)
    leader.breaks(ServiceUnavailableError("busy"))
    assert isinstance(leader.step, Sleep)
    leader.ride.leave()
    follower.moves()

    assert isinstance(follower.step, Sleep)


def test_stalled_opening_is_handed_over_and_its_late_answer_is_ignored() -> None:
    _, (leader, follower) = riders(2)
    stale = leader.step.token
    follower.answer("stalled")
    assert isinstance(follower.step, Open)
    accepted = leader.flight.landed(stale, b"{}", {})

    assert not accepted
    follower.lands()
    leader.answer(None)
    assert leader.result.body() == BODY


def test_stalled_stream_fails_the_reader_that_had_passed_some_on() -> None:
    _, (leader, follower) = riders(2, streams=True)
    leader.opens()
    leader.pulls(chunk("a"))
    leader.reads()  # and pulls on, without end
    follower.moves()
    follower.reads()
    follower.answer("stalled")

    assert isinstance(follower.error, Timeout)


@pytest.mark.parametrize("waited", ["stalled", "deaf"])
def test_reader_that_cannot_wait_asks_for_itself(waited: str) -> None:
    _, (leader, follower) = riders(2)
    leader.ride.streams = True
    leader.opens()  # a source that nothing comes from
    assert isinstance(leader.step, Pull)
    follower.moves()
    follower.answer(waited)

    assert isinstance(follower.step, Open)
    assert follower.flight is not leader.flight
    assert not follower.flight.shared


def leaving(when: str) -> tuple[Cache, Rider]:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    events = {"before": [chunk("a")], "at": [chunk("a"), chunk(finish="stop")]}[when]
    leader.pulls(*events)
    leader.reads()
    return cache, leader


def test_last_reader_that_leaves_in_the_middle_ends_the_call_and_stores_nothing() -> None:
    cache, leader = leaving("before")
    leader.ride.leave()

    assert leader.way.closed
    assert cache.counters.stored == 0
    assert len(cache.flights) == 0


def test_last_reader_that_leaves_after_the_finish_leaves_a_record() -> None:
    cache, leader = leaving("at")
    leader.ride.leave()

    assert cache.counters.stored == 1


def test_reader_that_leaves_takes_nothing_from_the_others() -> None:
    _, (leader, follower) = riders(2, streams=True)
    leader.opens()
    leader.pulls(chunk("a"))
    leader.ride.leave()
    assert not leader.way.closed
    follower.moves()

    assert follower.reads() == [chunk("a")]
    assert isinstance(follower.step, Pull)


def test_leaving_twice_is_leaving_once() -> None:
    _, (leader, follower) = riders(2)
    leader.ride.leave()
    leader.ride.leave()

    assert not follower.flight.over
