from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.errors import BadRequestError
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.contract import Call
from tests.wire.bedrock import BEDROCK, HELLO, NOVA, PNG, SONNET, build, call_of, complaints, tool

Json = dict[str, Any]


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
        ({"role": "user", "content": 3}, r"messages\[0\].content must be a str"),
        ({"role": "user", "content": [3]}, r"content\[0\] must be a mapping"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\].text must be a str"),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "AA=="}}]},
            "file.file_data must be a data: URL",
        ),
        ({"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}, "base64 alone"),
        ({"role": "assistant", "tool_calls": "f"}, "tool_calls must be a list"),
        ({"role": "assistant", "thinking_blocks": ["x"]}, "thinking_blocks must hold mappings"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "write tool_calls"),
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


@pytest.mark.parametrize("messages", [[], None, "hello", [None]])
def test_what_is_no_conversation_is_refused(messages: Any) -> None:
    with pytest.raises(BadRequestError, match="messages"):
        WIRE.build(Call(SONNET, messages), BEDROCK)


def test_a_refusal_and_arguments_that_are_no_json_go_back_as_they_were_said() -> None:
    messages = [*HELLO, {"role": "assistant", "content": None, "refusal": "no", "tool_calls": [call_of('{"a')]}, *HELLO]

    assert build(messages, tools=[tool()])["messages"][1]["content"] == [
        {"text": "no"},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": '{"a'}},
    ]
