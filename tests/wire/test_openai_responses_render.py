"""Answers, streams and errors of any vendor, given in the shape of the Responses API."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pydantic
import pytest
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
    PROVIDER,
    answer,
    called,
    official,
    said,
    texts,
    thought,
    without_nulls,
)

Json = dict[str, Any]

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


def test_an_answer_that_nobody_counted_has_no_usage() -> None:
    completion = chat_completion(content="hi")
    del completion["usage"]

    assert render(completion)["usage"] is None
    assert rendered([chunk({"content": "hi"}, "stop")])[-1]["response"]["usage"] is None
