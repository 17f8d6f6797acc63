"""Whether a server that failed is worth asking, so that an outage costs each call nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

State = Literal["closed", "open", "probing"]


class Breaker:
    """Refuses to ask a server for `rest_s` seconds after `failures` failures in a row.

    Then one caller is let through to probe, and the rest are refused for as long again, or until the probe
    reports. A success closes the breaker, a failure opens it anew.

    It takes no lock, so it is safe around a fork: two callers at the same instant may both probe, and a count
    may be lost, which costs a question more.
    """

    def __init__(self, *, failures: int = 3, rest_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._rest_s = rest_s
        self._clock = clock
        self._failures = 0
        self._ask_at = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """`closed`: everyone asks. `open`: nobody does. `probing`: one does, for the others."""
        if self._failures < self._limit:
            return "closed"
        return "probing" if self._probing else "open"

    def admits(self) -> bool:
        """Return whether to ask. Whoever is admitted owes a `succeeded` or a `failed`."""
        if self._failures < self._limit:
            return True
        now = self._clock()
        if now < self._ask_at:
            return False
        self._rest_from(now)
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Take note that the server answered, whatever it said."""
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        """Take note that no answer came."""
        self._failures += 1
        self._probing = False
        self._rest_from(self._clock())

    def trip(self) -> None:
        """Open at once: a failure that took long, or that the next question would only repeat."""
        self._failures = max(self._failures, self._limit)
        self.failed()

    def _rest_from(self, now: float) -> None:
        self._ask_at = now + self._rest_s
