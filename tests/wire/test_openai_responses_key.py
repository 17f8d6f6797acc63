"""What of a Responses request is a key made of, and what keeps it out of the cache."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.wire.openai_responses import WIRE
from tests.wire.openai_responses_calls import HELLO, SCHEMA

MARK = {"mode": "explicit", "ttl": "12h"}

FULL: dict[str, Any] = {
    "model": "gpt-5.6",
    "instructions": "be brief",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "t"}]},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "t"}]},
    ],
    "tools": [{"type": "function", "name": "metadata", "parameters": SCHEMA, "strict": True}],
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": "low"},
    "store": True,
    "previous_response_id": "resp_0",
    "include": ["reasoning.encrypted_content"],
    "truncation": "auto",
    "temperature": 0.5,
}

UNCOUNTED: dict[str, Any] = {
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "user": "u",
    "metadata": {"a": "b"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit"},
    "background": True,
}


def test_transport_accounting_and_marks_are_no_part_of_a_key() -> None:
    body = copy.deepcopy({**FULL, **UNCOUNTED})
    body["input"][0]["content"][0]["prompt_cache_breakpoint"] = MARK
    body["input"][1]["output"][0]["prompt_cache_breakpoint"] = MARK
    before = copy.deepcopy(body)

    assert WIRE.keyed_body(body) == WIRE.keyed_body(FULL)
    assert body == before


@pytest.mark.parametrize("name", sorted(FULL))
def test_everything_else_counts(name: str) -> None:
    without = {key: value for key, value in FULL.items() if key != name}

    assert WIRE.keyed_body(without) != WIRE.keyed_body(FULL)
    assert WIRE.keyed_body(FULL)[name] == FULL[name]


def test_a_breakpoint_elsewhere_counts() -> None:
    schema = {"type": "object", "properties": {"prompt_cache_breakpoint": {"type": "string"}}}
    body = {**FULL, "tools": [{"type": "function", "name": "f", "parameters": schema}]}

    assert WIRE.keyed_body(body)["tools"][0]["parameters"] == schema


def test_a_text_is_the_message_that_it_stands_for() -> None:
    bodies: list[dict[str, Any]] = [
        {"model": "m", "input": given} for given in ("hello", [HELLO], [{"type": "message", **HELLO}])
    ]

    assert len({str(WIRE.keyed_body(body)) for body in bodies}) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": kind}]}
        for kind in ("web_search", "web_search_preview", "file_search", "code_interpreter", "mcp", "image_generation")
    ]
    + [
        {"tools": [{"type": "computer_use_preview"}]},
        {"tools": [{"type": "computer"}]},
        {"tools": [{"type": "shell"}]},
        {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
        {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]},
        {"tools": [{"type": "something_new"}]},
        {"input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "mcp"}]}]},
        {"background": True},
        {"conversation": "conv_1"},
        {"model": "gpt-4o-search-preview"},
    ],
    ids=str,
)
def test_what_the_vendor_looks_up_or_runs_is_not_cached_unasked(body: Any) -> None:
    assert WIRE.bypass({"model": "gpt-5.1", "input": [HELLO], **body}) is not None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": "hello"},
        {"previous_response_id": "resp_0"},
        {"store": True},
        {"background": False},
        {"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}, {"type": "tool_search"}]},
        {"tools": [{"type": "shell", "environment": {"type": "local"}}]},
        {"tools": [{"type": "namespace", "tools": [{"type": "function", "name": "f"}]}]},
    ],
    ids=str,
)
def test_what_depends_on_the_request_alone_is_cached(body: Any) -> None:
    assert WIRE.bypass({"model": "gpt-5.1", "input": [HELLO], **body}) is None
