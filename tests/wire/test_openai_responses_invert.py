"""Requests of the Responses API, read as calls."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import BadRequestError
from ostinato.wire.contract import Call
from ostinato.wire.openai_chat import WIRE as CHAT
from ostinato.wire.openai_responses import WIRE
from ostinato.wire.openai_responses.invert import read_request
from tests.wire.openai_responses_calls import (
    CALL,
    HELLO,
    PIXEL,
    PROVIDER,
    SCHEMA,
    TOOL,
    build,
    called,
    said,
    thought,
    validate,
)

Json = dict[str, Any]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
text_parts = st.builds(lambda text: {"type": "text", "text": text}, words)
images = st.sampled_from([{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}])
files = st.sampled_from(
    [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_id": "https://x.invalid/a.pdf"}},
    ]
)
user_turns = st.builds(
    lambda role, content: [{"role": role, "content": content}],
    st.sampled_from(["user", "developer"]),
    words | st.lists(text_parts | images | files, min_size=1, max_size=3),
)
answers = st.builds(
    lambda text: [{"role": "assistant", "content": text}], st.text(st.characters(codec="ascii"), min_size=1, max_size=5)
)
rounds = st.builds(
    lambda text, arguments, result: [
        {"role": "assistant", "content": text or None, "tool_calls": [{**CALL, "function": arguments}]},
        {"role": "tool", "tool_call_id": "call_1", "content": result},
    ],
    words,
    st.builds(lambda given_: {"name": "weather", "arguments": given_}, words),
    words | st.lists(text_parts, min_size=1, max_size=2),
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "max_tokens": st.integers(16, 99),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "verbosity": st.sampled_from(["low"]),
        "response_format": st.sampled_from(
            [
                {"type": "json_object"},
                {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
            ]
        ),
        "tools": st.just([{**TOOL, "function": {**TOOL["function"], "strict": False}}]),  # type: ignore[dict-item]
        "tool_choice": st.sampled_from(["auto", {"type": "function", "function": {"name": "weather"}}]),
        "parallel_tool_calls": st.booleans(),
        "metadata": st.just({"a": "b"}),
        "user": st.just("u"),
        "store": st.booleans(),
        "include": st.just(["reasoning.encrypted_content"]),
    },
)


@given(st.lists(user_turns | answers | rounds, min_size=1, max_size=5), st.none() | words, settings)
def test_a_call_that_is_built_reads_as_the_call_it_was(
    turns: list[list[Json]], system: str | None, params: Json
) -> None:
    # Two answers with nothing between them read as one.
    messages = [message for turn in turns for message in [*([HELLO] if turn[0]["role"] == "assistant" else ()), *turn]]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    call = Call("gpt-5.1", messages, params)
    body = WIRE.build(call, PROVIDER).body
    read = read_request(copy.deepcopy(body))

    assert _speech(read.messages) == _speech(messages)
    assert read.params == params
    assert WIRE.build(read, PROVIDER).body == body


def _speech(messages: list[Json]) -> list[Json]:
    """Return messages without nulls: a missing content is none, and so is an empty one beside calls."""
    return [
        {
            name: value
            for name, value in message.items()
            if value is not None and not (name == "content" and value == "" and message.get("tool_calls"))
        }
        for message in messages
    ]


def test_a_text_is_a_message_and_instructions_are_a_system_message() -> None:
    call = read_request({"model": "m", "input": "hi", "instructions": "be brief", "stream": True})

    assert call.messages == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert call.params == {}


def test_a_system_message_in_the_input_stays_there() -> None:
    body = {"model": "m", "input": [{"role": "system", "content": "s"}, HELLO]}
    built = WIRE.build(read_request(body), PROVIDER).body

    assert "instructions" not in built
    assert built["input"][0] == {"role": "system", "content": [{"type": "input_text", "text": "s"}]}


def test_calls_of_one_answer_are_one_message() -> None:
    body = {
        "model": "m",
        "input": [
            HELLO,
            thought(),
            said("let me see"),
            called(),
            called("{}", "call_2"),
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "call_2", "output": "cold", "status": "completed"},
        ],
    }
    messages = read_request(body).messages

    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[1]["content"] == "let me see"
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2"]
    assert messages[3] == {"role": "tool", "tool_call_id": "call_2", "content": "cold"}
    built = WIRE.build(read_request(body), PROVIDER).body["input"]
    assert built[:6] == body["input"][:6]


def test_what_chat_can_say_is_said_in_its_shapes_alone() -> None:
    body = {
        "model": "m",
        "input": [
            HELLO,
            {"role": "assistant", "content": "let me see"},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        ],
        "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}],
    }
    call = read_request(body)

    assert call.messages[1].keys() == {"role", "content", "tool_calls"}
    assert (
        CHAT.build(Call("gpt-4o", call.messages, call.params), PROVIDER).body["tools"][0]["function"]["strict"] is True
    )


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {"type": "custom_tool_call_output", "call_id": "from_before", "output": "2"},
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "compaction", "id": "c", "encrypted_content": "gAAA"},
    ],
)
def test_an_item_that_chat_cannot_say_goes_on_as_it_is(item: Json) -> None:
    call = read_request({"model": "m", "input": [HELLO, item]})

    assert WIRE.build(call, PROVIDER).body["input"] == [HELLO, item]
    assert call.messages[1] == {"role": "user", "content": [item]}


def test_a_custom_call_and_its_output_are_tool_messages() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "c", "name": "math", "input": "1+1"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "2"},
    ]
    call = read_request({"model": "m", "input": [HELLO, *items]})

    assert call.messages[2] == {"role": "tool", "tool_call_id": "c", "content": "2"}
    assert WIRE.build(call, PROVIDER).body["input"][1:] == items


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["x"]}, r"input\[0\]"),
        ({"model": "m", "input": [{"role": "tool", "content": "x"}]}, r"input\[0\]\.role"),
        ({"model": "m", "input": [{"role": "user"}]}, r"input\[0\]\.content"),
        ({"model": "m", "input": [HELLO, {"type": "function_call_output", "output": "x"}]}, r"input\[1\]\.call_id"),
        (
            {"model": "m", "input": [{"type": "function_call_output", "call_id": "c", "output": 4}]},
            r"input\[0\]\.output",
        ),
        ({"model": "m", "input": [{"type": "function_call", "name": "f"}]}, r"input\[0\]"),
    ],
)
def test_what_is_no_request_is_an_error_that_names_the_place(body: Any, where: str) -> None:
    with pytest.raises(BadRequestError, match=where):
        read_request(body)


def test_what_is_built_of_every_shape_validates() -> None:
    validate(
        build(
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
            },
            {"role": "assistant", "content": "a", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "t"}]},
            tools=[TOOL],
            tool_choice={"type": "function", "function": {"name": "weather"}},
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            reasoning_effort="low",
            verbosity="low",
            max_tokens=20,
            parallel_tool_calls=False,
            metadata={"a": "b"},
            include=["reasoning.encrypted_content"],
        )
    )
