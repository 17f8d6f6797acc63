from __future__ import annotations

import sys

import pytest

from ostinato.errors import ConfigurationError
from ostinato.wire import WIRES, find_wire
from ostinato.wire.contract import Wire


@pytest.mark.parametrize("name", WIRES)
def test_a_wire_is_found_by_its_name_and_is_the_same_each_time(name: str) -> None:
    wire: Wire = find_wire(name)

    assert wire.name == name
    assert find_wire(name) is wire
    assert f"ostinato.wire.{name}" in sys.modules


def test_an_unknown_wire_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'os'.*openai_chat"):
        find_wire("os")
