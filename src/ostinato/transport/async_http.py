"""Tasks to the providers: requests over pooled connections, on the caller's event loop."""

from __future__ import annotations

import os
import sys
import types
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Generator
from typing import TYPE_CHECKING, Any, cast

from ostinato.transport.encoding import Decoder, decoder_for
from ostinato.transport.exchange import Answered, as_headers, body_limit
from ostinato.transport.failure import closed, expected, failure, too_long
from ostinato.transport.pool import hang_up, open_transport, proxy_for
from ostinato.transport.request import Target, as_request, parse_target

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    import httpx2

    from ostinato.transport.exchange import Outgoing, Timeouts


class AsyncTransport:
    """Sends requests over one pool of connections for each event loop, made at first use and anew after a fork.

    Safe to use under several loops, one after another and side by side in threads. A pool is closed with its
    loop (by `asyncio.run`, or whoever calls `shutdown_asyncgens`).
    """

    def __init__(self) -> None:
        self._pools: dict[tuple[int, AbstractEventLoop], _Pool] = {}

    async def send(self, out: Outgoing) -> Answered:
        """Return the whole answer, whatever its status. Redirects are not followed.

        Raises:
            ConfigurationError: a URL or header that cannot be sent.
            Timeout: the network was silent for too long.
            APIConnectionError: no answer came, or not all of it.
            APIResponseError: the body does not decode, or is longer than `body_limit` allows.
        """
        opened = await self.open(out)
        return Answered(opened.status, opened.headers, await opened.read())

    async def open(self, out: Outgoing) -> AsyncOpened:
        """Return the answer as soon as its headers are there, the body still to be read. Close it.

        Raises: as `send`, for what has happened so far.
        """
        target = parse_target(out.url)
        request = as_request(out, target)
        pool = await self._pool()
        await pool.sweep()
        try:
            response = await pool.send(request, target)
        except expected() as exc:
            error = failure(exc, target.host, out.timeouts)
        else:
            return AsyncOpened(response, target.host, out.timeouts, pool)
        raise error

    async def aclose(self) -> None:
        """Close every connection of this event loop; who still reads gets APIConnectionError.

        A later request opens new ones.
        """
        import asyncio

        pool = self._pools.get((os.getpid(), asyncio.get_running_loop()))
        if pool is not None and pool.keeper is not None:
            await pool.keeper.aclose()

    async def _pool(self) -> _Pool:
        import asyncio

        key = (os.getpid(), asyncio.get_running_loop())
        pool = self._pools.get(key)
        if pool is None:
            self._forget_closed_loops()
            pool = self._pools[key] = _Pool()
            pool.keeper = self._keep(key, pool)
            await anext(pool.keeper)
        return pool

    async def _keep(self, key: tuple[int, AbstractEventLoop], pool: _Pool) -> AsyncGenerator[None, None]:
        """Close `pool` when its event loop ends: a loop closes the generators that were begun on it."""
        try:
            yield
        finally:
            self._pools.pop(key, None)
            await pool.close()

    def _forget_closed_loops(self) -> None:
        pid = os.getpid()
        for key in list(self._pools):
            if key[0] == pid and key[1].is_closed():
                self._pools.pop(key, None)


class AsyncOpened:
    """An answer whose body is still on its way. Iterate over it, or `read` it; then it closes itself.

    Slices come as the network delivers them, content decoded, and never wait for more. Tasks of its own event
    loop may take turns in reading; one that is cancelled while it waits for a slice hangs up. So does an answer
    that is dropped unread.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_closed",
        "_decoder",
        "_host",
        "_parts",
        "_pid",
        "_pool",
        "_reading",
        "_released",
        "_response",
        "_timeouts",
        "headers",
        "status",
    )

    def __init__(self, response: httpx2.Response, host: str, timeouts: Timeouts, pool: _Pool) -> None:
        self._closed = False
        self._reading = False
        self._begun = False
        self._response = response
        self._pool = pool
        self._pid = os.getpid()
        self._host = host
        self._timeouts = timeouts
        self.status = response.status_code
        self.headers = as_headers(response.headers.raw)
        # The transport of an event loop makes no other kind of stream.
        self._parts = aiter(cast("AsyncIterable[bytes]", response.stream))
        self._decoder = decoder_for(self.headers.get("content-encoding"), host)
        # Last: what Ctrl-C left half made has nothing to hang up.
        self._released = False
        pool.live[id(self)] = weakref.ref(self)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._reading:
            raise RuntimeError("another task is waiting for the next slice of this answer")
        if self._released:
            raise closed(self._host) if self._closed else StopAsyncIteration
        error = None
        self._reading = True
        try:
            part = await (self._next() if self._decoder is None else self._decoded(self._decoder))
        except expected() as exc:
            await self._release()
            error = closed(self._host) if self._closed else failure(exc, self._host, self._timeouts)
        except BaseException:
            await self._release()
            raise
        else:
            if not self._closed:
                return part
        finally:
            self._reading = False
        raise error or closed(self._host)

    def _next(self) -> Awaitable[bytes]:
        if self._begun:
            return anext(self._parts)
        self._begun = True
        return _unknown_to_the_loop(self._parts)

    async def _decoded(self, decoder: Decoder) -> bytes:
        try:
            while True:
                if plain := decoder.feed(await self._next()):
                    return plain
        except StopAsyncIteration:
            decoder.end()
            raise

    async def read(self, limit: int | None = None) -> bytes:
        """Return the rest of the body, of at most `limit` bytes (`body_limit` of the status when None).

        Raises: APIResponseError: it is longer; the answer is closed.
        """
        limit = body_limit(self.status) if limit is None else limit
        parts = []
        size = 0
        async for part in self:
            size += len(part)
            if size > limit:
                await self.aclose()
                raise too_long(self._host, limit, self.status)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def aclose(self) -> None:
        """Give the connection back, or hang up if the body is not all read. May be called at any time.

        A task that waits for a slice wakes with APIConnectionError.
        """
        if not self._released:
            self._closed = True
            await self._release()

    async def _release(self) -> None:
        """Give the connection back to the pool."""
        if self._released:
            return
        self._released = True
        if self._pid == os.getpid():
            self._pool.live.pop(id(self), None)
            await self._response.aclose()

    def __del__(self) -> None:
        if getattr(self, "_released", True) or self._pid != os.getpid() or sys.is_finalizing():
            return
        # No loop may be running here, or another one: hang up, and leave the rest to the next request.
        self._pool.live.pop(id(self), None)
        self._pool.dropped.append(self._response)
        hang_up(self._response)


@types.coroutine
def _unknown_to_the_loop(parts: AsyncIterator[bytes]) -> Generator[Any, Any, bytes]:
    """Await the first slice of `parts` without telling the event loop of the generators inside.

    The library reads through several nested ones. A loop that ends closes all that it knows at the same time,
    the inner under the outer, and complains. These may simply be dropped: it is the pool that closes the
    connection under them.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=_drop)
    try:
        # Every generator is begun before the first of them waits.
        step = cast("Generator[Any, Any, bytes]", parts.__anext__())
        awaited = step.send(None)
    except StopIteration as stop:
        return cast("bytes", stop.value)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    while True:
        try:
            try:
                sent = yield awaited
            except BaseException as exc:  # noqa: BLE001 (a cancellation, for one, belongs to the step)
                awaited = step.throw(exc)
            else:
                awaited = step.send(sent)
        except StopIteration as stop:
            return cast("bytes", stop.value)


def _drop(_: object) -> None:
    """Do without the clean-up of a generator that was not read to its end."""


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self.live: dict[int, weakref.ref[AsyncOpened]] = {}
        """Answers that are being read, by identity."""
        self.dropped: deque[httpx2.Response] = deque()
        """Answers that were dropped unread and still count as in use."""
        self.keeper: AsyncGenerator[None, None] | None = None
        self._routes: dict[str, httpx2.AsyncHTTPTransport] = {}
        """By origin: the way to it is looked for once."""
        self._transports: dict[tuple[str, str | None], httpx2.AsyncHTTPTransport] = {}
        """By scheme and proxy."""

    async def send(self, request: httpx2.Request, target: Target) -> httpx2.Response:
        """Return the answer to `request`, its body not yet read."""
        route = self._routes.get(target.origin)
        if route is None:
            route = self._routes[target.origin] = self._route(target)
        return await route.handle_async_request(request)

    def _route(self, target: Target) -> httpx2.AsyncHTTPTransport:
        import httpx2

        way = target.url.scheme, proxy_for(target)
        transport = self._transports.get(way)
        if transport is None:
            transport = self._transports.setdefault(way, open_transport(httpx2.AsyncHTTPTransport, *way))
        return transport

    async def sweep(self) -> None:
        """Give back what was dropped."""
        while self.dropped:
            await self.dropped.popleft().aclose()

    async def close(self) -> None:
        """Wake the readers and close all connections."""
        for reference in list(self.live.values()):
            opened = reference()
            if opened is not None:
                await opened.aclose()
        await self.sweep()
        for transport in self._transports.values():
            await transport.aclose()
