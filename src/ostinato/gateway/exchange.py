"""One request and its answer over HTTP: the body within limits, bytes out, a client that may leave."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ostinato.client.telling import status_of
from ostinato.errors import BadRequestError, OstinatoError, RequestTooLargeError
from ostinato.gateway.headers import CLOSE, EVENTS, JSON, Pairs, error_headers

if TYPE_CHECKING:
    from ostinato.client.ask import Told
    from ostinato.client.passage import Telling
    from ostinato.gateway.admit import Caller
    from ostinato.gateway.config import Limits
    from ostinato.gateway.till import Ticket
    from ostinato.wire.dialects import Dialect

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

OURS = "ostinato"
"""Under which of a scope's extensions our own server is found."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_prefix = secrets.token_hex(8)
_count = itertools.count(1)


class ClientGoneError(Exception):
    """Who asked has left: nobody reads an answer."""


class Connection(Protocol):
    """What our own server does for an exchange beyond ASGI."""

    def body(self) -> bytes | None:
        """Take the body of the request, where all of it is there; None: it is to be received."""

    def reply(self, status: int, headers: Pairs, body: bytes) -> bool:
        """Send a whole answer in one write. Return False where its client is to be waited for: nothing was sent."""

    def when_gone(self, tell: Callable[[], object] | None) -> None:
        """Have `tell` called when the client leaves, or takes nothing for `write_timeout_s`; None: nothing."""


class Exchange:
    """One request and the way to answer it."""

    __slots__ = (
        "_connection",
        "_limits",
        "_receive",
        "_send",
        "begun",
        "begun_s",
        "call_id",
        "caller",
        "dialect",
        "error",
        "headers",
        "parameter",
        "scope",
        "status",
        "ticket",
        "told",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, dialect: Dialect, limits: Limits) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.dialect = dialect
        """In which an error is told."""
        self.call_id = f"{_prefix}{next(_count):08x}"
        self.caller: Caller
        self.parameter = ""
        """What stands in the path behind the route."""
        self.begun = False
        """Whether the answer has begun."""
        self.begun_s: float | None = None
        """When a stream had its first byte, on the clock of `time.perf_counter`."""
        self.error = ""
        """The class of what it was refused with. The error itself knows all who raised it: a circle."""
        self.status = 0
        """Of the answer; 0: none has begun."""
        self.ticket: Ticket | None = None
        """What a call to a model was let in with."""
        self.told: Told | None = None
        """What a model or the cache answered."""
        self._receive = receive
        self._send = send
        # Taken out of the scope, which the connection holds: a circle would wait for the garbage collector.
        self._connection: Connection | None = scope.get("extensions", {}).pop(OURS, None)
        self._limits = limits

    # What came.

    async def body(self) -> bytes:
        """Return the body. That it comes in time is the server's to see (`Limits.read_timeout_s`).

        Raises: RequestTooLargeError. ClientGoneError.
        """
        limits = self._limits
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > limits.max_body_bytes:
            raise _too_large(limits)
        whole = None if self._connection is None else self._connection.body()
        if whole is None:
            return await self._received()
        if len(whole) > limits.max_body_bytes:
            raise _too_large(limits)
        return whole

    async def _received(self) -> bytes:
        limits = self._limits
        parts = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > limits.max_body_bytes:
                raise _too_large(limits)
            parts.append(part)
            if not message.get("more_body", False):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json(self) -> dict[str, Any]:
        """Return the body as an object.

        Raises: BadRequestError: it is none, and what `body` raises.
        """
        return object_of(await self.body())

    # The answer.

    async def reply(self, status: int, headers: Pairs, body: bytes) -> None:
        """Send a whole answer."""
        self.begun = True
        self.status = status
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        body = b"" if self.scope["method"] == "HEAD" else body
        if self._connection is None or not self._connection.reply(status, headers, body):
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})

    async def reply_json(self, value: Any, headers: Pairs, status: int = 200) -> None:
        """Send a value as JSON."""
        await self.reply(status, [JSON, *headers], _encode(value))

    async def reply_events(self, headers: Pairs, events: Telling) -> None:
        """Send a stream as it comes, and close it in any case."""
        async with aclosing(events):
            self.begun = True
            self.status = 200
            self.begun_s = time.perf_counter()
            await self._send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *headers]})
            async for piece in events:
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def reply_replayed(self, headers: Pairs, events: bytes) -> None:
        """Send a stream that is there already."""
        await self.reply(200, [*EVENTS, *headers], events)

    async def refuse(self, error: OstinatoError) -> None:
        """Send an error in the caller's dialect. Where the answer has begun it cannot be told any more."""
        self.error = type(error).__name__
        if self.begun:
            return
        status = status_of(error)
        headers = [*error_headers(self.call_id, error), *([CLOSE] if status == 413 else [])]
        await self.reply_json(self.dialect.render_error(error, status), headers, status)

    # The client.

    async def watched(self, work: Awaitable[None]) -> None:
        """Await `work`; with our own server, as long as the client is there.

        Raises: ClientGoneError: it has left, and the work was cancelled.
        """
        connection = self._connection
        if connection is None:
            await work
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # an application runs in one
        left = False

        def leave() -> None:
            nonlocal left
            left = True
            task.cancel()

        connection.when_gone(leave)
        try:
            await work
        except asyncio.CancelledError:
            if not left:
                raise
            task.uncancel()
            raise ClientGoneError from None
        finally:
            connection.when_gone(None)


def object_of(raw: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises: BadRequestError: it is none.
    """
    try:
        value = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        what = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise BadRequestError(f"the body is no JSON: {what}") from None
    if type(value) is not dict:
        raise BadRequestError(f"the body must be a JSON object, not a {type(value).__name__}")
    return value


def _too_large(limits: Limits) -> RequestTooLargeError:
    return RequestTooLargeError(f"the body is larger than the {limits.max_body_bytes} bytes that are taken")
