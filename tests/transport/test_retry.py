from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    InternalServerError,
    OstinatoError,
    RateLimitError,
    Timeout,
)
from ostinato.transport.retry import RetryPolicy, retry_delay


def never() -> float:
    raise AssertionError("no dice are thrown here")


@pytest.mark.parametrize(
    ("attempt", "dice", "delay"),
    [
        (0, 0.0, 0.5),
        (1, 0.0, 1.0),
        (2, 0.0, 2.0),
        (3, 0.0, 4.0),
        (4, 0.0, 8.0),
        (5, 0.0, 8.0),
        (0, 0.5, 0.4375),
        (4, 0.999, 6.002),
    ],
)
def test_the_wait_doubles_up_to_the_cap_and_loses_up_to_a_quarter(attempt: int, dice: float, delay: float) -> None:
    policy = RetryPolicy(num_retries=9)

    assert retry_delay(InternalServerError("x"), attempt, policy, lambda: dice) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RateLimitError("x"), True),
        (Timeout("x"), True),
        (APIConnectionError("x"), True),
        (APIConnectionError("x", retryable=False), False),
        (BadRequestError("x"), False),
        (BadRequestError("x", retryable=True), True),
        (AuthenticationError("x", retry_after=1.0), False),
        (ConfigurationError("x"), False),
    ],
)
def test_the_error_says_whether_to_try_again(error: OstinatoError, again: bool) -> None:
    assert (retry_delay(error, 0, RetryPolicy(), lambda: 0.0) is not None) is again


def test_retries_are_counted() -> None:
    policy = RetryPolicy(num_retries=2)
    delays = [retry_delay(Timeout("x"), attempt, policy, lambda: 0.0) for attempt in range(4)]

    assert delays == [0.5, 1.0, None, None]
    assert retry_delay(Timeout("x"), 0, RetryPolicy(num_retries=0), never) is None


@pytest.mark.parametrize(("asked", "delay"), [(0.001, 0.001), (7.0, 7.0), (60.0, 60.0), (60.1, None), (math.inf, None)])
def test_what_the_vendor_asks_for_is_kept_to_the_letter_or_not_waited_for(asked: float, delay: float | None) -> None:
    assert retry_delay(RateLimitError("x", retry_after=asked), 0, RetryPolicy(), never) == delay


@pytest.mark.parametrize("asked", [0.0, -5.0, math.nan])
def test_a_wait_that_makes_no_sense_is_as_good_as_none(asked: float) -> None:
    assert retry_delay(RateLimitError("x", retry_after=asked), 0, RetryPolicy(), lambda: 0.0) == 0.5


SECONDS = st.floats(min_value=0, max_value=1e9)
POLICIES = st.builds(
    RetryPolicy, num_retries=st.integers(0, 10_000), base_s=SECONDS, cap_s=SECONDS, longest_retry_after_s=SECONDS
)


@given(
    policy=POLICIES,
    attempt=st.integers(0, 10_000),
    dice=st.floats(min_value=0, max_value=1, exclude_max=True),
    asked=st.none() | st.floats(),
)
def test_a_delay_is_never_negative_nor_longer_than_the_policy_allows(
    policy: RetryPolicy, attempt: int, dice: float, asked: float | None
) -> None:
    delay = retry_delay(RateLimitError("x", retry_after=asked), attempt, policy, lambda: dice)

    assert delay is None or 0 <= delay <= max(policy.cap_s, policy.longest_retry_after_s)
    assert delay is not None or attempt >= policy.num_retries or (asked or 0) > policy.longest_retry_after_s


@given(policy=POLICIES, attempt=st.integers(0, 10_000), dice=st.floats(min_value=0, max_value=1, exclude_max=True))
def test_jitter_takes_a_quarter_at_most(policy: RetryPolicy, attempt: int, dice: float) -> None:
    steady = retry_delay(Timeout("x"), attempt, policy, lambda: 0.0)
    jittered = retry_delay(Timeout("x"), attempt, policy, lambda: dice)

    assert (steady is None) is (jittered is None)
    if steady is not None and jittered is not None:
        assert 0.75 * steady <= jittered <= steady


@pytest.mark.parametrize("name", ["base_s", "cap_s", "longest_retry_after_s", "num_retries"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "1", None, True])
def test_a_policy_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})
