"""The gateway's side: requests read, answers, streams and errors given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import BadRequestError, OstinatoError, RateLimitError
from ostinato.providers import Provider
from ostinato.records import Chunk, Completion, Usage
from ostinato.wire.anthropic import WIRE
from ostinato.wire.anthropic.invert import Renderer, read_request, render, render_error
from ostinato.wire.contract import Call
from ostinato.wire.openai_chat import WIRE as OPENAI
from tests.wire.anthropic_oracle import official_fold

PROVIDER = Provider("anthropic", wire="anthropic", base_url="https://api.anthropic.com", auth="x-api-key")
OF_OPENAI = Provider("openai", wire="openai_chat", base_url="https://api.openai.com/v1")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def request(*turns: Any, **members: Any) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": list(turns) or [{"role": "user", "content": "u"}],
        **members,
    }


ASKED = request(
    {"role": "user", "content": "weather?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "b"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "12", "is_error": False},
            {"type": "tool_result", "tool_use_id": "t2"},
            {"type": "text", "text": "and?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
        ],
    },
    system=[{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
    stream=True,
    tools=[{"name": "f", "input_schema": SCHEMA, "strict": True}],
    tool_choice={"type": "any", "disable_parallel_tool_use": True},
    stop_sequences=["x"],
    metadata={"user_id": "me"},
    service_tier="standard_only",
    thinking={"type": "adaptive"},
    output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
)


def test_a_request_is_read_in_openais_words() -> None:
    assert read_request(ASKED) == Call(
        "claude-sonnet-4-5",
        [
            {"role": "system", "content": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": "weather?"},
            {
                "role": "assistant",
                "content": "I look.",
                "reasoning_content": "hm",
                "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":"b"}'}}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "12", "is_error": False},
            {"role": "tool", "tool_call_id": "t2", "content": ""},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "and?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
                ],
            },
        ],
        {
            "max_tokens": 9,
            "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "stop": ["x"],
            "user": "me",
            "service_tier": "default",
            "reasoning_effort": "low",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            },
        },
    )


def test_a_request_of_plain_words_is_one_that_openais_wire_can_send() -> None:
    call = read_request(
        request({"role": "user", "content": [{"type": "text", "text": "u"}]}, system="S", temperature=0.5)
    )

    assert OPENAI.build(call, OF_OPENAI).body == {
        "model": "claude-sonnet-4-5",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "max_tokens": 9,
        "temperature": 0.5,
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        (request("x"), r"messages\[0\]"),
        (request({"role": "judge", "content": "x"}), "judge"),
        (request({"role": "user", "content": 1}), r"messages\[0\]\.content"),
        (request({"role": "user", "content": ["x"]}), r"messages\[0\]\.content"),
        (request({"role": "assistant", "content": [{"type": "tool_use"}]}), r"messages\[0\]\.content"),
        (request({"role": "user", "content": [{"type": "tool_result"}]}), "tool_use_id"),
        (request(system=1), "system"),
    ],
)
def test_what_is_no_request_is_an_error_that_says_where(body: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        read_request(body)


def test_arguments_that_were_no_json_come_back_as_they_were() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    told = Call("m", [{"role": "user", "content": "u"}, {"role": "assistant", "content": None, "tool_calls": [call]}])

    assert read_request(WIRE.build(told, PROVIDER).body).messages[1]["tool_calls"] == [call]


TEXTS = st.text("aé\n", min_size=1, max_size=6)
MARKS = st.none() | st.just({"type": "ephemeral"})
PARTS = st.one_of(
    st.builds(
        lambda text, mark: {"type": "text", "text": text} | ({"cache_control": mark} if mark else {}), TEXTS, MARKS
    ),
    st.just({"type": "image_url", "image_url": {"url": "https://a.example/p.png"}}),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}),
    st.just({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}),
    st.just({"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}, "citations": {"enabled": True}}),
    st.just({"type": "file", "file": {"file_id": "file_1"}}),
)
CALLS = st.lists(
    st.builds(
        lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
        st.sampled_from(["f", "g"]),
        st.sampled_from(["{}", '{"a":1}', '{"a":[null,1.5]}', '{"a', "[]"]),
    ),
    max_size=2,
)


@st.composite
def messages(draw: st.DrawFn) -> list[dict[str, Any]]:
    spoken: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS)}] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        spoken.append({"role": "user", "content": draw(TEXTS | st.lists(PARTS, min_size=1, max_size=3))})
        calls = [{"id": f"t{turn}_{place}", **call} for place, call in enumerate(draw(CALLS))]
        answer: dict[str, Any] = {"role": "assistant", "content": draw(TEXTS)}
        if draw(st.booleans()):
            answer["thinking_blocks"] = [{"type": "thinking", "thinking": "t", "signature": "s"}]
            answer["reasoning_content"] = "t"
        if calls:
            answer["tool_calls"] = calls
        spoken.append(answer)
        spoken += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)} for call in calls]
    return spoken


PARAMS = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 99)},
    optional={
        "temperature": st.floats(0, 1),
        "top_k": st.integers(1, 9),
        "stop": st.lists(TEXTS, min_size=1, max_size=2),
        "user": TEXTS,
        "tool_choice": st.sampled_from(["auto", "required", "none", {"type": "function", "function": {"name": "f"}}]),
        "service_tier": st.sampled_from(["auto", "default"]),
        "tools": st.just([{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}]),
        "cache_control": st.just({"type": "ephemeral"}),
        "thinking": st.just({"type": "disabled"}),
    },
)


@settings(max_examples=300)
@given(messages(), PARAMS)
def test_a_call_that_was_built_is_read_back(spoken: list[dict[str, Any]], params: dict[str, Any]) -> None:
    """Up to marks over the limit, which give way."""
    call = Call("claude-sonnet-4-5", spoken, params)
    before = copy.deepcopy(call)
    marks = sum("cache_control" in part for message in spoken for part in message["content"] if isinstance(part, dict))

    back = read_request(WIRE.build(call, PROVIDER).body)

    assert call == before
    if marks + ("cache_control" in params) <= 4:
        assert back == call


def completion(message: dict[str, Any], finish: str = "stop", **choice: Any) -> Completion:
    chosen = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **choice}
    usage = Usage(
        {"prompt_tokens": 10, "completion_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1}
    )
    return Completion({"id": "chatcmpl-1", "model": "gpt-4o", "choices": [chosen], "usage": usage})


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("answer", "content", "reason"),
    [
        (completion({"content": "a"}), [{"type": "text", "text": "a"}], "end_turn"),
        (completion({"content": "a"}, "length"), [{"type": "text", "text": "a"}], "max_tokens"),
        (completion({"content": None, "refusal": "no"}, "content_filter"), [{"type": "text", "text": "no"}], "refusal"),
        (
            completion({"content": None, "tool_calls": [CALL]}),
            [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
            "tool_use",
        ),
        (
            completion({"content": "a", "reasoning_content": "hm"}, native_finish_reason="pause_turn"),
            [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "a"}],
            "pause_turn",
        ),
        (completion({"content": ""}), [], "end_turn"),
    ],
)
def test_an_answer_of_any_vendor_is_a_message(answer: Completion, content: list[Any], reason: str) -> None:
    assert render(answer) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-4o",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 1,
            "cache_read_input_tokens": 4,
            "output_tokens": 3,
        },
    }


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any) -> Chunk:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return Chunk({"id": "chatcmpl-1", "model": "gpt-4o", "choices": choices, **members})


def rendered(*chunks: Chunk) -> list[dict[str, Any]]:
    renderer = Renderer()
    return [event for piece in chunks for event in renderer.feed(piece)] + renderer.end()


def test_a_stream_of_any_vendor_is_one_that_the_official_client_reads() -> None:
    events = rendered(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "h"}),
        chunk({"reasoning_content": "m"}),
        chunk(
            {
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                ]
            }
        ),
        chunk({"content": "a"}),
        chunk({"content": "b"}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "d", "function": {"name": "g", "arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        chunk(usage=Usage({"prompt_tokens": 10, "completion_tokens": 3})),
    )
    body = official_fold(events)

    assert body is not None
    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "ab"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "d", "name": "g", "input": {}},
    ]
    assert (body["stop_reason"], body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == ("tool_use", 10, 3)
    assert [event["type"] for event in events].count("content_block_stop") == 5
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    assert fold.complete


def test_a_stream_without_a_chunk_has_no_events_and_one_with_other_choices_only_the_first() -> None:
    other = Chunk({"id": "x", "choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]})

    assert rendered() == []
    assert [event["type"] for event in rendered(other)] == ["message_start", "message_delta", "message_stop"]


def test_our_own_stream_translated_and_rendered_keeps_its_words() -> None:
    body = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": [
            {"type": "thinking", "thinking": "", "signature": "s"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    translator = WIRE.translator()
    events = rendered(*[piece for event in WIRE.unfold(body, None) for piece in translator.feed(event)])
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)

    assert fold.body() == body


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequestError("m"), 400, "invalid_request_error"),
        (RateLimitError("m"), 429, "rate_limit_error"),
        (OstinatoError("m"), 401, "authentication_error"),
        (OstinatoError("m"), 418, "invalid_request_error"),
        (OstinatoError("m"), 502, "api_error"),
        (OstinatoError("m"), 529, "overloaded_error"),
        (OstinatoError("m", body={"type": "error", "error": {"type": "own_error"}}), 400, "own_error"),
        (OstinatoError("m", body="text"), 503, "overloaded_error"),
    ],
)
def test_an_error_is_given_in_the_vendors_shape(error: OstinatoError, status: int, kind: str) -> None:
    assert render_error(error, status) == {"type": "error", "error": {"type": kind, "message": "m"}}
    error.request_id = "req_1"
    assert render_error(error, status)["request_id"] == "req_1"
