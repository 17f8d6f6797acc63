"""Marks on chat's wire: sent where OpenRouter passes them on, left out elsewhere, and never in a key."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.caching.key import request_parts
from ostinato.providers import PROVIDERS
from ostinato.wire.contract import Call
from tests.corpus import open_records
from tests.wire.openai_chat.recorded import WIRE

MARK = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PLAIN: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, IMAGE]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ],
    "tools": [TOOL, TOOL],
}
MARKED: dict[str, Any] = {
    "messages": [{**message, "cache_control": MARK} for message in PLAIN["messages"]],
    "tools": [{**TOOL, "cache_control": MARK}, {**TOOL, "function": {**TOOL["function"], "cache_control": MARK}}],  # type: ignore[dict-item]
}


def built(call: dict[str, Any], provider: str = "openrouter", model: str = "anthropic/claude-sonnet-4.5") -> Any:
    params = {name: value for name, value in call.items() if name != "messages"}
    return WIRE.build(Call(model, call["messages"], params), PROVIDERS[provider]).body


def digest(body: Any) -> Any:
    return request_parts("POST x", {}, WIRE.keyed_body(body))


def test_a_mark_on_a_message_is_sent_on_its_last_text() -> None:
    before = copy.deepcopy(MARKED)
    body = built(MARKED)

    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": MARK}]},
        {"role": "user", "content": [{"type": "text", "text": "t", "cache_control": MARK}, IMAGE]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r", "cache_control": MARK}]},
    ]
    assert body["tools"] == [{**TOOL, "cache_control": MARK}] * 2
    assert before == MARKED


def test_a_mark_of_the_whole_request_is_sent_as_it_is() -> None:
    plain = built({**PLAIN, "temperature": 0})

    assert built({**PLAIN, "cache_control": MARK, "temperature": 0}) == {**plain, "cache_control": MARK}


def test_a_mark_that_is_there_already_is_not_replaced() -> None:
    part = {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}

    assert built({"messages": [{"role": "user", "content": [part], "cache_control": MARK}]})["messages"] == [
        {"role": "user", "content": [part]}
    ]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openrouter", "openai/gpt-4o"),
        ("openrouter", "deepseek/deepseek-chat"),
        ("groq", "anthropic/claude-sonnet-4.5"),
        ("openai_compatible", "google/gemini-2.5-pro"),
        ("openai", "gpt-4o"),
    ],
)
def test_elsewhere_no_mark_is_sent(provider: str, model: str) -> None:
    assert built({**MARKED, "cache_control": MARK}, provider, model) == built(PLAIN, provider, model)


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "~anthropic/claude-latest"])
def test_marks_are_no_part_of_a_key(model: str) -> None:
    call_marked = {**CALL, "cache_control": MARK}
    messages = [*MARKED["messages"], {"role": "assistant", "content": "", "tool_calls": [call_marked]}]
    with_marks = built({**MARKED, "messages": messages, "cache_control": MARK}, model=model)
    plain = built({**PLAIN, "messages": [*PLAIN["messages"], {**messages[-1], "tool_calls": [CALL]}]}, model=model)
    before = copy.deepcopy(with_marks)

    assert "cache_control" in str(with_marks)
    assert digest(with_marks) == digest(plain)
    assert with_marks == before


def test_recorded_marks_of_openrouter_reach_it_and_no_key() -> None:
    marked = [
        record["request"]["json"]
        for record in open_records(api="chat", provider="other-openai-compatible")
        if "cache_control" in str(record["request"].get("json"))
    ]
    for request in marked:
        call = {name: value for name, value in request.items() if name != "model"}
        body = built(call, model=request["model"])

        assert str(body).count("cache_control") == str(request).count("cache_control")
        assert "cache_control" not in str(WIRE.keyed_body(body))
    assert len(marked) == 6
