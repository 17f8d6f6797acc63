"""HTTP/1.1 as a server speaks it: one object a connection, requests in, answers out, whole or cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

_MAX_HEAD_BYTES = 65_536
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that has arrived whole."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case; of a name that comes twice, the last value."""
    body: bytes
    keep_alive: bool
    too_large: bool
    """Whether the body was longer than is taken; it was read and dropped."""


class _RefusedError(Exception):
    """The bytes are no request that can be answered; the connection is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class _Head:
    method: str
    target: str
    headers: dict[str, str]
    keep_alive: bool
    length: int | None
    """Bytes of the body still to come; None for a chunked body."""
    too_large: bool


Serve = Callable[["Connection", HttpRequest], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client. `serve` is called for each request, one after the other."""

    def __init__(self, serve: Serve, open_connections: set[Connection], max_body_bytes: int) -> None:
        self._serve = serve
        self._open = open_connections
        self._max_body_bytes = max_body_bytes
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._task: asyncio.Task[None] | None = None
        self._pending = b""
        self._chunked = False
        self._closing = False
        self._writable: asyncio.Future[None] | None = None
        self.lost = False
        """Whether the client has hung up."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # asyncio does so only for sockets that were made with an explicit protocol number.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = not self._closing
        self._open.discard(self)
        with contextlib.suppress(OSError):
            # A forked child may hold the socket too: closing ours alone would not reach the client then.
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What a server calls.

    def start(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Begin an answer of `length` bytes, chunked when None. Leaves with the first `write` or `flush`."""
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append("transfer-encoding: chunked" if length is None else f"content-length: {length}")
        self._pending = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        self._chunked = length is None

    def flush(self) -> None:
        """Send the head if it is still waiting."""
        if self._pending:
            self._transport.write(self._pending)
            self._pending = b""

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; return when the client keeps up."""
        if self._chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(self._pending + data)
        self._pending = b""
        if self._writable is not None:
            await self._writable

    def finish(self) -> None:
        """End the body."""
        if self._chunked:
            self._transport.write(self._pending + b"0\r\n\r\n")
            self._pending = b""
        else:
            self.flush()

    def close(self) -> None:
        """Hang up after what was sent."""
        self.flush()
        self._closing = True
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once, and end the request that is being answered."""
        self._closing = True
        self._transport.abort()

    # From bytes to requests.

    def _next(self) -> None:
        """Start on the next request, if it is there."""
        try:
            request = self._read()
        except _RefusedError as refused:
            self.start(refused.status, {"connection": "close"}, 0)
            self.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._run(request))

    async def _run(self, request: HttpRequest) -> None:
        try:
            await self._serve(self, request)
        except BaseException:
            self.abort()
            raise
        finally:
            self._task = None
        if not request.keep_alive:
            self.close()
        elif not self._closing:
            self._next()

    def _read(self) -> HttpRequest | None:
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        head = self._head
        if head.length is None:
            body = self._read_chunks()
        elif head.too_large:
            body = self._drop(head)
        else:
            body = self._read_exactly(head.length)
        if body is None:
            return None
        self._head = None
        return HttpRequest(head.method, head.target, head.headers, body, head.keep_alive, head.too_large)

    def _read_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end > _MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > _MAX_HEAD_BYTES):
            raise _RefusedError(431)
        if end < 0:
            return None
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _RefusedError(400)
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise _RefusedError(400)
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        wish = headers.get("connection", "").lower()
        keep_alive = wish != "close" if words[2] == "HTTP/1.1" else wish == "keep-alive"
        length = _length(headers)
        too_large = length is not None and length > self._max_body_bytes
        return _Head(words[0], words[1], headers, keep_alive, length, too_large)

    def _drop(self, head: _Head) -> bytes | None:
        """Read a body away, so that its sender lives to see the answer."""
        taken = min(len(self._buffer), head.length or 0)
        del self._buffer[:taken]
        head.length = (head.length or 0) - taken
        return None if head.length else b""

    def _read_exactly(self, length: int) -> bytes | None:
        if len(self._buffer) < length:
            return None
        body = bytes(memoryview(self._buffer)[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        """Return a chunked body once its last chunk is there. Trailers are dropped."""
        if len(self._buffer) > 2 * self._max_body_bytes:
            raise _RefusedError(413)
        parts: list[bytes] = []
        at = 0
        while (end := self._buffer.find(b"\r\n", at)) >= 0:
            try:
                size = int(self._buffer[at:end].split(b";")[0], 16)
            except ValueError:
                raise _RefusedError(400) from None
            if not size:
                close = self._buffer.find(b"\r\n\r\n", end)
                if close < 0:
                    return None
                del self._buffer[: close + 4]
                return b"".join(parts)
            parts.append(bytes(self._buffer[end + 2 : end + 2 + size]))
            at = end + 2 + size + 2
        return None


def _length(headers: Mapping[str, str]) -> int | None:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return None
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():
        raise _RefusedError(400)
    return int(text)
