"""The caller's parameters as the Responses API's: carried, renamed, mapped or refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import BaseModel

from ostinato.errors import BadRequestError, UnsupportedParamsError
from tests.wire.openai_responses_calls import OTHER, SCHEMA, TOOL, build, validate


@pytest.mark.parametrize(
    ("params", "want"),
    [
        ({"max_tokens": 50}, {"max_output_tokens": 50}),
        ({"max_completion_tokens": 50}, {"max_output_tokens": 50}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        (
            {"reasoning_effort": {"effort": "low", "summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
        ),
        (
            {"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
        ),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        ),
        ({"logprobs": True, "top_logprobs": 2}, {"include": ["message.output_text.logprobs"], "top_logprobs": 2}),
        ({"stream_options": {"include_usage": True}}, {}),
        (
            {"stream_options": {"include_usage": True, "include_obfuscation": False}},
            {"stream_options": {"include_obfuscation": False}},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"tool_choice": {"type": "function", "name": "weather"}},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "a"}}]},
                }
            },
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]}},
        ),
        ({"n": 1, "presence_penalty": 0, "stop": [], "logprobs": False, "seed": None}, {}),
        ({"user": "u", "metadata": {"a": "b"}, "store": False}, {"user": "u", "metadata": {"a": "b"}, "store": False}),
        ({"include": ["reasoning.encrypted_content"]}, {"include": ["reasoning.encrypted_content"]}),
        ({"previous_response_id": "resp_0"}, {"previous_response_id": "resp_0"}),
        (
            {
                "web_search_options": {
                    "search_context_size": "low",
                    "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
                }
            },
            {
                "tools": [
                    {
                        "type": "web_search",
                        "search_context_size": "low",
                        "user_location": {"type": "approximate", "city": "Bern"},
                    }
                ]
            },
        ),
        ({"cache_control": {"type": "ephemeral"}, "prompt_caching": "auto"}, {}),
        ({"extra_body": {"new": 1}}, {"new": 1}),
    ],
    ids=",".join,
)
def test_a_parameter_is_carried_renamed_or_mapped(params: Any, want: Any) -> None:
    before = copy.deepcopy(params)
    body = build(**params)

    assert {name: value for name, value in body.items() if name not in {"model", "input"}} == want
    assert params == before
    if "extra_body" not in params:
        validate(body)


@pytest.mark.parametrize(
    ("tool", "want"),
    [
        (TOOL, {"type": "function", "strict": False, "name": "weather", "description": "d", "parameters": SCHEMA}),
        (
            {"type": "function", "function": {"name": "now", "strict": True}},
            {"type": "function", "name": "now", "strict": True, "parameters": {"type": "object", "properties": {}}},
        ),
        (
            {**TOOL, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "strict": False, "name": "weather", "description": "d", "parameters": SCHEMA},
        ),
        (
            {
                "type": "custom",
                "custom": {
                    "name": "math",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: NUMBER"}},
                },
            },
            {
                "type": "custom",
                "name": "math",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: NUMBER"},
            },
        ),
        ({"type": "web_search"}, {"type": "web_search"}),
    ],
)
def test_a_tool_becomes_flat(tool: Any, want: Any) -> None:
    before = copy.deepcopy(tool)
    body = build(tools=[tool])

    assert body["tools"] == [want]
    assert tool == before
    validate(body)


def test_a_pydantic_class_is_a_strict_format() -> None:
    class Place(BaseModel):
        city: str

    wanted = build(response_format=Place)["text"]["format"]

    assert (wanted["type"], wanted["name"], wanted["strict"]) == ("json_schema", "Place", True)
    assert wanted["schema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("seed", 7),
        ("stop", ["x"]),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"1": 2}),
        ("audio", {"voice": "x"}),
        ("modalities", ["audio"]),
        ("prediction", {"type": "content", "content": "x"}),
        ("top_k", 4),
    ],
)
def test_a_parameter_that_the_api_has_not_is_refused_by_name_or_dropped(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParamsError, match=rf"Responses API.*{name}") as caught:
        build(**{name: value})

    assert caught.value.provider == "openai"
    assert name not in build(drop=True, **{name: value})


def test_another_server_may_know_what_openai_does_not() -> None:
    assert build(provider=OTHER, top_k=4)["top_k"] == 4
    with pytest.raises(UnsupportedParamsError, match="seed"):
        build(provider=OTHER, seed=4)


def test_a_misspelt_parameter_is_told_its_neighbour() -> None:
    with pytest.raises(UnsupportedParamsError, match="Did you mean 'temperature'"):
        build(temprature=1)


@pytest.mark.parametrize(
    "params",
    [
        {"max_tokens": 1, "max_output_tokens": 2},
        {"max_tokens": 1, "max_completion_tokens": 2},
        {"tools": "x"},
        {"tools": ["x"]},
        {"temperature": float("nan")},
        {"text": "x"},
        {"reasoning_effort": 4},
        {"extra_body": 4},
        {"extra_body": {"stream": True}},
    ],
    ids=str,
)
def test_a_parameter_that_is_not_what_it_must_be_is_refused(params: Any) -> None:
    with pytest.raises(BadRequestError):
        build(**params)
