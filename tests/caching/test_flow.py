"""The state machine as a table: what the flow asks for, what it is answered, where that leads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ostinato import (
    Cache,
    ReplayMissError,
)
from ostinato.caching.flight import Flight
from ostinato.caching.flow import LookUp
from ostinato.caching.moves import Open, Pull, Wait
from ostinato.caching.record import Entry
from ostinato.caching.seat import Seat
from ostinato.wire import find_wire
from tests.caching.rider import BODY, BODY_BYTES, KEY, WIRE, Rider, chunk, riders


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


def test_an_entry_of_another_wire_that_lands_a_flight_is_read_in_that_wire() -> None:
    flight = Flight(WIRE, shared=True)
    reader = flight.attach()
    assert reader is not None
    move = flight.poll(reader)
    assert isinstance(move, Open)
    flight.found(move.token, Entry(KEY[8:], "chat", "anthropic", 0.0, b'{"type":"message"}'))

    assert flight.wire is find_wire("anthropic")
    assert flight.body() == {"type": "message"}


def test_who_may_be_answered_in_another_wire_elsewhere_follows_no_other_process() -> None:
    cache = Cache.memory()
    seat = Seat(cache, cache.default, KEY, "chat", "openai_chat", "gpt-4o")
    assert seat.shares

    seat.alone = True

    assert not seat.shares
