from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import ConfigurationError
from ostinato.transport.exchange import Timeouts, as_headers


def test_no_timeout_is_ten_seconds_to_connect_and_ten_minutes_of_silence() -> None:
    assert Timeouts.of(None) == Timeouts(connect_s=10.0, read_s=600.0)


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.integers(min_value=1, max_value=10**9))
def test_a_number_is_the_time_without_a_byte_and_at_most_that_to_connect(timeout: float) -> None:
    timeouts = Timeouts.of(timeout)

    assert timeouts.read_s == timeout
    assert timeouts.connect_s == min(10.0, timeout)


def test_timeouts_are_taken_as_they_are() -> None:
    timeouts = Timeouts(connect_s=1.0, read_s=2.0)

    assert Timeouts.of(timeouts) is timeouts


@pytest.mark.parametrize("timeout", [0, -1, 0.0, math.nan, math.inf, -math.inf, True, "10", (1, 2), b"", object()])
def test_any_other_timeout_is_a_configuration_error(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="positive, finite"):
        Timeouts.of(timeout)
    with pytest.raises(ConfigurationError, match="connect_s"):
        Timeouts(connect_s=timeout)


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Timeouts().read_s = 1.0  # type: ignore[misc]


def test_header_fields_become_text_with_lower_case_names() -> None:
    fields = [(b"X-A", b"1"), (b"Content-Type", b"\xe9"), (b"x-a", b"2")]

    assert as_headers(fields) == {"x-a": "1, 2", "content-type": "é"}
