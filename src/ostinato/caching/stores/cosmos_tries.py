"""How often one question is asked: what the service says of its trouble, and how long the caller waits at most."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

_chance = random.SystemRandom().random  # a seed of the program makes no two processes alike, nor is it drawn from
RETRIED = frozenset({429, 449, 503})
"""Too much at once; a concurrent write; unavailable. Each is passing, and nothing was done.

Source: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb (read 2026-11-24)."""
UNANSWERED = frozenset({408, 410, *RETRIED})
FIRST_WAIT_S = 0.005
MOST_WAIT_S = 0.5


class Failure(msgspec.Struct, frozen=True):
    """What one try came to."""

    text: str
    status: int | None = None
    """None: no answer came."""
    retry_after_s: float | None = None
    lost: bool = False
    """Whether the connection broke after the question went out."""

    @property
    def retryable(self) -> bool:
        """Whether the same question may be answered later."""
        return self.status is None or self.status in UNANSWERED or self.status >= 500


class Tries:
    """The tries of one question within `timeout_s`."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._count = 0
        self._lost = False

    def left_s(self) -> float:
        """Return how long the caller still waits, never nothing: an SDK takes 0 for always."""
        return max(self._deadline - self._clock(), 0.001)

    def wait_s(self, failure: Failure) -> float | None:
        """Return how long to wait before another try, or None when there is none.

        A broken connection is tried anew once: it may have been an old one.
        """
        self._count += 1
        if failure.status in RETRIED:
            wait_s = failure.retry_after_s
            if wait_s is None:
                wait_s = min(FIRST_WAIT_S * 2.0**self._count * (0.5 + _chance()), MOST_WAIT_S)
        elif failure.lost and not self._lost:
            self._lost = True
            wait_s = 0.0
        else:
            return None
        return wait_s if self._clock() + wait_s < self._deadline else None


def failure_of(error: Exception) -> Failure:
    """Return what `error`, of the SDK, says."""
    from azure.core.exceptions import ServiceResponseError, ServiceResponseTimeoutError

    if isinstance(error, TimeoutError):
        return Failure("no answer in time")
    first_line = next(iter(str(error).splitlines()), "")[:200]
    text = f"{type(error).__name__}: {first_line}"
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        lost = isinstance(error, ServiceResponseError) and not isinstance(error, ServiceResponseTimeoutError)
        return Failure(text, lost=lost)
    headers = getattr(error, "headers", None) or {}
    return Failure(text, status, _seconds(headers.get("x-ms-retry-after-ms")))


def _seconds(milliseconds: str | None) -> float | None:
    try:
        return max(float(milliseconds or ""), 0.0) / 1000
    except ValueError:
        return None
