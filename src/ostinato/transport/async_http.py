"""Tasks to the providers: requests over pooled connections, on the caller's event loop."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Generator
from typing import TYPE_CHECKING, Any, cast

from ostinato.transport.async_opened import AsyncOpened, Pool
from ostinato.transport.exchange import Answered
from ostinato.transport.failure import expected, failure
from ostinato.transport.pool import hang_up, open_transport, proxy_for
from ostinato.transport.request import Target, as_request, parse_target

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    import httpx2

    from ostinato.errors import APIError
    from ostinato.transport.exchange import Outgoing, Timeouts


class AsyncTransport:
    """Sends requests over one pool of connections for each event loop, made at first use and anew after a fork.

    Safe to use under several loops, one after another and side by side in threads. A pool is closed with its
    loop (by `asyncio.run`, or whoever calls `shutdown_asyncgens`).
    """

    def __init__(self) -> None:
        self._pools: dict[tuple[int, AbstractEventLoop], Pool] = {}

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
        pool = await self._pool()
        if pool.dropped:
            await pool.sweep()
        return await pool.open(out, target)

    async def aclose(self) -> None:
        """Close every connection of this event loop; who still reads gets APIConnectionError.

        A later request opens new ones.
        """
        import asyncio

        pool = self._pools.get((os.getpid(), asyncio.get_running_loop()))
        if pool is not None and pool.keeper is not None:
            await pool.keeper.aclose()

    def _make_pool(self) -> Pool:
        return _Pool()

    async def _pool(self) -> Pool:
        import asyncio

        key = (os.getpid(), asyncio.get_running_loop())
        pool = self._pools.get(key)
        if pool is None:
            self._forget_closed_loops()
            pool = self._pools[key] = self._make_pool()
            pool.keeper = self._keep(key, pool)
            await anext(pool.keeper)
        return pool

    async def _keep(self, key: tuple[int, AbstractEventLoop], pool: Pool) -> AsyncGenerator[None, None]:
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


class _Line:
    """A connection of httpx2."""

    __slots__ = ("_begun", "_host", "_parts", "_response", "_timeouts", "expected", "fields", "status")

    def __init__(self, response: httpx2.Response, host: str, timeouts: Timeouts) -> None:
        self._response = response
        self._host = host
        self._timeouts = timeouts
        self._begun = False
        self.status = response.status_code
        self.fields = response.headers.raw
        self.expected = expected()
        # The transport of an event loop makes no other kind of stream.
        self._parts = aiter(cast("AsyncIterable[bytes]", response.stream))

    def next(self) -> Awaitable[bytes]:
        if self._begun:
            return anext(self._parts)
        self._begun = True
        return _unknown_to_the_loop(self._parts)

    def failure(self, exc: Exception) -> APIError:
        return failure(exc, self._host, self._timeouts)

    async def aclose(self) -> None:
        await self._response.aclose()

    def hang_up(self) -> None:
        hang_up(self._response.extensions["network_stream"].get_extra_info("socket"))


class _Pool(Pool):
    """The connections of httpx2 on one event loop."""

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[str, httpx2.AsyncHTTPTransport] = {}
        """By origin: the way to it is looked for once."""
        self._transports: dict[tuple[str, str | None], httpx2.AsyncHTTPTransport] = {}
        """By scheme and proxy."""

    async def open(self, out: Outgoing, target: Target) -> AsyncOpened:
        request = as_request(out, target)
        route = self._routes.get(target.origin)
        if route is None:
            route = self._routes[target.origin] = self._route(target)
        try:
            response = await route.handle_async_request(request)
        except expected() as exc:
            error = failure(exc, target.host, out.timeouts)
        else:
            return AsyncOpened(_Line(response, target.host, out.timeouts), target.host, self)
        raise error

    def _route(self, target: Target) -> httpx2.AsyncHTTPTransport:
        import httpx2

        way = target.url.scheme, proxy_for(target)
        transport = self._transports.get(way)
        if transport is None:
            transport = self._transports.setdefault(way, open_transport(httpx2.AsyncHTTPTransport, *way))
        return transport

    async def disconnect(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()
