"""One ride, carried out by awaiting: the asynchronous shell.

Going upstream for a flight that others may join is a task of its own: a caller who is cancelled is a reader
that leaves, and takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ostinato.caching.flight import Flight
from ostinato.caching.flow import LookUp, Ride, Sleep, Waited
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.moves import Claim, Events, Open, Pull, Wait
from ostinato.caching.record import Entry
from ostinato.client.bell import next_move, settle
from ostinato.client.core import completion_of, landed_completion, replayed
from ostinato.client.source import AsyncSource, keep_until_done, running_loop, unfolded
from ostinato.client.streams import AsyncStream, Reading
from ostinato.client.verbose import show_answer, show_events, shows
from ostinato.errors import OstinatoError, as_ours
from ostinato.transport.exchange import Answered

if TYPE_CHECKING:
    from ostinato.client.aio import AsyncClient
    from ostinato.client.request import Request
    from ostinato.client.route import Route
    from ostinato.records import Completion
    from ostinato.wire.contract import Event


def replay(entry: Entry, route: Route, params: Mapping[str, Any]) -> AsyncStream:
    """Return a stored answer as a stream, cut as it came."""
    return AsyncStream(replayed(entry, route.wire), Reading.of_entry(entry, route, params))


Done = TypeVar("Done")


class AsyncVoyage:
    """One ride, carried out."""

    __slots__ = ("_client", "_pending", "_request", "_ride", "_steps")

    def __init__(
        self,
        client: AsyncClient,
        ride: Ride,
        request: Request,
        steps: Generator[Any, Any, Entry | Flight] | None = None,
    ) -> None:
        self._client = client
        self._ride = ride
        self._request = request
        self._steps = steps or ride.steps()
        self._pending: Any = None

    async def refresh(self) -> Entry | Flight | None:
        """Carry a refresh out; whoever reads next will see what came of it. Return the answer, if there was one."""
        counters = self._ride.counters
        counters.refreshes += 1
        try:
            return await self.answer()
        except OstinatoError:
            counters.refresh_errors += 1
            return None

    async def answer(self) -> Entry | Flight:
        """Carry the ride out and return what answers."""
        try:
            step = next(self._steps)
            while True:
                step = self._steps.send(await self.do(step))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # what the generator returns
        finally:
            self.leave()

    async def completion(self, params: Mapping[str, Any]) -> Completion:
        """Carry the ride out and return its answer."""
        answer = await self.answer()
        if isinstance(answer, Entry):
            self._refresh_if_stale(answer)
            return completion_of(answer, self._request.route, params)
        return landed_completion(answer, self._request, self._ride)

    async def stream(self, params: Mapping[str, Any]) -> AsyncStream:
        """Carry the ride out up to the first byte, and return the stream of the rest."""
        route = self._request.route
        try:
            step = next(self._steps)
            while isinstance(step, (LookUp, Claim, Open, Sleep)) or (isinstance(step, Wait) and self._ride.founder):
                step = self._steps.send(await self.do(step))
        except StopIteration as done:
            if isinstance(done.value, Entry):
                self.leave()
                self._refresh_if_stale(done.value)
                return replay(done.value, route, params)
            step = done.value
        except BaseException:
            self.leave()
            raise
        self._pending = step
        if isinstance(step, Pull) and self._ride.flight is not None:
            self._ride.flight.put_back(step.token)  # whoever reads first pulls, and that may be another
            self._pending = None
        return AsyncStream(self._events(), Reading.of_ride(self._ride, self._request, params, self.leave))

    async def _events(self) -> AsyncIterator[Event]:
        step = self._pending
        try:
            if step is None:
                step = self._steps.send(None)
            while not isinstance(step, Flight):
                if isinstance(step, Events):
                    for index in range(step.start, step.stop):
                        yield step.tape.event(index)
                    step = self._steps.send(None)
                else:
                    step = self._steps.send(await self.do(step))
        except StopIteration:
            pass
        flight = self._ride.flight  # not that of the beginning, where it was left for one of its own
        assert flight is not None  # noqa: S101  # the ride is past boarding
        if not flight.streamed:
            for event in unfolded(flight):
                yield event

    def _refresh_if_stale(self, entry: Entry) -> None:
        if self._ride.seat is not None and self._ride.seat.is_stale(entry):
            self._client.refresh(self._ride.again(), self._request)

    # One step each.

    async def do(self, step: Any) -> Any:
        """Carry one step out and return what the flow is to know of it."""
        ride = self._ride
        match step:
            case Pull(source, token):
                await self._apart(self._pull(source, token))
            case Open(token):
                await self._apart(self._open(token))
            case Claim(token):
                return await self._apart(self._claim(token), cancellable=False)
            case LookUp(again):
                assert ride.seat is not None  # noqa: S101  # only a seated ride looks up
                return await ride.seat.arecall(again=again)
            case Wait(version):
                return await self._wait(version)
            case Sleep(seconds):
                import asyncio  # loaded by whoever runs this; a hit must not load it

                await asyncio.sleep(seconds)
        return None

    async def _apart(self, work: Coroutine[Any, Any, Done], *, cancellable: bool = True) -> Done:
        """Do work that other readers may need: on a shared flight as a task that outlives this caller."""
        flight = self._ride.flight
        assert flight is not None  # noqa: S101
        if not flight.shared:
            return await work
        import asyncio  # loaded by whoever runs this; a hit must not load it

        flight.home = loop = running_loop()
        task = loop.create_task(work)
        flight.task = task if cancellable else None  # a claim cut short might leave a lease that nobody has
        keep_until_done(task)
        return await asyncio.shield(task)

    async def _claim(self, token: int) -> Entry | None:
        flight, seat = self._ride.flight, self._ride.seat
        assert isinstance(flight, LeasedFlight)  # noqa: S101  # no other asks for it
        assert seat is not None  # noqa: S101  # only a seated ride shares
        try:
            standing = await seat.aclaim(anew=self._ride.anew, again=flight.has_followed)
        except BaseException:
            flight.aborted(token)
            raise
        return seat.settle(flight, token, standing)

    async def _open(self, token: int) -> None:
        flight, request = self._ride.flight, self._request
        assert flight is not None  # noqa: S101
        flight.sign = request.sign
        try:
            if self._ride.streams:
                await self._open_stream(flight, token)
            else:
                request.land(flight, token, await self._client.transport.send(request.outgoing(stream=False)))
        except Exception as error:  # noqa: BLE001  # whatever it is, everybody who waits must hear of it
            flight.broke(token, as_ours(error))
        except BaseException:
            flight.aborted(token)
            raise

    async def _open_stream(self, flight: Flight, token: int) -> None:
        request = self._request
        opened = await self._client.transport.open(request.outgoing(stream=True))
        request.hear(opened.headers)
        try:
            first = await anext(opened, b"") if "json" in opened.headers.get("content-type", "") else b""
            if request.streams(opened.status, opened.headers, first):
                if shows():
                    show_answer(opened.status, opened.headers, None, request.hidden)
                source = AsyncSource(opened, request.route.wire.framing, first, running_loop())
                if flight.opened(token, source):
                    return
            else:
                request.land(flight, token, Answered(opened.status, opened.headers, first + await opened.read()))
        except BaseException:
            await opened.aclose()
            raise
        await opened.aclose()

    async def _pull(self, source: Any, token: int) -> None:
        flight = self._ride.flight
        assert flight is not None  # noqa: S101
        try:
            events = await _pulled(source)
        except Exception as error:  # noqa: BLE001  # whatever it is, everybody who waits must hear of it
            flight.ended(token, as_ours(error))
        except BaseException:
            flight.aborted(token)
            source.close()
            raise
        else:
            if events is None:
                flight.ended(token)
            else:
                if shows():
                    show_events(events, self._request.hidden)
                flight.pulled(token, events)

    async def _wait(self, version: int) -> Waited:
        flight, cache = self._ride.flight, self._ride.cache
        assert flight is not None  # noqa: S101
        assert cache is not None  # noqa: S101  # only a shared flight makes anybody wait
        moved = next_move(flight, version)
        if moved is None:
            return "moved"
        if cache.stall_timeout_s is None:
            return await moved
        stalled = running_loop().call_later(cache.stall_timeout_s, settle, moved, "stalled")
        try:
            return await moved
        finally:
            stalled.cancel()

    def leave(self) -> None:
        """Leave the flight; close the way upstream if nobody else needs it, or read on for the cache."""
        loop = running_loop()
        if loop is not None and self._ride.finishes_alone():
            keep_until_done(loop.create_task(self._finish()))
            return
        self._ride.leave()

    async def _finish(self) -> None:
        """Read an answer that nobody waits for to its end."""
        try:
            step = self._steps.send(None)
            while True:
                step = self._steps.send(None if isinstance(step, Events) else await self.do(step))
        except (StopIteration, OstinatoError):
            pass
        finally:
            self._ride.cache = None  # it is finished: leave this time
            self.leave()


async def _pulled(source: Any) -> list[bytes] | None:
    """Return the next events of a source of this loop, of another one, or of a thread."""
    loop = running_loop()
    if source.home is loop:
        return await source.pull()  # type: ignore[no-any-return]  # a source of either kind
    pull = source.pull if source.home is None else source.pull_from_thread
    return await loop.run_in_executor(None, pull)  # type: ignore[no-any-return]
