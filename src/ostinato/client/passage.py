"""Answers to requests of a dialect: voyages whose events are handed on as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.caching.flight import Flight
from ostinato.caching.moves import Events
from ostinato.caching.record import Entry
from ostinato.client.async_voyage import AsyncVoyage
from ostinato.errors import (
    APIConnectionError,
    APIResponseError,
    OstinatoError,
    ReplayMissError,
    Timeout,
)

if TYPE_CHECKING:
    from ostinato.records import Chunk
    from ostinato.wire.contract import Event, Json, Wire
    from ostinato.wire.dialects import Dialect


class Passage(AsyncVoyage):
    """One ride, carried out for a client that reads bytes."""

    __slots__ = ()

    async def whole(self) -> Entry | Flight:
        """Carry the ride out and return what answers."""
        answer = await self.answer()
        if isinstance(answer, Entry):
            self._refresh_if_stale(answer)
        return answer

    async def depart(self) -> Entry | Flight:
        """Carry the ride out up to the first event, so that what fails before it fails here."""
        try:
            step = next(self._steps)
            while not isinstance(step, Events):
                step = self._steps.send(await self.do(step))
        except StopIteration as done:
            step = done.value
        except BaseException:
            self.leave()
            raise
        if isinstance(step, Entry):
            self.leave()
            self._refresh_if_stale(step)
            return step
        self._pending = step
        flight = self._ride.flight
        assert flight is not None  # noqa: S101  # the ride is past boarding
        return flight

    async def told(self, flight: Flight, teller: Teller) -> AsyncIterator[bytes]:
        """Yield the stream as bytes, what came together together. An error is its last event."""
        try:
            async for batch in self._batches():
                events = [teller.feed(flight.event(index), flight.raw_event(index)) for index in batch]
                yield b"".join(events)
            if not flight.streamed:
                yield b"".join(map(teller.feed, flight.wire.unfold(flight.body(), flight.cuts, flight.headers)))
            yield teller.end()
        except OstinatoError as error:
            yield teller.fail(error)
        finally:
            self.leave()

    async def _batches(self) -> AsyncIterator[range]:
        step = self._pending
        try:
            while not isinstance(step, Flight):
                if isinstance(step, Events):
                    yield range(step.start, step.stop)
                    step = self._steps.send(None)
                else:
                    step = self._steps.send(await self.do(step))
        except StopIteration:
            pass


class Teller(Protocol):
    """Turns the events of one stream into bytes for its reader."""

    def feed(self, event: Event, raw: bytes | None = None) -> bytes:
        """Return an event as its reader gets it; `raw` are its bytes where they are there."""

    def end(self) -> bytes:
        """Return what is due after the last event."""

    def fail(self, error: OstinatoError) -> bytes:
        """Return what tells the reader that the stream broke."""


class Straight:
    """Tells events in the dialect they came in: byte for byte, but for the cost beside what was counted."""

    __slots__ = ("_cost", "_counting", "_dialect", "_number", "_shows_counts")

    def __init__(self, dialect: Dialect, cost: Callable[[Json], float | None], *, shows_counts: bool) -> None:
        self._dialect = dialect
        self._counting = dialect.counting()
        self._cost = cost
        self._shows_counts = shows_counts
        self._number: Any = None

    def feed(self, event: Event, raw: bytes | None = None) -> bytes:
        self._number = event.get("sequence_number")
        counted = self._counting.feed(event)
        if counted is not None:
            usage, body = counted
            if not self._shows_counts and self._dialect.only_counts(event):
                return b""
            cost = self._cost(body)
            if cost is not None:
                usage["cost"] = cost
                raw = None
        return self._dialect.frame(event, raw)

    def end(self) -> bytes:
        return self._dialect.done

    def fail(self, error: OstinatoError) -> bytes:
        events = self._dialect.renderer().fail(error, status_of(error))
        for event in events:
            if "sequence_number" in event and isinstance(self._number, int):
                event["sequence_number"] = self._number + 1
        return b"".join(map(self._dialect.frame, events))


class Turned:
    """Tells events of any wire in a dialect."""

    __slots__ = ("_cost", "_counting", "_dialect", "_named", "_paid", "_renderer", "_shows_counts", "_translator")

    def __init__(
        self,
        wire: Wire,
        dialect: Dialect,
        cost: Callable[[Chunk], float | None],
        named: Json,
        *,
        shows_counts: bool,
    ) -> None:
        """`named` are the id and the model of chunks that have none."""
        self._dialect = dialect
        self._translator = wire.translator()
        self._renderer = dialect.renderer()
        self._counting = dialect.counting()
        self._cost = cost
        self._named = named
        self._shows_counts = shows_counts
        self._paid: float | None = None

    def feed(self, event: Event, raw: bytes | None = None) -> bytes:
        return self._told(self._translator.feed(event))

    def end(self) -> bytes:
        told = self._told(self._translator.end())
        return told + self._framed(self._renderer.end()) + self._dialect.done

    def fail(self, error: OstinatoError) -> bytes:
        return b"".join(map(self._dialect.frame, self._renderer.fail(error, status_of(error))))

    def _told(self, chunks: list[Chunk]) -> bytes:
        events: list[Event] = []
        for chunk in chunks:
            for name, value in self._named.items():
                if dict.get(chunk, name) is None:
                    chunk[name] = value
            if dict.get(chunk, "usage"):
                self._paid = self._cost(chunk)
            events += self._renderer.feed(chunk)
        return self._framed(events)

    def _framed(self, events: list[Event]) -> bytes:
        framed = []
        for event in events:
            counted = self._counting.feed(event)
            if counted is not None:
                if not self._shows_counts and self._dialect.only_counts(event):
                    continue
                if self._paid is not None:
                    counted[0]["cost"] = self._paid
            framed.append(self._dialect.frame(event))
        return b"".join(framed)


def status_of(error: OstinatoError) -> int:
    """Return the HTTP status that says what an error says."""
    if isinstance(error, Timeout) and "status_code" not in vars(error):
        return 504
    if error.status_code is not None:
        return error.status_code
    if isinstance(error, (APIResponseError, APIConnectionError)):
        return 502
    if isinstance(error, ReplayMissError):
        return 404
    return 500
