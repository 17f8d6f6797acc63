"""Whether a failure is worth another try, and when. Pure: the caller waits, and brings the dice."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from ostinato.errors import ConfigurationError, OstinatoError


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often to try again, and how long to wait before."""

    num_retries: int = 2
    """Tries after the first."""
    base_s: float = 0.5
    """The wait before the first retry; it doubles with each."""
    cap_s: float = 8.0
    """The longest wait of our own choice."""
    longest_retry_after_s: float = 60.0
    """The longest wait that a vendor may ask for; beyond it the caller hears of the error instead."""

    def __post_init__(self) -> None:
        tries: object = self.num_retries
        if isinstance(tries, bool) or not isinstance(tries, int) or tries < 0:
            raise ConfigurationError(f"num_retries must be a whole number of 0 or more, not {tries!r}")
        for name in ("base_s", "cap_s", "longest_retry_after_s"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigurationError(f"{name} must be a finite number of seconds of 0 or more, not {value!r}")


def retry_delay(error: OstinatoError, attempt: int, policy: RetryPolicy, random: Callable[[], float]) -> float | None:
    """Return how many seconds to wait before the next try, or None to give up.

    Not to be asked once a byte of a stream was passed on.

    Args:
        error: what the last try ended with.
        attempt: retries made so far: 0 after the first failure.
        policy: how often, and how long at most.
        random: returns a number from 0 up to 1, as `random.random` does.

    A vendor's `retry_after` is kept to the letter, or, where it exceeds the policy, not waited for at all:
    the error that the caller then gets carries it. Otherwise the wait doubles and loses up to a quarter, so
    that callers who failed together do not return together. The official clients do the same.
    Source: https://github.com/openai/openai-python, `_base_client.py` (read 2026-11-22).
    """
    if not error.retryable or attempt >= policy.num_retries:
        return None
    asked = error.retry_after
    if asked is not None and asked > 0:
        return asked if asked <= policy.longest_retry_after_s else None
    doubled = policy.base_s * 2.0 ** min(attempt, 64)
    return min(doubled, policy.cap_s) * (1.0 - 0.25 * random())
