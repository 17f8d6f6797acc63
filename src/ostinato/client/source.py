"""The way upstream of a streamed answer: network slices in, the data of whole events out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

from ostinato.caching.moves import HomeLostError
from ostinato.errors import APIConnectionError
from ostinato.wire import eventstream, sse
from ostinato.wire.contract import MISSHAPEN, misshapen

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from ostinato.caching.flight import Flight
    from ostinato.transport.async_opened import AsyncOpened
    from ostinato.transport.http import Opened
    from ostinato.wire.contract import Event

DONE = b"[DONE]"


def running_loop() -> Any:
    """Return the event loop that runs in this thread, or None, without loading asyncio to find out."""
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()  # documented, no public twin


def unfolded(flight: Flight) -> Iterator[Event]:
    """Return the events of an answer that came whole although a stream was asked for.

    Raises: APIResponseError: it is no answer.
    """
    wire = flight.wire
    try:
        wire.parse(flight.body(), flight.headers)
        return wire.unfold(flight.body(), flight.cuts, flight.headers)
    except MISSHAPEN as exc:
        raise misshapen(exc) from exc


class Framing:
    """Cuts slices into the data of events, and knows whether the last was `[DONE]`."""

    __slots__ = ("_decoder", "done")

    def __init__(self, framing: Literal["sse", "eventstream"]) -> None:
        self._decoder: sse.Decoder | eventstream.Decoder
        self._decoder = sse.Decoder() if framing == "sse" else eventstream.Decoder()
        self.done = False

    def events(self, piece: bytes | None) -> list[bytes]:
        """Return the events that `piece` completes; None is the end of the stream."""
        decoder = self._decoder
        events = decoder.end() if piece is None else decoder.feed(piece)
        # The names of server-sent events are dropped: every vendor repeats them in the data.
        found = [event if isinstance(event, bytes) else event[1] for event in events]
        if found and found[-1] == DONE:
            self.done = True
        return found


class Source:
    """A stream that is read by waiting."""

    __slots__ = ("_first", "_framing", "_opened", "_pieces")
    home = None

    def __init__(self, opened: Opened, framing: Literal["sse", "eventstream"], first: bytes) -> None:
        """`first` was read already."""
        self._opened = opened
        self._pieces = iter(opened)
        self._first = first
        self._framing = Framing(framing)

    def pull(self) -> list[bytes] | None:
        """Return the events of the next slices, at least one, or None at the end.

        Raises: APIError: the connection failed, or an event is cut short.
        """
        first, self._first = self._first, b""
        events = self._framing.events(first) if first else []
        if events:
            return events
        for piece in self._pieces:
            events = self._framing.events(piece)
            if events:
                return events
        return self._framing.events(None) or None

    def close(self) -> None:
        """Close the connection, or give it back when the vendor had said its last word."""
        try:
            if self._framing.done:
                # What follows `[DONE]` is the end of the body: read it, and the connection can be used again.
                next(self._pieces, None)
        except APIConnectionError:
            pass
        finally:
            self._opened.close()


class AsyncSource:
    """A stream that is read by awaiting, on the event loop that opened it."""

    __slots__ = ("_first", "_framing", "_opened", "_pieces", "home")

    def __init__(
        self,
        opened: AsyncOpened,
        framing: Literal["sse", "eventstream"],
        first: bytes,
        home: asyncio.AbstractEventLoop,
    ) -> None:
        """`first` was read already."""
        self._opened = opened
        self._pieces = aiter(opened)
        self._first = first
        self._framing = Framing(framing)
        self.home = home

    async def pull(self) -> list[bytes] | None:
        """Return the events of the next slices, at least one, or None at the end.

        Raises: APIError: the connection failed, or an event is cut short.
        """
        first, self._first = self._first, b""
        events = self._framing.events(first) if first else []
        if events:
            return events
        async for piece in self._pieces:
            events = self._framing.events(piece)
            if events:
                return events
        return self._framing.events(None) or None

    def pull_from_thread(self) -> list[bytes] | None:
        """`pull`, from a thread that may wait while the loop runs in another.

        Raises: HomeLostError: the loop has ended.
        """
        import asyncio  # it is loaded already: this source came from a loop
        from concurrent.futures import CancelledError

        pulling = self.pull()
        try:
            return asyncio.run_coroutine_threadsafe(pulling, self.home).result()
        except (RuntimeError, CancelledError) as exc:
            pulling.close()
            raise HomeLostError("the event loop that was reading this answer has ended") from exc

    async def aclose(self) -> None:
        """Close the connection, or give it back when the vendor had said its last word."""
        try:
            if self._framing.done:
                await anext(self._pieces, None)
        except APIConnectionError:
            pass
        finally:
            await self._opened.aclose()

    def close(self) -> None:
        """Have the connection closed by its loop; with a loop that has ended it is closed already."""
        closing: Any = self.aclose()
        if running_loop() is self.home:
            keep_until_done(self.home.create_task(closing))
            return
        try:
            self.home.call_soon_threadsafe(lambda: keep_until_done(self.home.create_task(closing)))
        except RuntimeError:
            closing.close()


_unawaited: set[Any] = set()


def keep_until_done(task: Any) -> None:
    """Hold a task that nobody awaits: the event loop itself does not."""
    _unawaited.add(task)
    task.add_done_callback(_unawaited.discard)
