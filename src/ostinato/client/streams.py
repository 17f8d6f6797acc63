"""Streams as the caller reads them, live and replayed: one translation for both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from ostinato.records import Chunk
from ostinato.wire.contract import MISSHAPEN, misshapen

if TYPE_CHECKING:
    from ostinato.caching.flow import Ride
    from ostinato.caching.record import Entry
    from ostinato.client.request import Request
    from ostinato.client.route import Pricer, Route
    from ostinato.records import Usage
    from ostinato.wire.contract import Event, Wire


class Reading:
    """What a stream knows of itself while it is read.

    The stream's generator holds this and not the stream, so that a stream that is dropped goes away at once,
    and with it the way upstream.
    """

    __slots__ = ("_include_usage", "_pricer", "_ride", "_translator", "cache_hit", "cache_key", "counted", "leave")

    def __init__(
        self,
        wire: Wire,
        params: Mapping[str, Any],
        pricer: Pricer,
        cache_key: bytes | None,
        *,
        ride: Ride | None = None,
        leave: Callable[[], None] | None = None,
    ) -> None:
        self._translator = wire.translator()
        options = params.get("stream_options")
        self._include_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
        self._pricer = pricer
        self._ride = ride
        self.cache_hit = ride is None
        self.cache_key = cache_key
        self.leave = leave
        self.counted: Chunk | None = None
        """The last chunk that came with a usage."""

    @classmethod
    def of_entry(cls, entry: Entry, route: Route, params: Mapping[str, Any]) -> Self:
        """Return the reading of a stored answer."""
        return cls(route.wire, params, route.priced_by(params), entry.key)

    @classmethod
    def of_ride(cls, ride: Ride, request: Request, params: Mapping[str, Any], leave: Callable[[], None]) -> Self:
        """Return the reading of an answer on its way; `leave` is called when it is not read on."""
        key = None if ride.seat is None else ride.seat.key
        return cls(request.route.wire, params, request.pricer, key, ride=ride, leave=leave)

    def chunks(self, event: Event) -> list[Chunk]:
        """Return the chunks of an event that the caller sees."""
        try:
            return self._shown(self._translator.feed(event))
        except MISSHAPEN as exc:
            raise misshapen(exc) from exc

    def last_chunks(self) -> list[Chunk]:
        """Return what is due after the last event."""
        try:
            return self._shown(self._translator.end())
        except MISSHAPEN as exc:
            raise misshapen(exc) from exc

    def _shown(self, chunks: list[Chunk]) -> list[Chunk]:
        for chunk in chunks:
            chunk._cache_hit = self.cache_hit
            chunk._cache_key = self.cache_key
            if dict.get(chunk, "usage") is not None:
                self.counted = chunk
                chunk._pricer = self._pricer
                chunk._free = self._ride is not None and not self._ride.paid
                if not self._include_usage and not dict.get(chunk, "choices"):
                    return [other for other in chunks if other is not chunk]
        return chunks

    def part(self) -> None:
        """Leave, once."""
        leave, self.leave = self.leave, None
        if leave is not None:
            leave()


class _Told:
    """What a stream tells its caller beside the chunks."""

    _reading: Reading

    @property
    def cache_hit(self) -> bool:
        """Whether the response cache answers."""
        return self._reading.cache_hit

    @property
    def usage(self) -> Usage | None:
        """The usage, once it has come, whether or not `include_usage` asked for its chunk."""
        counted = self._reading.counted
        return None if counted is None else counted.usage

    @property
    def cost(self) -> float | None:
        """US dollars paid for this answer, once its usage has come: 0 for a hit, None when unknown."""
        counted = self._reading.counted
        return None if counted is None else counted.cost

    @property
    def saved_cost(self) -> float | None:
        """US dollars that a hit would have cost, once its usage has come."""
        counted = self._reading.counted
        return None if counted is None else counted.saved_cost

    @property
    def cost_details(self) -> Any:
        """What the vendor takes for this answer, exactly and by part, once its usage has come; None when unknown."""
        counted = self._reading.counted
        return None if counted is None else counted.cost_details

    @property
    def _hidden_params(self) -> dict[str, Any]:
        key = self._reading.cache_key
        return {"cache_hit": self.cache_hit, "cache_key": None if key is None else key.hex()}

    def __del__(self) -> None:
        self._reading.part()


class Stream(_Told):
    """An iterator of chunks. Leave it early with `close()`, or use it as a context manager."""

    def __init__(self, events: Iterator[Event], reading: Reading) -> None:
        self._reading = reading
        self._chunks = _translated(events, reading)

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        return next(self._chunks)

    def close(self) -> None:
        """Stop reading. Others who read the same answer go on; the last to leave ends the call."""
        self._chunks.close()
        self._reading.part()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _translated(events: Iterator[Event], reading: Reading) -> Generator[Chunk, None, None]:
    try:
        for event in events:
            yield from reading.chunks(event)
        yield from reading.last_chunks()
    finally:
        reading.part()


class AsyncStream(_Told):
    """An asynchronous iterator of chunks. Leave it early with `aclose()`, or use it as a context manager."""

    def __init__(self, events: AsyncIterator[Event] | Iterator[Event], reading: Reading) -> None:
        self._reading = reading
        self._chunks = _atranslated(events, reading)

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Stop reading. Others who read the same answer go on; the last to leave ends the call."""
        await self._chunks.aclose()
        self._reading.part()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


async def _atranslated(events: AsyncIterator[Event] | Iterator[Event], reading: Reading) -> AsyncGenerator[Chunk, None]:
    try:
        if isinstance(events, AsyncIterator):
            async for event in events:
                for chunk in reading.chunks(event):
                    yield chunk
        else:
            for event in events:
                for chunk in reading.chunks(event):
                    yield chunk
        for chunk in reading.last_chunks():
            yield chunk
    finally:
        reading.part()
