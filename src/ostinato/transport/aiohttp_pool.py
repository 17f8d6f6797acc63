"""The connections of aiohttp on one event loop: less than half the processor time that httpx2 takes.

aiohttp is imported here alone. Its session is told to add, follow, keep, decode and time out nothing of its own.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import weakref
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
import yarl

from ostinato.transport import pool
from ostinato.transport.async_opened import AsyncOpened, Pool
from ostinato.transport.failure import Kind, as_error
from ostinato.transport.request import Target, fields_of, parse_target

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

    from ostinato.errors import APIError
    from ostinato.transport.exchange import Outgoing, Timeouts

_EXPECTED = (aiohttp.ClientError, OSError)
_AUTOMATIC = ("accept", "accept-encoding", "content-type", "user-agent")
_LONG_BYTES = 64 * 1024
"""From here on a body is sent piece by piece, each timed."""
_HEADER_LIMIT_BYTES = 64 * 1024
"""For one field of an answer's head; some vendors send long policies."""
_CLOSING_S = 1.0
"""How long a closing pool waits for connections that have bytes to send yet."""
_inherited: list[Any] = []
"""Answers that a parent process reads. Collecting them here would take its sockets from its event loop."""


class AiohttpPool(Pool):
    """A session that sends what it is given, to the host that is named."""

    def __init__(self) -> None:
        super().__init__()
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=pool.MAX_CONNECTIONS,
                keepalive_timeout=pool.KEPT_S,
                resolver=aiohttp.ThreadedResolver(),
                socket_factory=_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_HEADER_LIMIT_BYTES,
            max_field_size=_HEADER_LIMIT_BYTES,
        )

    async def open(self, out: Outgoing, target: Target) -> AsyncOpened:
        body = out.body if len(out.body) < _LONG_BYTES else _LongBody(out.body, out.timeouts.read_s)
        try:
            response = await self._session.request(
                out.method,
                _as_url(out.url),
                headers=fields_of(out, target),
                data=body or None,
                allow_redirects=False,
                timeout=_as_timeout(out.timeouts),
                ssl=pool.trust("https") if target.url.scheme == "https" else True,
            )
        except _EXPECTED as exc:
            error = _failure(exc, target.host, out.timeouts)
        else:
            return AsyncOpened(_Line(response, target.host, out.timeouts), target.host, self)
        raise error

    async def disconnect(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._session.close()

    def __del__(self) -> None:
        # A session complains of what it was not asked to close; its loop is gone, or it is another process's.
        self._session.detach()


class _Line:
    """A connection of aiohttp."""

    __slots__ = ("_content", "_host", "_pid", "_response", "_timeouts", "fields", "status")
    expected = _EXPECTED

    def __init__(self, response: aiohttp.ClientResponse, host: str, timeouts: Timeouts) -> None:
        self._response = response
        self._content = response.content
        self._host = host
        self._timeouts = timeouts
        self._pid = os.getpid()
        self.status = response.status
        self.fields = response.raw_headers

    async def next(self) -> bytes:
        content = self._content
        if content.exception() is not None and content._buffer:
            # What came before the failure, which aiohttp keeps to itself.
            return content._read_nowait(-1)
        part = await content.readany()
        if not part:
            raise StopAsyncIteration
        return part

    def failure(self, exc: Exception) -> APIError:
        return _failure(exc, self._host, self._timeouts)

    async def aclose(self) -> None:
        self._response.close()

    def hang_up(self) -> None:
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            pool.hang_up(connection.transport.get_extra_info("socket"))

    def __del__(self) -> None:
        if self._pid != os.getpid():
            _inherited.append(self._response)


class _Connector(aiohttp.TCPConnector):
    """Gives out no connection that the other side has closed, even if the event loop has not noticed yet."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used = weakref.WeakSet[Any]()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol not in self._used:
                self._used.add(protocol)
                return connection
            if not _is_readable(connection):
                return connection
            connection.close()

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if should_close:
            protocol._buffer.clear()  # an answer that came for nobody leads back to its connection: a circle

    def __del__(self, *_: object) -> None:
        """Say nothing: its loop is gone without warning, or is another process's, and must not be touched."""


def _is_readable(connection: Connection) -> bool:
    """Return whether something came on an idle connection: its end, most likely, and never an answer."""
    transport = connection.transport
    if transport is None:
        return True
    number = transport.get_extra_info("socket").fileno()
    if not hasattr(select, "poll"):
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


class _LongBody(aiohttp.Payload):
    """A body of which some must be taken again and again: aiohttp itself would wait for ever."""

    _default_content_type = "application/json"

    def __init__(self, body: bytes, patience_s: float) -> None:
        super().__init__(body)
        self._size = len(body)
        self._patience_s = patience_s

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a body is bytes")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        body = memoryview(self._value)
        for start in range(0, len(body), _LONG_BYTES):
            # TimeoutError as it is: `_failure` knows it by that.
            async with asyncio.timeout(self._patience_s):
                await writer.write(body[start : start + _LONG_BYTES])


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket that probes a silent peer."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    for option in pool.keepalive():
        made.setsockopt(*option)
    return made


@lru_cache(maxsize=512)
def _as_url(url: str) -> yarl.URL:
    return yarl.URL(str(parse_target(url).url), encoded=True)


@lru_cache(maxsize=64)
def _as_timeout(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    # `connect` spans the wait for a free connection as well, which may be long.
    longest_s = timeouts.connect_s + timeouts.read_s
    return aiohttp.ClientTimeout(None, longest_s, timeouts.read_s, timeouts.connect_s)


def _failure(exc: Exception, host: str, timeouts: Timeouts) -> APIError:
    """Return the error that an exception of aiohttp means. Raise it outside the `except` block."""
    kind, cause = _meaning(exc)
    return as_error(kind, str(cause) or type(cause).__name__, host, timeouts, cause)


def _meaning(exc: Exception) -> tuple[Kind, BaseException | None]:
    """Return what went wrong, and what of it can be shown: aiohttp quotes URLs and bytes, an operating system none."""
    match exc:
        case aiohttp.ConnectionTimeoutError():
            return "no connection", exc
        case aiohttp.ServerTimeoutError():
            return "silent", exc
        case aiohttp.ClientConnectorCertificateError():
            return "refused", exc.certificate_error
        case aiohttp.ClientConnectorError():
            return "refused", exc.os_error
        case aiohttp.ServerDisconnectedError():
            return "cut", None
        case aiohttp.ClientPayloadError():
            return ("cut" if "Not enough data" in str(exc) else "no HTTP"), None
        case TimeoutError():
            return "not sent", exc
        case OSError() if exc.errno is not None:
            cause = exc.__cause__
            return "broken", cause if isinstance(cause, OSError) else OSError(exc.errno, os.strerror(exc.errno))
        case OSError() | aiohttp.ClientConnectionError():
            return "broken", ConnectionError("closed")
        case _:
            return "no HTTP", None
