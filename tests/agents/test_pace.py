"""`api_rate_limit`: requests are spaced out, answers of the cache are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import OpenAIWrapper
from ostinato.agents.clients import VendorClient
from ostinato.agents.pace import Pace, PacedTransport
from ostinato.errors import ConfigurationError
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator
from tests.agents.casts import HELLO


def test_turns_are_as_far_apart_as_the_limit_says() -> None:
    clock = ManualClock()
    pace = Pace(4, clock)
    waits = [pace.take() for _ in range(3)]
    clock.advance(2)

    assert waits == [0, 0.25, 0.5]
    assert [pace.take(), pace.take()] == [0, 0.25]


@pytest.mark.parametrize("limit", [0, -1, "fast", True])
def test_limit_that_is_no_rate_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="api_rate_limit"):
        OpenAIWrapper(config_list=[{"model": "gpt-4o", "api_rate_limit": limit}])


def test_only_what_goes_to_the_vendor_takes_a_turn(create: Callable[..., Any], emulator: Emulator) -> None:
    asked = [OpenAIWrapper(config_list=[{"model": "gpt-4o", "api_rate_limit": 1e6}]) for _ in range(2)]
    for wrapper in asked:
        create(wrapper, messages=HELLO)

    assert [turns_were_taken(wrapper) for wrapper in asked] == [True, False]
    assert len(emulator.calls) == 1


def turns_were_taken(wrapper: OpenAIWrapper) -> bool:
    client = wrapper._entries[0].client
    assert isinstance(client, VendorClient)
    assert isinstance(client._client.transport, PacedTransport)
    return client._client.transport._pace._free_at > float("-inf")
