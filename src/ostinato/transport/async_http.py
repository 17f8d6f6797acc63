"""Tasks to the providers: requests over pooled connections, on the caller's event loop."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, cast

from ostinato.transport.exchange import Answered, as_headers, body_limit
from ostinato.transport.failure import closed, expected, failure, too_long
from ostinato.transport.pool import direct_options, hang_up, has_proxy, is_encoded, proxied_options
from ostinato.transport.request import as_request, parse_target

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
            response = await pool.send(request)
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

        pool = self._pools.pop((os.getpid(), asyncio.get_running_loop()), None)
        if pool is not None:
            await pool.close()

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
        "_closed",
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
        self._released = False
        self._closed = False
        self._reading = False
        self._response = response
        self._pool = pool
        self._pid = os.getpid()
        self._host = host
        self._timeouts = timeouts
        self.status = response.status_code
        self.headers = as_headers(response.headers.raw)
        # The transport of an event loop makes no other kind of stream.
        stream = cast("AsyncIterable[bytes]", response.stream)
        self._parts = response.aiter_bytes() if is_encoded(self.headers) else aiter(stream)
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
            part = await anext(self._parts)
        except StopAsyncIteration:
            await self._release()
            raise
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
        if self._released or self._pid != os.getpid():
            return
        # No loop may be running here, or another one: hang up, and leave the rest to the next request.
        self._pool.live.pop(id(self), None)
        self._pool.dropped.append(self._response)
        hang_up(self._response)


class _Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        import httpx2

        self.live: dict[int, weakref.ref[AsyncOpened]] = {}
        """Answers that are being read, by identity."""
        self.dropped: deque[httpx2.Response] = deque()
        """Answers that were dropped unread and still count as in use."""
        self.keeper: AsyncGenerator[None, None] | None = None
        self._client = httpx2.AsyncClient(**proxied_options()) if has_proxy() else None
        self._direct: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to `request`, its body not yet read."""
        if self._client is not None:
            return await self._client.send(request, stream=True, auth=None)
        scheme = request.url.scheme
        transport = self._direct.get(scheme)
        if transport is None:
            import httpx2

            transport = self._direct[scheme] = httpx2.AsyncHTTPTransport(**direct_options(scheme))
        return await transport.handle_async_request(request)

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
        if self._client is not None:
            await self._client.aclose()
        for transport in self._direct.values():
            await transport.aclose()
