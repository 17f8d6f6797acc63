"""Answers as bytes of a dialect: whole or event by event, as they came or translated, with what they cost."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ostinato.client.core import name
from ostinato.errors import (
    APIConnectionError,
    APIResponseError,
    OstinatoError,
    ReplayMissError,
    Timeout,
)
from ostinato.pricing.names import dollars
from ostinato.records import Answer, Completion, Usage
from ostinato.wire import find_wire
from ostinato.wire.contract import MISSHAPEN, misshapen

if TYPE_CHECKING:
    from ostinato.caching.flight import Flight
    from ostinato.caching.flow import Ride
    from ostinato.caching.record import Entry
    from ostinato.client.ask import Told
    from ostinato.client.request import Request
    from ostinato.client.route import Pricer
    from ostinato.client.way import Way
    from ostinato.records import Chunk
    from ostinato.wire.contract import Event, Json, Wire
    from ostinato.wire.dialects import Dialect

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


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
            cost = self._cost(body)
            if not self._shows_counts and self._dialect.only_counts(event):
                return b""
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
            for member, value in self._named.items():
                if dict.get(chunk, member) is None:
                    chunk[member] = value
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
    if error.status_code is not None and error.status_code >= 400:
        return error.status_code
    if isinstance(error, (APIResponseError, APIConnectionError)):
        return 502
    if isinstance(error, ReplayMissError):
        return 404
    return 500


class Form(msgspec.Struct, frozen=True, gc=False):
    """In which form an answer is told."""

    dialect: Dialect
    way: Way
    stream: bool
    shows_counts: bool
    """Whether a stream tells its usage in a chunk of its own."""


def tell_entry(entry: Entry, form: Form, told: Told) -> None:
    """Fill `told` with what is sent of a stored answer, and with what it would have cost.

    Raises: APIResponseError: it cannot be told in this dialect.
    """
    try:
        _tell_entry(entry, form, told)
    except MISSHAPEN as exc:
        raise misshapen(exc) from exc


def _tell_entry(entry: Entry, form: Form, told: Told) -> None:
    way, dialect, wire = form.way, form.dialect, find_wire(entry.wire)
    headers = entry.meta.get("headers")
    completion = wire.parse(_decode(entry.body), headers)
    if way.route.names:
        name(completion, way.route, entry.body)
    told.count(way.pricer, completion, free=True)
    if not form.stream:
        told.body = entry.body if entry.wire == dialect.name else _encode(dialect.render(completion))
        return
    named = {part: completion[part] for part in ("id", "model") if part in completion}
    teller = teller_of(wire, form, told, way.pricer, named=named)
    cuts = None if entry.cuts is None else _decode(entry.cuts)
    told.body = b"".join(map(teller.feed, wire.unfold(_decode(entry.body), cuts, headers))) + teller.end()


def tell_flight(flight: Flight, form: Form, told: Told, request: Request, *, free: bool) -> None:
    """Fill `told` with what is sent of an answer that landed whole, and with what it cost.

    Raises: APIResponseError: it is not of its wire's shape.
    """
    wire, dialect = flight.wire, form.dialect
    try:
        completion = wire.parse(flight.body(), flight.headers)
        if request.route.names:
            name(completion, request.route, flight.body_bytes)
        told.count(request.pricer, completion, free=free)
        told.body = flight.body_bytes if wire.name == dialect.name else _encode(dialect.render(completion))
    except MISSHAPEN as exc:
        raise misshapen(exc) from exc


def teller_of(
    wire: Wire, form: Form, told: Told, pricer: Pricer, *, ride: Ride | None = None, named: Json | None = None
) -> Teller:
    """Return what tells a stream, and counts it in `told`; without a ride it costs nothing."""

    def cost(answer: Answer) -> float | None:
        told.count(pricer, answer, free=ride is None or not ride.paid)
        return None if told.paid_pico is None else dollars(told.paid_pico)

    def cost_of(body: Json) -> float | None:
        usage = Usage(body["usage"])
        usage._raw = body["usage"]  # it is the vendor's own, and is read as such
        return cost(Completion({**body, "usage": usage}))

    if wire.name in form.dialect.streamed_by:
        return Straight(form.dialect, cost_of, shows_counts=form.shows_counts)
    if named is None:
        named = {"id": f"chatcmpl-{token_hex(12)}", "model": form.way.route.name}
    return Turned(wire, form.dialect, cost, named, shows_counts=form.shows_counts)
