from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.providers import Provider
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.contract import Call
from tests.wire.bedrock import complaints

Json = dict[str, Any]
BEDROCK = Provider("bedrock", wire="bedrock_converse", base_url=None, auth="aws")
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
HELLO = [{"role": "user", "content": "hello"}]
PNG = "data:image/png;base64,iVBORw0KGgo="


def build(
    messages: Any = None, /, *, model: str = SONNET, drop: bool = False, strict: bool = True, **params: Any
) -> Json:
    call = Call(model, HELLO if messages is None else messages, params, drop_params=drop, strict=strict)
    before = copy.deepcopy((call.messages, call.params))
    built = WIRE.build(call, BEDROCK)
    assert (call.messages, call.params) == before
    return built.body


def tool(name: str = "f", **rest: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}, **rest}


def call_of(arguments: Any = '{"a":1}', call_id: str = "t1") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


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
    ("part", "block"),
    [
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "My  report_v2.pdf"},
            },
            {"document": {"format": "pdf", "name": "My report-v2", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,AA==", "filename": "a.md"}},
            {"document": {"format": "md", "name": "a", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "file", "file": {"file_id": "s3://bucket/a.csv", "filename": "a"}},
            {"document": {"format": "csv", "name": "a", "source": {"s3Location": {"uri": "s3://bucket/a.csv"}}}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "s3://bucket/a.jpg", "detail": "high"}},
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
        ),
        ({"type": "image_url", "image_url": PNG}, {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AA=="}},
            {"image": {"format": "gif", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "document", "title": "t", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}},
            {"document": {"format": "txt", "source": {"text": "x"}, "name": "t", "citations": {"enabled": True}}},
        ),
        (
            {
                "type": "document",
                "title": "t",
                "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
            },
            {"document": {"source": {"content": [{"text": "x"}]}, "name": "t"}},
        ),
        ({"guardContent": {"text": {"text": "x"}}}, {"guardContent": {"text": {"text": "x"}}}),
        ({"type": "refusal", "refusal": "no"}, {"text": "no"}),
    ],
)
def test_each_part_has_its_block(part: Json, block: Json) -> None:
    body = build([{"role": "user", "content": [part, {"type": "text", "text": "this"}]}])

    assert body["messages"][0]["content"] == [block, {"text": "this"}]
    assert complaints(body) == ""


def test_a_document_without_a_name_is_named_after_what_is_in_it() -> None:
    def name(data: str) -> str:
        part = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}"}}
        named: str = build([{"role": "user", "content": [part]}])["messages"][0]["content"][0]["document"]["name"]
        return named

    assert name("AA==") == name("AA==") != name("AB==")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
            r"messages\[0\].content\[0\].image_url.url is no data: or s3:// URL",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}]},
            "image/tiff",
        ),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}, "Bedrock keeps no files"),
        ({"role": "user", "content": [{"type": "video_url"}]}, "no block for"),
        ({"role": "user", "content": [{"no": 1}]}, "has no type"),
        ({"role": "user", "content": ""}, "takes no empty text"),
        ({"role": "function", "content": "x"}, r"messages\[0\].role"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        ({"role": "user", "content": [{"type": "text", "text": float("nan")}]}, r"content\[0\].text"),
        (
            {"role": "user", "content": "x", "cache_control": {"type": "forever"}},
            "cache_control.type must be 'ephemeral'",
        ),
        ({"role": "system", "content": "x"}, "no turn of the user"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]},
            r"tool_calls\[0\].function",
        ),
    ],
)
def test_a_message_that_no_block_can_carry_is_named(message: Json, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as raised:
        build([message])
    assert raised.value.provider == "bedrock"


def test_instructions_in_mid_conversation_stay_where_they_are() -> None:
    body = build(
        [
            *HELLO,
            {"role": "assistant", "content": "hi"},
            {"role": "system", "content": "hurry"},
            {"role": "user", "content": "go"},
        ]
    )

    assert "system" not in body
    assert body["messages"][2] == {"role": "user", "content": [{"text": "hurry"}, {"text": "go"}]}


def test_an_id_that_bedrock_would_refuse_is_replaced_alike_in_call_and_result() -> None:
    long = "call|" + "x" * 100
    body = build(
        [
            *HELLO,
            {"role": "assistant", "tool_calls": [call_of(call_id=long)]},
            {"role": "tool", "tool_call_id": long, "content": "1"},
        ],
        tools=[tool()],
    )

    used = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert used == body["messages"][2]["content"][0]["toolResult"]["toolUseId"]
    assert complaints(body) == ""
    assert 8 < len(used) <= 64


def test_reasoning_without_a_signature_goes_back_to_all_but_claude() -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "content": "a", "thinking_blocks": [{"type": "thinking", "thinking": "hm"}]},
        *HELLO,
    ]

    assert build(messages)["messages"][1]["content"] == [{"text": "a"}]
    assert build(messages, model=NOVA)["messages"][1]["content"][0] == {
        "reasoningContent": {"reasoningText": {"text": "hm"}}
    }


def test_an_answer_of_ours_goes_back_as_it_came() -> None:
    content = [
        {"toolUse": {"toolUseId": "s", "name": "n", "input": {}, "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "s", "content": [{"text": "r"}], "status": "success"}},
        {"citationsContent": {"citations": [{"title": "t"}], "content": [{"text": "a"}]}},
        {"text": ""},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}, "type": "tool_use"}},
    ]
    answer = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"}
    message = WIRE.parse(copy.deepcopy(answer)).choices[0].message

    sent = build([*HELLO, message, {"role": "tool", "tool_call_id": "t1", "content": "1"}], tools=[tool()])["messages"][
        1
    ]["content"]

    assert sent == [*content[:3], {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}}]


def test_an_answer_that_the_caller_changed_is_translated_anew() -> None:
    content = [{"text": "a"}, {"text": "b"}]
    answer = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"}
    message = WIRE.parse(answer).choices[0].message
    message["content"] = "c"

    assert build([*HELLO, message, *HELLO])["messages"][1]["content"] == [{"text": "c"}]


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
     {"modalities": ["text"]}, {"service_tier": "auto"}, {"response_format": {"type": "text"}}, {"stop": []}, {"seed": None}],
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
