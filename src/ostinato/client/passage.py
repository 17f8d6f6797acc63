"""Answers to requests of a dialect: voyages whose events are handed on as bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from ostinato.caching.flight import Flight
from ostinato.caching.moves import Events
from ostinato.caching.record import Entry
from ostinato.client.ask import Told
from ostinato.client.async_voyage import AsyncVoyage
from ostinato.client.guess import guessed
from ostinato.client.source import keep_until_done, running_loop, unfolded
from ostinato.errors import APIResponseError, OstinatoError
from ostinato.wire.contract import MISSHAPEN, misshapen

if TYPE_CHECKING:
    from ostinato.caching.flow import Ride
    from ostinato.client.aio import AsyncClient
    from ostinato.client.ask import Deployment, Plan
    from ostinato.client.request import Request
    from ostinato.client.telling import Teller
    from ostinato.wire.contract import Event, Json


class Passage(AsyncVoyage):
    """One ride, carried out for a client that reads bytes."""

    __slots__ = ("__weakref__", "_body", "_came", "_plan", "_refused", "_request_to", "_waiting", "_whole", "asked")

    def __init__(
        self,
        client: AsyncClient,
        ride: Ride,
        request: Request,
        plan: Plan,
        request_to: Callable[[Deployment], Request],
        body: Json,
    ) -> None:
        """`plan` says who is asked and who next, `request_to` what of them; `body` is what the caller sent."""
        super().__init__(client, ride, request)
        self._plan = plan
        self._request_to = request_to
        self._body = body
        self._came: list[bytes] = []
        """The events so far."""
        self._whole: Iterator[Event] = iter(())
        """The events of an answer that came whole although a stream was asked for."""
        self._refused = False
        """Whether the vendor refused the last time: then it took nothing."""
        self._waiting: Told | None = None
        """Whom to tell what an answer took, once it is read to its end without its reader."""
        self.asked = plan.deployment
        """Whom the request is for."""

    async def _open(self, token: int) -> None:
        flight = self._ride.flight
        assert flight is not None  # noqa: S101  # it is to be opened
        try:
            self._plan.ask()
        except OstinatoError:
            flight.aborted(token)  # it is this caller who may not; others who wait may, each by itself
            raise
        self._refused = False
        flight.origin = self.asked, self._request
        await super()._open(token)

    def move_on(self, error: OstinatoError) -> float | None:
        """Return the seconds to wait before asking again, perhaps somebody else; None: this flight is over.

        All who wait for the flight wait for that. Whoever speaks another wire is asked on a flight of its own.
        """
        self._refused = True
        delay_s = self._plan.failed(error)
        if delay_s is not None and self._turned():
            return delay_s
        self._plan.gave_up(error)
        return None

    def _turned(self) -> bool:
        """Turn to whom the plan names now. Return whether this flight can."""
        if self._plan.deployment is self.asked:
            return True
        try:
            request = self._request_to(self._plan.deployment)
        except OstinatoError:
            return False  # and whoever asks it next is told why
        if request.route.wire is not self._request.route.wire:
            return False
        self.asked, self._request = self._plan.deployment, request
        return True

    async def whole(self) -> Entry | Flight:
        """Carry the ride out and return what answers."""
        answer = await self.answer()
        if isinstance(answer, Entry):
            self._refresh_if_stale(answer)
        return answer

    async def depart(self) -> Entry | Flight:
        """Carry the ride out up to the first event, so that what fails before it fails here.

        Raises: OstinatoError: there is no answer, or a whole one that is not of its wire's shape.
        """
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
        if not flight.streamed:
            try:
                self._whole = unfolded(flight)
            except OstinatoError:
                self.leave()
                raise
        return flight

    def told(self, flight: Flight, teller: Teller, told: Told) -> Telling:
        """Return the stream as bytes, what came together together. An error is its last event."""

        def leave() -> None:
            self.leave()
            self.count(told)

        return Telling(self._told(flight, teller), leave)

    # What nobody told of.

    def count(self, told: Told) -> None:
        """Note what an answer took that was left before its count came: the vendor's count, or about that.

        Where others read on, one of them pays. Where the answer is read to its end for the cache, it is noted then.
        """
        flight = self._ride.flight
        if flight is None or told.runs or told.paid_pico is not None:
            return
        if not self._ride.paid or self._refused:
            told.paid_pico = 0
        elif flight.over:
            self._count(told, flight)
        else:
            told.awaited = True
            self._waiting = told

    def _count(self, told: Told, flight: Flight) -> None:
        model = self._request.route.name
        try:
            if flight.body_bytes:
                completion = flight.wire.parse(flight.body(), flight.headers)
            else:
                completion = guessed(self._body, model, flight.wire, self._came)
        except (APIResponseError, *MISSHAPEN):  # who left is charged for the prompt at least
            completion = guessed(self._body, model, flight.wire, ())
        told.count(self._request.pricer, completion, free=False)

    async def _finish(self) -> None:
        try:
            await super()._finish()
        finally:
            told, flight = self._waiting, self._ride.flight
            if told is not None and flight is not None:
                if flight.body_bytes or self._came:
                    self._count(told, flight)
                else:
                    told.paid_pico = 0
                told.awaited = False
                if told.on_counted is not None:
                    told.on_counted()

    def _refresh_if_stale(self, entry: Entry) -> None:
        seat = self._ride.seat
        if seat is None or not seat.is_stale(entry):
            return
        ride = self._ride.again()
        ride.counters.stale += 1
        counted = self._plan.refreshing()
        steps = None if counted is None else ride.refresh()
        if counted is not None and steps is None:
            counted(None)
        elif counted is not None:
            voyage = AsyncVoyage(self._client, ride, self._request, steps)
            keep_until_done(running_loop().create_task(self._refreshed(voyage, ride, counted)))

    async def _refreshed(self, voyage: AsyncVoyage, ride: Ride, counted: Callable[[Told | None], None]) -> None:
        told = None
        try:
            answer = await voyage.refresh()
            if isinstance(answer, Flight) and ride.paid:
                told = Told("miss", deployment=self.asked.id)
                self._count(told, answer)
        finally:
            counted(told)

    async def _told(self, flight: Flight, teller: Teller) -> AsyncGenerator[bytes, None]:
        try:
            async for batch in self._batches():
                tape, indices = batch.tape, range(batch.start, batch.stop)
                self._came = tape.log
                yield b"".join([teller.feed(tape.event(index), tape.log[index]) for index in indices])
            if not flight.streamed:
                yield b"".join(map(teller.feed, self._whole))
            yield teller.end()
        except OstinatoError as error:
            yield teller.fail(error)
        except MISSHAPEN as exc:
            yield teller.fail(misshapen(exc))

    async def _batches(self) -> AsyncIterator[Events]:
        step = self._pending
        try:
            while not isinstance(step, Flight):
                if isinstance(step, Events):
                    yield step
                    step = self._steps.send(None)
                else:
                    step = self._steps.send(await self.do(step))
        except StopIteration:
            pass


class Telling:
    """A stream on its way, as bytes. Close it: also when it was never read, its call upstream waits for that."""

    __slots__ = ("_leave", "_pieces")

    def __init__(self, pieces: AsyncGenerator[bytes, None], leave: Callable[[], None]) -> None:
        self._pieces = pieces
        self._leave = leave

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop reading; who else reads the same answer reads on."""
        try:
            await self._pieces.aclose()
        finally:
            self._leave()
