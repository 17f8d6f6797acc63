"""Requests of the Responses API read as calls, and answers, streams and errors given in its shape."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent

from ostinato.errors import BadRequestError, InternalServerError, RateLimitError
from ostinato.records import Chunk, Completion
from ostinato.wire.anthropic import WIRE as ANTHROPIC
from ostinato.wire.contract import Call
from ostinato.wire.openai_chat import WIRE as CHAT
from ostinato.wire.openai_responses import WIRE
from ostinato.wire.openai_responses.invert import Renderer, read_request, render, render_error
from tests.wire.openai_responses_calls import (
    CALL,
    HELLO,
    PIXEL,
    PROVIDER,
    SCHEMA,
    TOOL,
    answer,
    build,
    called,
    official,
    said,
    texts,
    thought,
    validate,
    without_nulls,
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


CHANCE = {"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}


def chat_completion(**message: Any) -> Completion:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": None, **message}}
    body = {"id": "c1", "object": "chat.completion", "created": 7, "model": "gpt-4o", "choices": [choice]}
    return CHAT.parse({**body, "usage": usage})


def test_an_answer_of_chat_is_rendered_as_a_response() -> None:
    completion = chat_completion(content="hi", reasoning_content="hm", tool_calls=[CALL])
    completion.choices[0]["logprobs"] = {"content": [CHANCE]}
    body = msgspec.to_builtins(render(completion))

    assert Response.model_validate(body).output_text == "hi"
    assert [item["type"] for item in body["output"]] == ["reasoning", "message", "function_call"]
    assert body["output"][1]["content"][0]["logprobs"] == [CHANCE]
    assert body["output"][2]["arguments"] == CALL["function"]["arguments"]  # type: ignore[index]
    assert (body["created_at"], body["status"], body["model"]) == (7, "completed", "gpt-4o")
    assert body["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    }
    assert WIRE.parse(body).choices[0].message.content == "hi"


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
    ],
)
def test_the_finish_reason_is_the_status(reason: str, status: str, details: Any) -> None:
    completion = chat_completion(content="hi")
    completion.choices[0]["finish_reason"] = reason
    body = render(completion)

    assert (body["status"], body["incomplete_details"]) == (status, details)


def test_thinking_of_another_vendor_travels_through_the_client_and_back() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "AAAA"}
    completion = chat_completion(content=None, tool_calls=[CALL], thinking_blocks=[block, hidden])
    output = render(completion)["output"]
    call = read_request({"model": "m", "input": [HELLO, *output]})

    assert output[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert call.messages[1]["thinking_blocks"] == [block, hidden]
    assert "reasoning_items" not in call.messages[1]
    turns = ANTHROPIC.build(Call("claude-sonnet-4-5", call.messages), PROVIDER).body["messages"]
    assert turns[1]["content"][:2] == [block, hidden]


def rendered(chunks: list[Json]) -> list[Json]:
    renderer = Renderer()
    events = [event for chunk in chunks for event in renderer.feed(Chunk(copy.deepcopy(chunk)))]
    return events + renderer.end()


def chunk(delta: Json | None = None, finish: str | None = None, **members: Any) -> Json:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "gpt-4o",
        "choices": choices,
        **members,
    }


CITED = {"url": "u", "title": "t", "start_index": 0, "end_index": 2}

STREAM: list[Json] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "h"}),
    chunk({"reasoning_content": "m"}),
    chunk({"content": "he"}),
    chunk({"content": "llo"}),
    chunk({"annotations": [{"type": "url_citation", "url_citation": CITED}]}),
    chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
    chunk({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}),
    chunk({}, "tool_calls"),
    chunk(usage={"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}),
]


def test_a_stream_of_chat_is_rendered_as_events_that_the_official_client_takes() -> None:
    events = rendered(STREAM)
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    for event in events:
        assert adapter.validate_python(event).type == event["type"]
    final, gathered = official(events)
    body = events[-1]["response"]

    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert final == without_nulls(body)
    assert gathered == texts(body) == [("text", "hello"), ("arguments", "{}"), ("arguments", "{}")]
    assert [item["type"] for item in body["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert body["output"][0]["summary"][0]["text"] == "hm"
    assert body["output"][1]["content"][0]["annotations"] == [{"type": "url_citation", **CITED}]
    assert body["usage"]["input_tokens"] == 9
    assert all(item.get("status", "completed") == "completed" for item in body["output"])


def test_the_events_fold_to_their_last() -> None:
    events = rendered(STREAM)
    fold = WIRE.fold()
    for event in events[:-1]:
        fold.feed(event)
    fold.feed({**events[-1], "response": {**events[-1]["response"], "output": []}})

    assert fold.body() == events[-1]["response"]


def test_events_that_were_sent_do_not_change_afterwards() -> None:
    renderer = Renderer()
    sent = [event for piece in STREAM for event in renderer.feed(Chunk(copy.deepcopy(piece)))]
    added = [event for event in sent if event["type"].endswith(".added")]
    before = copy.deepcopy(added)
    renderer.end()

    assert added == before
    assert all(not event["item"].get("content") for event in added if "item" in event)


def test_thinking_with_its_signature_ends_the_reasoning_item() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "AAAA"}
    events = rendered(
        [
            chunk({"role": "assistant"}),
            chunk({"reasoning_content": "hm"}),
            chunk({"thinking_blocks": [{"index": 0, **block}]}),
            chunk({"thinking_blocks": [{"index": 1, **hidden}]}),
            chunk({"content": "hi"}, "stop"),
        ]
    )
    output = events[-1]["response"]["output"]

    assert [item["type"] for item in output] == ["reasoning", "reasoning", "message"]
    call = read_request({"model": "m", "input": [HELLO, *output]})
    assert call.messages[1]["thinking_blocks"] == [block, hidden]


def test_a_refusal_and_a_limit_are_told() -> None:
    events = rendered([chunk({"role": "assistant", "refusal": "no"}), chunk({}, "length")])

    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_a_stream_without_a_first_chunk_has_no_events() -> None:
    assert rendered([]) == []


def test_a_stream_of_this_wire_rendered_from_its_chunks_says_the_same() -> None:
    body = answer(thought(), said("hello"), called())
    translator = WIRE.translator()
    chunks = [piece for event in WIRE.unfold(body, None) for piece in translator.feed(event)]
    events = rendered([msgspec.to_builtins(piece) for piece in chunks])

    assert texts(events[-1]["response"]) == texts(body)


def test_a_stream_that_breaks_ends_with_an_error_event() -> None:
    renderer = Renderer()
    renderer.feed(Chunk(chunk({"content": "x"})))
    (event,) = renderer.fail(InternalServerError("it broke", code="server_error"), 500)

    assert event["type"] == "error"
    assert (event["message"], event["code"], event["sequence_number"]) == ("it broke", "server_error", 5)
    assert WIRE.event_error(event) is not None


def test_an_error_is_told_in_the_vendors_shape_with_what_the_vendor_said() -> None:
    said_ = {"error": {"message": "m", "type": "tokens", "param": "input", "code": "rate_limit_exceeded"}}
    error = WIRE.error(429, {}, msgspec.json.encode(said_))

    assert render_error(error, 429) == said_
    assert render_error(RateLimitError("slow down"), 429) == {
        "error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }
    assert render_error(InternalServerError("it broke"), 500)["error"]["type"] == "server_error"
    assert render_error(BadRequestError("no"), 400)["error"]["type"] == "invalid_request_error"


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
