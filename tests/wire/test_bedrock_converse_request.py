from __future__ import annotations

import json
from typing import Any

import pytest

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.contract import Call
from tests.wire.bedrock import BEDROCK, HELLO, NOVA, PNG, SONNET, build, call_of, complaints, tool

Json = dict[str, Any]


def test_the_model_stands_in_the_path_percent_encoded() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0"
    built = WIRE.build(Call(arn, HELLO), BEDROCK)

    assert WIRE.build(Call("amazon.nova-micro-v1:0", HELLO), BEDROCK).path == "/model/amazon.nova-micro-v1%3A0/converse"
    assert built.path == (
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile"
        "%2Fus.anthropic.claude-3-7-sonnet-20250219-v1%3A0/converse"
    )
    assert WIRE.streaming(built).path == built.path + "-stream"
    assert WIRE.streaming(built).body == built.body


def test_a_conversation_with_everything_in_it() -> None:
    body = build(
        [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
            {
                "role": "user",
                "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}}],
            },
            {
                "role": "assistant",
                "content": "ok",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "YWJj"},
                ],
                "reasoning_content": "hm",
                "tool_calls": [call_of(), call_of("", "t2")],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "one"},
            {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}], "is_error": True},
            {"role": "user", "content": "and?"},
        ],
        tools=[tool()],
        tool_choice="required",
        max_completion_tokens=9,
        temperature=0.5,
        top_p=1,
        stop="x",
        user="me",
        metadata={"a": "b"},
        service_tier="flex",
        stream_options={"include_usage": True},
    )

    assert complaints(body) == ""
    assert body["system"] == [{"text": "be brief"}, {"text": "and kind"}]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"][1] == {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "YWJj"}},
        {"text": "ok"},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "t2", "name": "f", "input": {}}},
    ]
    assert body["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}},
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}], "status": "error"}},
        {"text": "and?"},
    ]
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "topP": 1, "stopSequences": ["x"]}
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}],
        "toolChoice": {"any": {}},
    }
    assert body["requestMetadata"] == {"user": "me", "a": "b"}
    assert body["serviceTier"] == {"type": "flex"}
    assert "additionalModelRequestFields" not in body


@pytest.mark.parametrize(
    ("model", "effort", "fields"),
    [
        (
            "anthropic.claude-sonnet-4-6",
            "high",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ("anthropic.claude-sonnet-5", "none", {"thinking": {"type": "disabled"}}),
        (SONNET, "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (SONNET, "none", None),
        ("openai.gpt-oss-120b-1:0", "medium", {"reasoning_effort": "medium"}),
        ("qwen.qwen3-32b-v1:0", "high", {"reasoning_config": "high"}),
        (NOVA, "low", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
    ],
)
def test_effort_is_told_to_each_model_in_its_words(model: str, effort: str, fields: Json | None) -> None:
    assert build(model=model, reasoning_effort=effort).get("additionalModelRequestFields") == fields


def test_effort_for_a_model_of_an_unknown_kind_is_converses_own() -> None:
    body = build(model="zai.glm-9", reasoning_effort="low")

    assert body["outputConfig"] == {"effort": "low"}
    assert complaints(body) == ""


def test_a_schema_for_the_answer_is_a_string_of_json() -> None:
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}
    body = build(
        response_format={"type": "json_schema", "json_schema": {"name": "r", "schema": schema, "strict": True}}
    )

    assert complaints(body) == ""
    described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert list(json.loads(described["schema"])["properties"]) == ["b", "a"]
    assert described["name"] == "r"


def test_the_vendors_own_parameters_pass() -> None:
    body = build(
        thinking={"type": "enabled", "budget_tokens": 2000},
        top_k=5,
        system="be brief",
        guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"},
        additionalModelRequestFields={"anthropic_beta": ["x"]},
        inferenceConfig={"maxTokens": 3},
        performanceConfig={"latency": "optimized"},
        requestMetadata={"team": "a"},
        toolConfig={"tools": [{"systemTool": {"name": "nova_grounding"}}], "toolChoice": {"auto": {}}},
    )

    assert complaints(body) == ""
    assert body["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "top_k": 5,
        "anthropic_beta": ["x"],
    }
    assert body["system"] == [{"text": "be brief"}]
    assert build(model=NOVA, top_k=5)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}


def test_extra_body_has_the_last_word() -> None:
    assert build(max_tokens=3, extra_body={"inferenceConfig": {"maxTokens": 4}})["inferenceConfig"] == {"maxTokens": 4}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2), ("seed", 1), ("frequency_penalty", 0.5), ("presence_penalty", 1), ("logit_bias", {"1": 2}),
        ("logprobs", True), ("top_logprobs", 3), ("parallel_tool_calls", False), ("store", True),
        ("modalities", ["text", "audio"]), ("audio", {"voice": "x"}), ("prediction", {"type": "content"}),
        ("verbosity", "low"), ("web_search_options", {"a": 1}), ("prompt_cache_key", "k"), ("functions", [{}]),
        ("service_tier", "scale"), ("response_format", {"type": "json_object"}), ("misspelt", 1),
        ("tools", [{"type": "custom", "custom": {"name": "c"}}]), ("tool_choice", {"type": "allowed_tools"}),
    ],
)  # fmt: skip
def test_what_converse_cannot_take_is_refused_by_name_or_left_out(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedParamsError, match=name) as raised:
        build(**{name: value})
    assert raised.value.provider == "bedrock"
    assert build(drop=True, **{name: value}) == build()


@pytest.mark.parametrize(
    "params",
    [{"n": 1}, {"frequency_penalty": 0}, {"logprobs": False}, {"parallel_tool_calls": True}, {"store": False},
     {"modalities": ["text"]}, {"service_tier": "auto"}, {"response_format": {"type": "text"}},
     {"stop": []}, {"seed": None}],
)  # fmt: skip
def test_what_asks_for_nothing_is_no_reason_to_refuse(params: Json) -> None:
    assert build(**params) == build()


def test_an_unknown_parameter_goes_to_the_model_where_only_another_server_can_know_it() -> None:
    assert build(strict=False, made_up=1)["additionalModelRequestFields"] == {"made_up": 1}


def test_no_tools_are_offered_where_none_may_be_chosen() -> None:
    history = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call_of()]},
        {"role": "tool", "tool_call_id": "t1", "content": "1"},
    ]

    assert "toolConfig" not in build(tools=[tool()], tool_choice="none")
    with pytest.raises(UnsupportedParamsError, match="tool_choice"):
        build(history, tools=[tool()], tool_choice="none")
    assert build(history, tools=[tool()], tool_choice="none", drop=True)["toolConfig"]["tools"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"tools": "f"}, "tools must be a list"),
        ({"tools": [{"type": "function", "function": {}}]}, r"tools\[0\].function.name"),
        ({"tools": [tool(cache_control={"type": "x"})]}, r"tools\[0\].cache_control.type"),
        ({"metadata": "a"}, "metadata must be a mapping"),
        ({"guardrailConfig": 3}, "guardrailConfig must be an object"),
        ({"extra_body": 3}, "extra_body must be a mapping"),
        ({"temperature": float("inf")}, "temperature"),
        ({"system": [{"type": "video"}]}, r"system\[0\].type"),
        ({"cache_control": {"type": "x"}}, "cache_control"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_named(params: Json, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        build(**params)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("auto", {"auto": {}}), ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}})],
)
def test_a_choice_of_tools_is_said_in_converses_words(choice: Any, expected: Json) -> None:
    assert build(tools=[tool()], tool_choice=choice)["toolConfig"]["toolChoice"] == expected


def test_two_settings_of_one_thing_are_an_error() -> None:
    with pytest.raises(BadRequestError, match="one setting"):
        build(max_tokens=1, max_completion_tokens=1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
            "the vendor runs the tool 'nova_grounding'",
        ),
        ({"toolConfig": {"tools": [{"toolSpec": {"name": "f"}}]}}, None),
        (
            {"additionalModelRequestFields": {"tools": [{"type": "web_search_20260101"}]}},
            "the vendor runs the tool 'web_search_20260101'",
        ),
        ({}, None),
    ],
)
def test_a_tool_that_the_vendor_runs_bypasses_the_cache(body: Json, reason: str | None) -> None:
    assert WIRE.bypass(body) == reason
