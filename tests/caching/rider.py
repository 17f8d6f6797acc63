"""One caller of the state machine, stepped by hand: nothing here waits, sends or sleeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ostinato import Cache
from ostinato.caching.flight import Flight
from ostinato.caching.flow import LookUp, Ride
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.moves import Claim, Events, Open, Pull, Wait
from ostinato.caching.seat import Seat
from ostinato.errors import (
    OstinatoError,
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
class Way:
    """A way upstream that is pulled by hand."""

    closed: bool = False
    home: object = None
    events: list[list[bytes]] = field(default_factory=list)

    def pull(self) -> list[bytes] | None:
        return self.events.pop(0) if self.events else None

    def close(self) -> None:
        self.closed = True


@dataclass
class Rider:
    """One caller, stepped by hand."""

    cache: Cache | None
    streams: bool = False
    retries: int = 0
    mode: str = "default_on"
    ride: Ride = field(init=False)
    way: Way = field(default_factory=Way)
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
            self.answer(self.ride.seat.recall(again=self.step.again) if self.ride.seat else None)

    def claims(self) -> None:
        assert isinstance(self.step, Claim)
        seat = self.ride.seat
        assert seat is not None
        flight = self.flight
        assert isinstance(flight, LeasedFlight)
        self.answer(seat.settle(flight, self.step.token, seat.claim(anew=self.ride.anew, again=flight.has_followed)))

    # What a shell may make of Open and Pull.

    def lands(self) -> None:
        assert isinstance(self.step, Open)
        self.flight.landed(self.step.token, BODY_BYTES, msgspec.json.decode(BODY_BYTES))
        self.answer(None)

    def opens(self) -> None:
        assert isinstance(self.step, Open)
        self.flight.opened(self.step.token, self.way)
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
        read = [self.step.tape.log[index] for index in range(self.step.start, self.step.stop)]
        self.answer(None)
        return read


def riders(count: int, **settings: Any) -> tuple[Cache, list[Rider]]:
    """Return callers of one key that have all looked up in vain; the first is asked to open."""
    cache = Cache.memory()
    everybody = [Rider(cache, **settings) for _ in range(count)]
    for rider in everybody:
        rider.settle_look_ups()
    return cache, everybody
