"""The state machine as a table: what the flow asks for, what it is answered, where that leads.

Nothing here waits, sends or sleeps. A row is a list of (reader, step that is expected, what comes of it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ostinato import Cache
from ostinato.caching.flight import Events, Flight, Open, Pull, Wait
from ostinato.caching.flow import LookUp, Ride, Sleep
from ostinato.caching.record import Entry
from ostinato.caching.seat import Seat
from ostinato.errors import (
    APIConnectionError,
    BadRequestError,
    OstinatoError,
    ReplayMissError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.wire import find_wire

WIRE = find_wire("openai_chat")
KEY = b"t" * 8 + b"k" * 32
BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}
BODY_BYTES = msgspec.json.encode(BODY)


def chunk(content: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return msgspec.json.encode({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


@dataclass
class Rider:
    """One caller, stepped by hand."""

    cache: Cache | None
    streams: bool = False
    retries: int = 0
    mode: str = "default_on"
    ride: Ride = field(init=False)
    step: Any = None
    result: Any = None
    error: OstinatoError | None = None

    def __post_init__(self) -> None:
        seat = None
        if self.cache is not None:
            seat = Seat(self.cache, self.cache.policy(None), KEY, "chat", WIRE.name, "openai/gpt-4o")

        def delay(error: OstinatoError, attempt: int) -> float | None:
            return 0.5 * attempt if error.retryable and attempt <= self.retries else None

        self.ride = Ride(WIRE, cache=self.cache, seat=seat, streams=self.streams, retry_delay=delay)
        self._steps = self.ride.steps()
        self.answer(None, first=True)

    def answer(self, value: Any, *, first: bool = False) -> None:
        try:
            self.step = next(self._steps) if first else self._steps.send(value)
        except StopIteration as done:
            self.step, self.result = None, done.value
        except OstinatoError as error:
            self.step, self.error = None, error

    @property
    def flight(self) -> Flight:
        assert self.ride.flight is not None
        return self.ride.flight

    def settle_look_ups(self) -> None:
        while isinstance(self.step, LookUp):
            self.answer(self.ride.seat.recall() if self.ride.seat else None)

    # What a shell may make of Open and Pull.

    def lands(self) -> None:
        assert isinstance(self.step, Open)
        self.flight.landed(self.step.token, BODY_BYTES, msgspec.json.decode(BODY_BYTES))
        self.answer(None)

    def opens(self) -> None:
        assert isinstance(self.step, Open)
        self.flight.opened(self.step.token, "a source")
        self.answer(None)

    def breaks(self, error: OstinatoError) -> None:
        assert isinstance(self.step, Open)
        self.flight.broke(self.step.token, error)
        self.answer(None)

    def pulls(self, *events: bytes) -> None:
        assert isinstance(self.step, Pull)
        self.flight.pulled(self.step.token, list(events))
        self.answer(None)

    def ends(self, error: OstinatoError | None = None) -> None:
        assert isinstance(self.step, Pull)
        self.flight.ended(self.step.token, error)
        self.answer(None)

    def moves(self) -> None:
        assert isinstance(self.step, Wait)
        self.answer("moved")

    def reads(self) -> list[bytes]:
        assert isinstance(self.step, Events)
        read = [self.flight.raw_event(index) for index in range(self.step.start, self.step.stop)]
        self.answer(None)
        return read


def riders(count: int, **settings: Any) -> tuple[Cache, list[Rider]]:
    """Return callers of one key that have all looked up in vain; the first is asked to open."""
    cache = Cache.memory()
    everybody = [Rider(cache, **settings) for _ in range(count)]
    for rider in everybody:
        rider.settle_look_ups()
    return cache, everybody


def test_call_without_a_cache_opens_at_once() -> None:
    rider = Rider(None)
    assert isinstance(rider.step, Open)

    rider.lands()
    assert rider.result.body() == BODY


def test_hit_answers_and_opens_nothing() -> None:
    cache, (first,) = riders(1)
    first.lands()
    second = Rider(cache)
    second.settle_look_ups()

    assert isinstance(second.result, Entry)
    assert second.ride.flight is None


def test_founder_opens_and_followers_wait() -> None:
    _, (leader, *followers) = riders(3)

    assert isinstance(leader.step, Open)
    assert all(isinstance(rider.step, Wait) for rider in followers)


def test_body_answers_everybody_and_is_stored_once() -> None:
    cache, (leader, *followers) = riders(3)
    leader.lands()
    for rider in followers:
        rider.moves()

    assert [rider.result.body() for rider in (leader, *followers)] == [BODY] * 3
    assert cache.counters.stored == 1
    assert len(cache.flights) == 0


def test_claim_after_another_landed_is_answered_by_the_second_look() -> None:
    cache, (early,) = riders(1)
    late = Rider(cache)
    early_look = late.step
    early.lands()
    late.answer(None)  # what its first look had found, before the landing
    late.settle_look_ups()

    assert isinstance(early_look, LookUp)
    assert isinstance(late.result, Entry)


def test_every_reader_gets_every_event_in_order() -> None:
    _, (leader, follower) = riders(2, streams=True)
    leader.opens()
    follower.moves()
    events = [chunk("a"), chunk("b"), chunk(finish="stop")]
    leader.pulls(events[0])
    first = leader.reads()
    leader.pulls(events[1], events[2], b"[DONE]")

    assert first + leader.reads() == events
    follower.moves() if isinstance(follower.step, Wait) else None
    assert follower.reads() == events
    assert leader.result is follower.result is leader.flight


def test_follower_pulls_while_the_leader_pauses() -> None:
    _, (leader, follower) = riders(2, streams=True)
    leader.opens()
    leader.pulls(chunk("a"))  # and is never driven again
    follower.moves()

    follower.reads()
    assert isinstance(follower.step, Pull)
    follower.pulls(chunk("b"), chunk(finish="stop"))
    assert len(follower.reads()) == 2


def test_late_follower_reads_the_stream_from_its_first_event() -> None:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), chunk("b"))
    late = Rider(cache, streams=True)
    late.settle_look_ups()

    assert late.reads() == [chunk("a"), chunk("b")]


def test_unstreamed_follower_of_a_stream_gets_the_folded_body() -> None:
    cache, (leader,) = riders(1, streams=True)
    follower = Rider(cache)
    follower.settle_look_ups()
    leader.opens()
    leader.pulls(chunk("hi"), chunk(finish="stop"), b"[DONE]")
    follower.moves()

    assert follower.result.body()["choices"][0]["message"]["content"] == "hi"


def test_end_without_done_lands_when_every_choice_is_finished() -> None:
    cache, (leader,) = riders(1, streams=True)
    leader.opens()
    leader.pulls(chunk("a"), chunk(finish="stop"))
    leader.reads()
    leader.ends()

    assert leader.error is None
    assert cache.counters.stored == 1


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
    source = leader.ride.leave()

    assert source == "a source"
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
    assert leader.ride.leave() is None
    follower.moves()

    assert follower.reads() == [chunk("a")]
    assert isinstance(follower.step, Pull)


def test_leaving_twice_is_leaving_once() -> None:
    _, (leader, follower) = riders(2)
    leader.ride.leave()
    leader.ride.leave()

    assert not follower.flight.over


def test_replay_raises_and_opens_nothing() -> None:
    rider = Rider(Cache.memory(mode="replay"))
    rider.settle_look_ups()

    assert isinstance(rider.error, ReplayMissError)
    assert rider.ride.flight is None


def test_record_mode_never_looks_up_and_always_stores() -> None:
    cache = Cache.memory(mode="record")
    rider = Rider(cache)
    assert isinstance(rider.step, Open)

    rider.lands()
    assert cache.counters.stored == 1


REJECTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "content filter": lambda body: body["choices"][0].update(finish_reason="content_filter"),
    "nothing said": lambda body: body["choices"][0]["message"].update(content=None),
    "no choices": lambda body: body.update(choices=[]),
    "cut tool argument": lambda body: body["choices"][0]["message"].update(
        tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": '}}]
    ),
}


@pytest.mark.parametrize("spoil", REJECTED.values(), ids=REJECTED.keys())
def test_answer_that_is_none_to_keep_is_passed_on_and_not_stored(spoil: Callable[[dict[str, Any]], Any]) -> None:
    cache, (leader,) = riders(1)
    body = msgspec.json.decode(BODY_BYTES)
    spoil(body)
    assert isinstance(leader.step, Open)
    leader.flight.landed(leader.step.token, msgspec.json.encode(body), body)
    leader.answer(None)

    assert leader.error is None
    assert (cache.counters.stored, cache.counters.rejected) == (0, 1)
