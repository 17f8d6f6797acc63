"""HTTP as uvicorn speaks it, with limits on what a slow or greedy client may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ostinato.gateway.exchange import OURS
from ostinato.gateway.headers import CLOSE, Pairs

try:
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
except ImportError:  # who serves without the extra is told what to install
    HttpToolsProtocol = object  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from ostinato.gateway.config import Limits

SLOWEST_BYTES_S = 16 << 10
"""A body that comes at least this fast may take as long as it takes."""


class Guarded(HttpToolsProtocol):
    """One connection.

    It remembers when its request began, and when it was answered; `sweep` looks at all of them now and then. A timer
    for each request would cost each request one.
    """

    limits: Limits

    reading_since: float | None = None
    """When its request, or the connection, began; None once the request is whole."""
    answered_at = 0.0
    """When its last request was answered."""
    stuck_since: float | None = None
    """Since when none of the answer was taken, although some is waiting."""
    gone: Callable[[], object] | None = None
    """Who wants to know when the client leaves."""
    _got = 0
    _waiting = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.reading_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.gone is not None:
            self.gone()

    def data_received(self, data: bytes) -> None:
        if self.reading_since is None:
            self.reading_since = self.loop.time()
            self._got = 0
            self._in_head = True
        self._got += len(data)
        super().data_received(data)
        if self._in_head and self._got > self.limits.max_header_bytes and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        self._in_head = False
        # What came so far may be body as well: only then is it worth counting.
        if self._got > self.limits.max_header_bytes and self._head_bytes() > self.limits.max_header_bytes:
            app, self.app = self.app, _headers_too_large
            super().on_headers_complete()
            self.app = app
        else:
            super().on_headers_complete()
        self.scope["extensions"] = {OURS: _Connection(self, self.cycle)}  # type: ignore[dict-item]

    def on_message_complete(self) -> None:
        self.reading_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on as uvicorn does, but without its timer for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.answered_at = self.loop.time()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def check(self, now: float) -> None:
        """Close the connection when its client is too slow, or asks for nothing any more."""
        if self.reading_since is not None:
            if self.flow.read_paused:
                self.reading_since = now  # we are slow, not the client
            elif now - self.reading_since > self.limits.read_timeout_s + self._got / SLOWEST_BYTES_S:
                self._refuse(b"408 Request Timeout")
                return
        elif self.cycle.response_complete and now - self.answered_at > self.limits.keep_alive_s:
            self.transport.close()
        waiting = self.transport.get_write_buffer_size()
        if not waiting or waiting != self._waiting:
            self._waiting = waiting
            self.stuck_since = now if waiting else None
        elif self.stuck_since is not None and now - self.stuck_since > self.limits.write_timeout_s:
            self.transport.abort()

    def _refuse(self, status: bytes) -> None:
        """Answer with a bare status where nothing was answered yet, and close."""
        cycle: Any = self.cycle  # None before the first request
        if self._got and (cycle is None or cycle.response_complete or not cycle.response_started):
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


def protocol_class(limits: Limits) -> type[Guarded]:
    """Return the protocol of connections that are kept within `limits`."""
    return type("Kept", (Guarded,), {"limits": limits})


class _Connection:
    """What one request may ask of its connection; see `exchange.Connection`."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: Guarded, cycle: Any) -> None:
        self._protocol = protocol
        self._cycle = cycle

    def body(self) -> bytes | None:
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return body

    def reply(self, status: int, headers: Pairs, body: bytes) -> bool:
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected:
            return False
        fields = [b": ".join(pair) for pair in (*cycle.default_headers, *headers)]
        closes = CLOSE in headers
        if not (closes or cycle.keep_alive):
            fields.append(b": ".join(CLOSE))
            closes = True
        head = b"\r\n".join(fields)
        if head.count(b"\n") != len(fields) - 1:
            raise ValueError("a field of an answer holds a line break")
        cycle.transport.write(b"".join((STATUS_LINE[status], head, b"\r\n\r\n", body)))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if closes:
            cycle.transport.close()
        cycle.on_response()
        return True

    def when_gone(self, tell: Callable[[], object] | None) -> None:
        self._protocol.gone = tell
        if tell is not None and self._cycle.disconnected:
            tell()


async def _headers_too_large(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"0"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 431, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def sweep(connections: Iterable[Any], limits: Limits) -> None:
    """Close the connections of clients that are too slow, or gone quiet, for ever."""
    loop = asyncio.get_running_loop()
    pause_s = min(1.0, limits.read_timeout_s / 4, limits.write_timeout_s / 4, limits.keep_alive_s / 4)
    while True:
        await asyncio.sleep(pause_s)
        now = loop.time()
        for connection in list(connections):
            connection.check(now)
