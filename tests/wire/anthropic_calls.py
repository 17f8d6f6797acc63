"""Calls as a test writes them, and the official client's types to hold what they become against."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from ostinato.providers import Provider
from ostinato.wire.anthropic import WIRE
from ostinato.wire.contract import Built, Call

PROVIDER = Provider("anthropic", wire="anthropic", base_url="https://api.anthropic.com", auth="x-api-key")
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PDF = base64.b64encode(b"%PDF-1.4 ...").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def build(*messages: Any, model: str = "claude-sonnet-4-5", drop: bool = False, **params: Any) -> dict[str, Any]:
    return built(*messages, model=model, drop=drop, **params).body


def built(*messages: Any, model: str = "claude-sonnet-4-5", drop: bool = False, **params: Any) -> Built:
    spoken = list(messages) or [{"role": "user", "content": "hello"}]
    return WIRE.build(Call(model, spoken, params, drop_params=drop), PROVIDER)


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def blocks(*parts: Any) -> Any:
    """Return the blocks that a user's parts become."""
    return build(user(*parts))["messages"][0]["content"]


def validate(body: dict[str, Any]) -> None:
    """Check a body against the types of the official client; unknown members of the top level are not its own."""
    adapter, known = _official()
    _consume(adapter.validate_python(body))

    assert body.keys() <= known


@cache
def _official() -> tuple[Any, set[str]]:
    params = pytest.importorskip("anthropic.types").message_create_params
    pydantic = pytest.importorskip("pydantic")
    # The latest models take no sampling parameters, and the client no longer names them.
    known = {*params.MessageCreateParamsBase.__annotations__, "temperature", "top_k", "top_p"}
    return pydantic.TypeAdapter(params.MessageCreateParamsNonStreaming), known


def _consume(value: Any) -> None:
    """Read lazily checked iterables to their end, which is when they are checked."""
    if isinstance(value, Mapping):
        for item in value.values():
            _consume(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            _consume(item)
