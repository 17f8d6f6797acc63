"""An answer told whole and told as a stream are one answer, in the dialects that are not its vendor's."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from ostinato.wire import find_wire
from ostinato.wire.dialects import find_dialect

Json = dict[str, Any]
CITED = {
    "type": "web_search_result_location",
    "cited_text": "x",
    "url": "http://a",
    "title": "t",
    "encrypted_index": "e",
}


def message(*content: Json, reason: str = "end_turn") -> Json:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content)}
    usage = {"input_tokens": 9, "output_tokens": 5}
    return {**head, "stop_reason": reason, "stop_sequence": None, "usage": usage}


def chat(message: Json, finish: str = "stop") -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "gpt", "choices": [choice]}
    return {**head, "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}}


def thought(text: str) -> Json:
    return {"type": "thinking", "thinking": text, "signature": "s"}


def called(name: str) -> Json:
    return {"type": "tool_use", "id": f"call_{name}", "name": name, "input": {"a": 1}}


def free(*texts: str) -> Json:
    calls = [{"id": f"call_{n}", "type": "custom", "custom": {"name": "f", "input": t}} for n, t in enumerate(texts)]
    return {"tool_calls": calls}


TEXT: Json = {"type": "text", "text": "ab"}
ANSWERS: dict[str, tuple[str, Json]] = {
    "thoughts between calls": (
        "anthropic",
        message(thought("1"), called("f"), thought("2"), TEXT, called("g"), reason="tool_use"),
    ),
    "words behind a call, with sources": (
        "anthropic",
        message(TEXT, called("f"), {**TEXT, "citations": [CITED]}, {"type": "redacted_thinking", "data": "d"}),
    ),
    "sources of words before a call": ("anthropic", message({**TEXT, "citations": [CITED]}, called("f"))),
    "words that the limit cut": ("anthropic", message(thought("1"), TEXT, reason="max_tokens")),
    "words before a thought that the limit cut": ("anthropic", message(TEXT, thought("1"), TEXT, reason="max_tokens")),
    "a cut behind a call": ("openai_chat", chat({"content": "x", **free("y")}, "length")),
    "tools that are given a text": ("openai_chat", chat(free('say "no"\n', "", "é😀"), "tool_calls")),
    "a filtered answer": ("openai_chat", chat({"content": "x"}, "content_filter")),
}


def in_both_ways(dialect: str, wire_name: str, body: Json) -> tuple[Json, Json]:
    """Return an answer as a dialect tells it, and as its stream gathers to it."""
    wire, spoken = find_wire(wire_name), find_dialect(dialect)
    whole = msgspec.to_builtins(spoken.render(wire.parse(copy.deepcopy(body))))
    translator, renderer, fold = wire.translator(), spoken.renderer(), find_wire(dialect).fold()
    chunks = [chunk for event in wire.unfold(copy.deepcopy(body), None) for chunk in translator.feed(event)]
    told = [renderer.feed(chunk) for chunk in (*chunks, *translator.end())]
    for event in [event for events in told for event in events] + renderer.end():
        fold.feed(msgspec.to_builtins(event))
    return whole, fold.body()


@pytest.mark.parametrize("answer", [name for name, (wire, _) in ANSWERS.items() if wire != "anthropic"])
def test_messages_are_told_alike(answer: str) -> None:
    wire, body = ANSWERS[answer]
    whole, streamed = in_both_ways("anthropic", wire, body)

    assert streamed["content"] == whole["content"]
    assert streamed["stop_reason"] == whole["stop_reason"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_responses_are_told_alike(answer: str) -> None:
    wire, body = ANSWERS[answer]
    whole, streamed = in_both_ways("openai_responses", wire, body)
    items = [[{**item, "id": ""} for item in told["output"]] for told in (streamed, whole)]

    assert items[0] == items[1]
    assert streamed["status"] == whole["status"]


def test_what_a_tool_is_given_as_a_text_is_an_object_in_a_stream_of_messages() -> None:
    _, streamed = in_both_ways("anthropic", *ANSWERS["tools that are given a text"])

    assert [block["input"] for block in streamed["content"]] == [
        {"input": 'say "no"\n'},
        {"input": ""},
        {"input": "é😀"},
    ]
