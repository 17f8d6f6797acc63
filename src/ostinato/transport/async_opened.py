"""An answer that a task reads slice by slice, whichever HTTP library brings it."""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from typing import Protocol

from ostinato.errors import APIError
from ostinato.transport.encoding import Decoder, decoder_for
from ostinato.transport.exchange import Outgoing, as_headers, body_limit
from ostinato.transport.failure import closed, too_long
from ostinato.transport.request import Target


class Line(Protocol):
    """The connection under one answer."""

    @property
    def status(self) -> int: ...

    @property
    def fields(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the header fields as they came."""

    @property
    def expected(self) -> type[Exception] | tuple[type[Exception], ...]:
        """Return what `next` raises when the network or the peer fails."""

    def next(self) -> Awaitable[bytes]:
        """Return the next slice, not yet decoded. Raises: StopAsyncIteration: the body has ended."""

    def failure(self, exc: Exception) -> APIError:
        """Return what an `expected` exception means."""

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body is not all read."""

    def hang_up(self) -> None:
        """Shut the socket, from any thread."""


class Pool:
    """The connections of one event loop."""

    def __init__(self) -> None:
        self.live: dict[int, weakref.ref[AsyncOpened]] = {}
        """Answers that are being read, by identity."""
        self.dropped: deque[Line] = deque()
        """Connections of answers that were dropped unread; they still count as in use."""
        self.keeper: AsyncGenerator[None, None] | None = None

    async def open(self, out: Outgoing, target: Target) -> AsyncOpened:
        """Return the answer to `out`, its body not yet read."""
        raise NotImplementedError

    async def disconnect(self) -> None:
        """Close all connections."""
        raise NotImplementedError

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
        await self.disconnect()


class AsyncOpened:
    """An answer whose body is still on its way. Iterate over it, or `read` it; then it closes itself.

    Slices come as the network delivers them, content decoded, and never wait for more. Tasks of its own event
    loop may take turns in reading; one that is cancelled while it waits for a slice hangs up. So does an answer
    that is dropped unread.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_decoder",
        "_host",
        "_line",
        "_pid",
        "_pool",
        "_reading",
        "_released",
        "headers",
        "status",
    )

    def __init__(self, line: Line, host: str, pool: Pool) -> None:
        self._closed = False
        self._reading = False
        self._line = line
        self._pool = pool
        self._pid = os.getpid()
        self._host = host
        self.status = line.status
        self.headers = as_headers(line.fields)
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
            part = await (self._line.next() if self._decoder is None else self._decoded(self._decoder))
        except self._line.expected as exc:
            await self._release()
            error = closed(self._host) if self._closed else self._line.failure(exc)
        except BaseException:
            await self._release()
            raise
        else:
            if not self._closed:
                return part
        finally:
            self._reading = False
        raise error or closed(self._host)

    async def _decoded(self, decoder: Decoder) -> bytes:
        try:
            while True:
                if plain := decoder.feed(await self._line.next()):
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
            await self._line.aclose()

    def __del__(self) -> None:
        if getattr(self, "_released", True) or self._pid != os.getpid() or sys.is_finalizing():
            return
        # No loop may be running here, or another one: hang up, and leave the rest to the next request.
        self._pool.live.pop(id(self), None)
        self._pool.dropped.append(self._line)
        self._line.hang_up()
