"""What reached the emulator: every request as it came in, and what became of its answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ostinato.testing.emulator.http import HttpRequest

_KEPT = 10_000
_SECRETS = ("authorization", "x-api-key", "api-key", "x-amz-security-token")


@dataclass(slots=True)
class Outcome:
    """What became of a call, so far."""

    status: int | None = None
    """The HTTP status that was sent; None while nothing was."""
    usage: Mapping[str, Any] | None = None
    """What the vendor would bill, in its own terms; None for a call that costs nothing."""
    events_sent: int = 0
    """Whole events of a stream that were handed to the socket."""


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One request."""

    number: int
    """1 for the first request since the start or the last reset."""
    method: str
    path: str
    """Without the query."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes
    """The body as it came."""
    body: Any
    """The decoded JSON, or None where it is none. Shared: do not change it."""
    at: float
    """By the emulator's clock."""
    disconnected: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the client hung up before its answer was whole."""
    finished: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the answer is over: sent, cut or abandoned."""
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def paid(self) -> bool:
        """Whether the vendor would bill this call."""
        return self.outcome.usage is not None


class Calls:
    """The log of requests, the last ten thousand of them. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: deque[RecordedCall] = deque(maxlen=_KEPT)
        self._count = 0
        self.in_flight = 0
        self.peak_in_flight = 0

    def begin(self, request: HttpRequest, body: Any, at: float) -> RecordedCall:
        """Record a request that has arrived whole."""
        path, _, query = request.target.partition("?")
        with self._changed:
            self._count += 1
            call = RecordedCall(self._count, request.method, path, query, request.headers, request.body, body, at)
            self._kept.append(call)
            self.in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            self._changed.notify_all()
        return call

    def end(self, call: RecordedCall) -> None:
        """Record that the answer to `call` is over."""
        with self._changed:
            self.in_flight -= 1
            call.finished.set()
            self._changed.notify_all()

    def all(self) -> tuple[RecordedCall, ...]:
        """Return what is kept, oldest first."""
        with self._changed:
            return tuple(self._kept)

    def wait(self, count: int, timeout_s: float) -> tuple[RecordedCall, ...]:
        """Return the calls as soon as there are `count` of them.

        Raises: TimeoutError: there are fewer after `timeout_s` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._count >= count, timeout_s):
                raise TimeoutError(f"{self._count} calls arrived in {timeout_s} s, not {count}")
            return tuple(self._kept)

    def wait_until_idle(self, timeout_s: float) -> None:
        """Return when no call is in flight.

        Raises: TimeoutError: one still is after `timeout_s` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self.in_flight, timeout_s):
                raise TimeoutError(f"{self.in_flight} calls are still being answered after {timeout_s} s")

    def clear(self) -> None:
        """Forget the calls, and count from 1 again."""
        with self._changed:
            self._kept.clear()
            self._count = 0
            self.peak_in_flight = self.in_flight


def as_json(call: RecordedCall) -> dict[str, Any]:
    """Return `call` as JSON, with secrets in its headers masked."""
    return {
        "number": call.number,
        "method": call.method,
        "path": call.path,
        "query": call.query,
        "headers": {name: mask(value) if name in _SECRETS else value for name, value in call.headers.items()},
        "body": call.body,
        "at": call.at,
        "status": call.outcome.status,
        "usage": call.outcome.usage,
        "events_sent": call.outcome.events_sent,
        "disconnected": call.disconnected.is_set(),
        "finished": call.finished.is_set(),
    }


def mask(secret: str) -> str:
    """Return a secret with its middle starred out, as vendors show a key they refuse."""
    if len(secret) <= 12:
        return secret[:3] + "*" * (len(secret) - 3)
    return secret[:8] + "*" * (len(secret) - 12) + secret[-4:]
