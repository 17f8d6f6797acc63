"""One connection to a Redis, spoken to by one caller at a time, each within its deadline."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import hiredis

from ostinato.errors import StoreError

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

Result = TypeVar("Result")

READ_BYTES = 65536
SLACK_S = 0.001
REPLY_OVERHEAD = 256
"""Bytes that the framing of a reply may take beside its value."""
UNFINISHED = object()


def pack(*words: bytes | str | int) -> bytes:
    """Return a command in the form in which it is sent."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub knows tuples of one
    return packed


class LineError(Exception):
    """The connection is of no use any more."""

    def __init__(self, problem: str, *, stale: bool = False, late: bool = False) -> None:
        super().__init__(problem)
        self.stale = stale
        """Whether the server had hung up before it answered: a new connection may do."""
        self.late = late
        """Whether the deadline came before the answer."""


class Line:
    """A connection that redis-py opened, read and written without it: its own ways cost more than the rest of a hit.

    Whatever goes wrong is a `LineError`, and the line is to be closed: nobody knows which answers are to come.
    """

    __slots__ = ("_buffer", "_connection", "_limit_bytes", "_reader", "_set_s", "_socket")

    def __init__(self, connection: AbstractConnection, limit_bytes: int) -> None:
        self._connection = connection
        self._socket: Any = connection._sock
        self._reader = hiredis.Reader(notEnoughData=UNFINISHED)
        self._buffer = bytearray(READ_BYTES)
        self._limit_bytes = limit_bytes + REPLY_OVERHEAD
        self._set_s = -1.0

    def ask(self, packed: bytes, deadline: float) -> Any:
        """Send one command and return its reply; an error of the server's is a value like another."""
        self.send(packed, deadline)
        return self._reply(deadline, self._limit_bytes)

    def ask_all(self, packed: bytes, replies: int, deadline: float) -> list[Any]:
        """Send that many commands at once and return their replies."""
        self.send(packed, deadline)
        return [self._reply(deadline, self._limit_bytes) for _ in range(replies)]

    def next_push(self, deadline: float) -> Any:
        """Return what the server says next, unasked or asked; `UNFINISHED` when that is nothing by the deadline."""
        try:
            return self._reply(deadline, self._limit_bytes, pushes=True)
        except LineError as exc:
            if exc.late:
                return UNFINISHED
            raise

    def said_already(self) -> Any:
        """Return what the server has said beyond that; `UNFINISHED` when that is nothing."""
        try:
            return self._reader.gets()
        except hiredis.HiredisError:
            raise LineError("what answers is no Redis") from None

    def nudge(self, packed: bytes) -> None:
        """Send a command from beside the thread that waits for what is said next; its reply ends the wait."""
        with contextlib.suppress(OSError):
            self._socket.send(packed)

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()  # type: ignore[no-untyped-call]

    def send(self, packed: bytes, deadline: float) -> None:
        """Send a command, whose reply is read as what comes next."""
        try:
            self._wait_until(deadline)
            self._socket.sendall(packed)
        except TimeoutError:
            raise LineError("no room for a command in time") from None
        except OSError as exc:
            raise LineError(f"the connection broke: {exc.strerror or type(exc).__name__}", stale=True) from exc

    def _reply(self, deadline: float, limit_bytes: int, *, pushes: bool = False) -> Any:
        read = self._reader.gets
        reply = read()
        while reply is UNFINISHED or (not pushes and isinstance(reply, hiredis.PushNotification)):
            if reply is UNFINISHED:
                limit_bytes -= self._receive(deadline)
                if limit_bytes < 0:
                    raise LineError("a reply is longer than any value may be")
            try:
                reply = read()
            except hiredis.HiredisError:
                raise LineError("what answers is no Redis") from None
        return reply

    def _receive(self, deadline: float) -> int:
        try:
            self._wait_until(deadline)
            count: int = self._socket.recv_into(self._buffer)
        except TimeoutError:
            raise LineError("no answer in time", late=True) from None
        except OSError as exc:
            raise LineError(f"the connection broke: {exc.strerror or type(exc).__name__}", stale=True) from exc
        if not count:
            raise LineError("the server hung up", stale=True)
        self._reader.feed(self._buffer, 0, count)  # type: ignore[arg-type]  # any buffer will do
        return count

    def _wait_until(self, deadline: float) -> None:
        """Let the next step on the socket take no longer. Setting that is a system call: done where it matters."""
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        if not -SLACK_S <= self._set_s - left <= SLACK_S:
            self._set_s = left
            self._socket.settimeout(left)


def run_behind(work: Callable[[], Result], name: str) -> Future[Result]:
    """Run `work` in a thread of its own that ends with it, so that its caller need not wait for all of it.

    Raises: StoreError: no thread can be started, as at the interpreter's end.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:  # noqa: BLE001 (it is the waiting caller's)
            outcome.set_exception(exc)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as exc:
        raise StoreError(f"no thread can be started to open a connection: {exc}") from exc
    return outcome
