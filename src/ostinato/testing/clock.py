"""A clock that moves when it is told to."""

from __future__ import annotations


class ManualClock:
    """A clock for tests: call it for the time, `advance` it by seconds."""

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time by `seconds`, backwards when negative."""
        self.now += seconds
