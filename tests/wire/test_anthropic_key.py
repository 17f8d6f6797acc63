"""The key's vectors, as far as they ask for an Anthropic model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato.caching.key import Scope, request_key, request_parts
from ostinato.providers import Provider
from ostinato.wire.anthropic import WIRE
from ostinato.wire.contract import Call

_BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "key_vectors.json"
PROVIDER = Provider("anthropic", wire="anthropic", base_url="https://api.anthropic.com", auth="x-api-key")


def vectors() -> list[dict[str, Any]]:
    path = Path(os.environ.get("OSTINATO_KEY_VECTORS", _BESIDE_THE_CHECKOUT))
    if not path.is_file():
        pytest.skip(f"the vectors of the key are not at {path}; set OSTINATO_KEY_VECTORS to where they lie")
    found: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())
    return [vector for vector in found if str(vector["a"].get("model", "")).startswith("anthropic/")]


def key(call: dict[str, Any]) -> bytes:
    words = dict(call)
    model = words.pop("model").removeprefix("anthropic/")
    headers = words.pop("extra_headers", {})
    built = WIRE.build(Call(model, words.pop("messages"), words), PROVIDER)
    parts = request_parts(built.path, {**built.headers, **headers}, WIRE.keyed_body(built.body))
    return request_key(Scope(), "chat", parts)


def test_every_vector_for_this_vendor_holds() -> None:
    held = vectors()
    wrong = [vector["name"] for vector in held if (key(vector["a"]) == key(vector["b"])) != vector["same"]]

    assert wrong == []
    assert len(held) >= 7


USER = {"role": "user", "content": "hello"}
FULL: dict[str, Any] = {
    "model": "anthropic/claude-sonnet-4-5",
    "messages": [{"role": "system", "content": "S"}, USER],
    "max_tokens": 64,
    "temperature": 0.5,
    "stop": ["x"],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}
    ],
    "tool_choice": "auto",
    "thinking": {"type": "adaptive"},
    "user": "me",
    "service_tier": "auto",
    "cache_control": {"type": "ephemeral"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"model": "anthropic/claude-opus-4-5"},
        {"messages": [{"role": "system", "content": "T"}, USER]},
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hello"}]},
        {"messages": [{"role": "system", "content": "S"}, USER, {"role": "assistant", "content": "a"}]},
        {"max_tokens": 65},
        {"temperature": 0.6},
        {"stop": ["y"]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "g", "parameters": {"type": "object", "properties": {"a": {}}}},
                }
            ]
        },
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {"b": {}}}},
                }
            ]
        },
        {"tool_choice": "required"},
        {"thinking": {"type": "disabled"}},
        {"parallel_tool_calls": False},
        {"betas": ["context-1m"]},
        {"extra_body": {"anything": 1}},
        {"speed": "fast"},
    ],
)
def test_a_change_of_what_the_model_reads_is_another_key(change: dict[str, Any]) -> None:
    assert key(FULL | change) != key(FULL)


@pytest.mark.parametrize(
    "change",
    [
        {"user": "you"},
        {"service_tier": "default"},
        {"cache_control": None},
        {"stop": "x"},
        {"max_tokens": 64.0},
        {"diagnostics": {"previous_message_id": None}},
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "S"}]},
                USER | {"cache_control": {"type": "ephemeral"}},
            ]
        },
        {"prompt_caching": "auto"},
    ],
)
def test_a_change_of_what_the_model_does_not_read_is_the_same_key(change: dict[str, Any]) -> None:
    assert key({**FULL, **change}) == key(FULL)
