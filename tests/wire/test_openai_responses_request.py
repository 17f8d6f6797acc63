"""From a caller's words to a Responses request."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.errors import BadRequestError
from ostinato.records import Message
from ostinato.wire.contract import Call
from ostinato.wire.openai_responses import WIRE
from tests.wire.openai_responses_calls import (
    CALL,
    HELLO,
    PIXEL,
    PROVIDER,
    TOOL,
    answer,
    build,
    called,
    items,
    said,
    thought,
    validate,
)

RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def test_the_request_goes_to_the_responses_endpoint_and_asks_for_a_stream_when_told() -> None:
    built = WIRE.build(Call("gpt-5.1", [HELLO]), PROVIDER)

    assert built.path == "/responses"
    assert built.body == {"model": "gpt-5.1", "input": [{"role": "user", "content": "hello"}]}
    assert WIRE.streaming(built).body == {**built.body, "stream": True}


def test_a_plain_system_message_at_the_start_is_the_instructions() -> None:
    body = build({"role": "system", "content": "be brief ✓"}, HELLO, {"role": "system", "content": "briefer"})

    assert body["instructions"] == "be brief ✓"
    assert body["input"] == [HELLO, {"role": "system", "content": "briefer"}]
    validate(body)


@pytest.mark.parametrize(
    "first",
    [
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
    ],
)
def test_other_instructions_stay_where_they_stand(first: Any) -> None:
    body = build(first, HELLO)

    assert "instructions" not in body
    assert body["input"][0]["role"] == first["role"]
    validate(body)


def test_instructions_of_the_callers_own_leave_the_system_message_in_the_input() -> None:
    body = build({"role": "system", "content": "a"}, HELLO, instructions="b")

    assert (body["instructions"], body["input"][0]) == ("b", {"role": "system", "content": "a"})


@pytest.mark.parametrize(
    ("part", "want"),
    [
        ({"type": "text", "text": "t"}, {"type": "input_text", "text": "t"}),
        (
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png", "detail": "low"}},
            {"type": "input_image", "image_url": "https://x.invalid/a.png", "detail": "low"},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}},
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
        ),
        ({"type": "file", "file": {"file_id": "file-1"}}, {"type": "input_file", "file_id": "file-1"}),
        (
            {"type": "file", "file": {"file_id": "https://x.invalid/a.pdf"}},
            {"type": "input_file", "file_url": "https://x.invalid/a.pdf"},
        ),
        (
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
            {"type": "input_image", "file_id": "file-1", "detail": "high"},
        ),
        (
            {"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
        ),
        (
            {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
            {"type": "input_text", "text": "t"},
        ),
    ],
)
def test_a_part_becomes_an_input_part(part: Any, want: Any) -> None:
    body = build({"role": "user", "content": [part]})

    assert body["input"] == [{"role": "user", "content": [want]}]
    validate(body)


def test_sound_goes_as_the_part_it_is() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}

    assert items({"role": "user", "content": [part]}) == [{"role": "user", "content": [part]}]


def test_calls_and_their_results_are_items() -> None:
    custom = {"id": "call_2", "type": "custom", "custom": {"name": "math", "input": "1+1"}}
    body = build(
        HELLO,
        {"role": "assistant", "content": "let me see", "tool_calls": [CALL, custom]},
        RESULT,
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "2"}]},
    )

    assert body["input"][1:] == [
        {"role": "assistant", "content": "let me see"},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Bern"}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "math", "input": "1+1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "2"}]},
    ]
    validate(body)


def test_a_function_call_of_the_old_kind_is_answered_by_its_function_message() -> None:
    made = items(
        HELLO,
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "sunny"},
    )

    assert made[1:] == [
        {"type": "function_call", "call_id": "function_call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "function_call_1", "output": "sunny"},
    ]


def test_what_the_assistant_said_in_parts_is_its_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "?"}, {"type": "refusal", "refusal": "b"}]

    assert items(HELLO, {"role": "assistant", "content": parts})[1] == {"role": "assistant", "content": "ab"}
    assert items(HELLO, {"role": "assistant", "content": None, "refusal": "no"})[1]["content"] == "no"


def test_an_answer_goes_back_as_the_items_that_came() -> None:
    output = [thought(), said("hi", logprobs=[]), called()]
    message = WIRE.parse(answer(*copy.deepcopy(output))).choices[0].message
    body = build(HELLO, message, RESULT, tools=[TOOL])

    assert isinstance(message, Message)
    assert body["input"][1:4] == output
    validate(body)


def test_an_answer_that_the_caller_changed_goes_back_changed_with_its_reasoning() -> None:
    message = WIRE.parse(answer(thought(), said("hi"))).choices[0].message
    message["content"] = "hello there"

    assert items(HELLO, message)[1:] == [thought(), {"role": "assistant", "content": "hello there"}]


def test_reasoning_items_that_the_caller_kept_go_back_as_they_are() -> None:
    kept = {"role": "assistant", "content": None, "reasoning_items": [thought()], "tool_calls": [CALL]}

    assert [item["type"] for item in items(HELLO, kept)[1:]] == ["reasoning", "function_call"]
    assert items(HELLO, kept)[1] == thought()


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([], "messages must be a list"),
        ([{"role": "user"}], r"messages\[0\]\.content"),
        ([{"role": "user", "content": [{"text": "x"}]}], r"messages\[0\]\.content\[0\]\.type"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], r"messages\[0\]\.content\[0\]\.image_url"),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], r"messages\[0\]\.content\[0\]\.file"),
        ([{"role": "user", "content": [{"type": "video_url"}]}], "video"),
        ([{"role": "oracle", "content": "x"}], r"messages\[0\]\.role"),
        ([HELLO, {"role": "tool", "content": "x"}], r"messages\[1\]\.tool_call_id"),
        ([HELLO, {"role": "tool", "tool_call_id": "a", "content": 4}], r"messages\[1\]\.content"),
        (
            [HELLO, {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "a"}}]}],
            r"messages\[1\]\.tool_calls\[0\]\.id",
        ),
        (
            [HELLO, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "a", "arguments": {}}}]}],
            r"messages\[1\]\.tool_calls\[0\]\.function\.arguments",
        ),
        (
            [HELLO, {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            r"messages\[1\]\.content\[0\]",
        ),
        ([{"role": "user", "content": "\ud800"}], r"messages\[0\]\.content"),
        ([{"role": "system", "content": "\ud800"}], r"messages\[0\]\.content"),
        ([{"role": "user", "content": b"x"}], r"messages\[0\]"),
    ],
)
def test_a_message_that_cannot_be_sent_is_named(messages: Any, where: str) -> None:
    with pytest.raises(BadRequestError, match=where):
        WIRE.build(Call("gpt-5.1", messages), PROVIDER)


def test_nothing_of_the_callers_is_changed() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "a", "tool_calls": [CALL], "output_items": [said("a"), called()]},
        RESULT,
    ]
    params: dict[str, Any] = {"tools": [TOOL], "response_format": {"type": "json_object"}, "extra_body": {"x": 1}}
    before = copy.deepcopy((messages, params))
    build(*messages, **params)

    assert (messages, params) == before
