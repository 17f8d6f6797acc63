"""Answers to requests of a dialect: voyages whose events are handed on as bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from ostinato.caching.flight import Flight
from ostinato.caching.moves import Events
from ostinato.caching.record import Entry
from ostinato.client.async_voyage import AsyncVoyage
from ostinato.errors import (
    OstinatoError,
)

if TYPE_CHECKING:
    from ostinato.caching.flow import Ride
    from ostinato.client.aio import AsyncClient
    from ostinato.client.request import Request
    from ostinato.client.telling import Teller


class Passage(AsyncVoyage):
    """One ride, carried out for a client that reads bytes."""

    __slots__ = ("_asking",)

    def __init__(self, client: AsyncClient, ride: Ride, request: Request, asking: Callable[[], None]) -> None:
        """`asking` is called before anything is sent, and may raise instead."""
        super().__init__(client, ride, request)
        self._asking = asking

    async def _open(self, token: int) -> None:
        try:
            self._asking()
        except OstinatoError as error:
            assert self._ride.flight is not None  # noqa: S101  # it is to be opened
            self._ride.flight.broke(token, error)
        else:
            await super()._open(token)

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
