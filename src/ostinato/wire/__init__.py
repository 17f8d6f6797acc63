"""The dialects that vendors speak, by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.wire.contract import Wire

WIRES = ("openai_chat", "openai_responses", "anthropic", "bedrock_invoke", "bedrock_converse")
"""The names of all wires; each is a module of this package with an instance `WIRE`."""


@cache
def find_wire(name: str) -> Wire:
    """Return the wire called `name`, imported when it is first asked for.

    Raises: ConfigurationError: there is no such wire; the message lists those there are.
    """
    if name not in WIRES:
        raise ConfigurationError(f"no wire {name!r}; the wires are: {', '.join(WIRES)}")
    return cast("Wire", import_module(f"ostinato.wire.{name}").WIRE)
