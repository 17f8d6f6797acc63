from __future__ import annotations

import enum
from typing import Any

import pytest

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.anthropic import WIRE
from ostinato.wire.anthropic.settings import CARRIED, MAPPED, NEUTRAL, RENAMED, SILENT
from ostinato.wire.contract import Call
from ostinato.wire.openai_chat.request import PARAMS
from tests.wire.anthropic_calls import MARK, PROVIDER, SCHEMA, TOOL, build, built, validate


def test_a_plain_call_becomes_messages_with_the_default_limit_and_the_version() -> None:
    request = built()

    assert request.path == "/v1/messages"
    assert request.body == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hello"}],
    }
    assert request.headers == {"anthropic-version": "2023-06-01"}


def test_a_stream_is_asked_for_and_changes_nothing_else() -> None:
    request = built()

    assert WIRE.streaming(request).body == request.body | {"stream": True}
    assert "stream" not in request.body


def test_betas_become_the_header_that_counts() -> None:
    assert built(betas=["a", "b"]).headers["anthropic-beta"] == "a,b"
    assert "betas" not in built(betas="a").body


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
        ({"user": "me"}, {"metadata": {"user_id": "me"}}),
        ({"safety_identifier": "me"}, {"metadata": {"user_id": "me"}}),
        ({"metadata": {"user_id": "me"}}, {"metadata": {"user_id": "me"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        ({"parallel_tool_calls": False}, {}),
        ({"parallel_tool_calls": True}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"stream_options": {"include_usage": True}, "n": 1, "seed": None, "logprobs": False}, {}),
        ({"prompt_caching": "auto", "cache_control_injection_points": [{"location": "message"}]}, {}),
        ({"extra_body": {"max_tokens": 9, "new_one": 1}}, {"max_tokens": 9, "new_one": 1}),
    ],
)
def test_a_parameter_is_sent_as_the_vendor_says_it(given: dict[str, Any], sent: dict[str, Any]) -> None:
    body = build(**given)

    assert body == {"model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": body["messages"]} | sent


def test_tools_are_renamed_and_keep_what_is_the_vendors_own() -> None:
    body = build(
        tools=[
            {**TOOL, "defer_loading": True},
            {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"properties": {}}}},
            {"type": "function", "function": {"name": "g", "cache_control": MARK}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        parallel_tool_calls=False,
    )

    assert body["tools"] == [
        {"name": "weather", "description": "d", "input_schema": SCHEMA, "defer_loading": True},
        {"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}, "cache_control": MARK},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    validate(body)


def test_a_schema_becomes_the_output_format_beside_what_the_caller_configured() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}

    body = build(response_format=wanted, output_config={"effort": "low"})

    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    validate(body)


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("claude-sonnet-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 5120}),
        (
            "claude-opus-4-20250514",
            "high",
            {"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 8192},
        ),
        ("claude-sonnet-4-5", "none", {"max_tokens": 4096}),
        ("claude-opus-4-6", "medium", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}),
        ("claude-sonnet-5", "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-opus-4-7", "none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_an_effort_is_a_budget_or_an_effort_as_the_model_knows_it(
    model: str, effort: str, sent: dict[str, Any]
) -> None:
    body = build(model=model, reasoning_effort=effort)

    assert body == {"model": model, "max_tokens": 4096, "messages": body["messages"]} | sent
    validate(body)


def test_a_budget_stays_below_the_callers_own_limit() -> None:
    assert build(reasoning_effort="max", max_tokens=3000)["thinking"]["budget_tokens"] == 2999
    with pytest.raises(BadRequestError, match="max_tokens above 1024, not 100"):
        build(reasoning_effort="low", max_tokens=100)
    with pytest.raises(UnsupportedParamsError, match="reasoning_effort for claude-3-5-haiku"):
        build(model="claude-3-5-haiku-20241022", reasoning_effort="low")


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"seed": 1},
        {"presence_penalty": 1.0},
        {"frequency_penalty": 0.5},
        {"logprobs": True},
        {"logit_bias": {"1": 2}},
        {"metadata": {"team": "a"}},
        {"service_tier": "flex"},
        {"response_format": {"type": "json_object"}},
        {"prompt_cache_key": "k"},
        {"web_search_options": {}},
        {"tool_choice": {"type": "allowed_tools"}},
        {"temprature": 0.5},
    ],
)
def test_a_parameter_the_vendor_cannot_take_is_refused_by_name_or_dropped(params: dict[str, Any]) -> None:
    (name,) = params

    with pytest.raises(UnsupportedParamsError, match=f"Anthropic's messages take no {name}"):
        build(**params)

    assert build(drop=True, **params) == build()


def test_an_unknown_parameter_is_left_to_another_server_to_judge() -> None:
    call = Call("m", [{"role": "user", "content": "u"}], {"new_one": 1}, strict=False)

    assert WIRE.build(call, PROVIDER).body["new_one"] == 1


def test_every_parameter_of_openais_is_decided_upon() -> None:
    assert PARAMS - CARRIED - MAPPED - NEUTRAL.keys() - RENAMED.keys() - SILENT == set()


@pytest.mark.parametrize(
    ("messages", "params", "words"),
    [
        ([], {}, "empty list"),
        ("hello", {}, "a str"),
        ([{"role": "judge", "content": "x"}], {}, r"messages\[0\]\.role .*'judge'"),
        ([{"role": "user", "content": 7}], {}, r"messages\[0\]\.content"),
        ([{"role": "user", "content": "\ud800"}], {}, "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "text": float("nan")}]}], {}, "nan"),
        ([{"role": "tool", "content": "x"}], {}, r"messages\[0\]\.tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], {}, r"tool_calls\[0\]\.id"),
        ([{"role": "user", "content": "x"}], {"max_tokens": 1, "max_completion_tokens": 2}, "one setting"),
        ([{"role": "user", "content": "x"}], {"temperature": float("inf")}, "temperature is inf"),
        ([{"role": "user", "content": "x"}], {"tools": {"a": 1}}, "tools must be a list"),
        ([{"role": "user", "content": "x"}], {"extra_body": {"stream": True}}, "stream"),
        ([{"role": "user", "content": "x"}], {"reasoning_effort": "lots"}, "reasoning_effort"),
    ],
)
def test_what_no_request_can_carry_is_an_error_that_says_where(messages: Any, params: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        WIRE.build(Call("claude-sonnet-4-5", messages, params), PROVIDER)


def test_values_of_the_callers_own_types_are_plain_json() -> None:
    class Role(enum.StrEnum):
        USER = "user"

    assert build({"role": Role.USER, "content": ("a",)})["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}
    ]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, None),
        ({"tools": [TOOL]}, None),
        ({"tools": [{"type": "custom", "name": "x", "input_schema": SCHEMA}]}, None),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, None),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"tools": [{"type": "computer_toolset_20260801"}]}, "computer_toolset_20260801"),
        ({"mcp_servers": [{"type": "url", "url": "https://m.example", "name": "m"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
    ],
)
def test_what_depends_on_more_than_the_request_goes_past_the_cache(params: dict[str, Any], reason: str | None) -> None:
    said = WIRE.bypass(build(**params))

    assert said is None if reason is None else reason in str(said)
