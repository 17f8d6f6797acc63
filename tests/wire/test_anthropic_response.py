from __future__ import annotations

from typing import Any

import pytest

from ostinato.errors import APIResponseError, ServiceUnavailableError
from ostinato.wire.anthropic import WIRE
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import usage_of

USAGE = {"input_tokens": 10, "output_tokens": 3}


def body(*content: Any, reason: str | None = "end_turn", usage: Any = USAGE, **members: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
        **members,
    }


TEXT = {"type": "text", "text": "a"}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}


def test_a_plain_answer_reads_like_one_of_openais() -> None:
    completion = WIRE.parse(body(TEXT))

    assert completion.model_dump() == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 0,
        "type": "message",
        "model": "claude-sonnet-4-5",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
                "stop_sequence": None,
                "message": {"role": "assistant", "content": "a"},
            }
        ],
        "usage": {
            **USAGE,
            "prompt_tokens": 10,
            "completion_tokens": 3,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        },
    }
    assert completion.usage.raw == USAGE  # type: ignore[union-attr]


def test_thinking_text_and_calls_in_that_order_need_no_blocks_beside_the_message() -> None:
    message = (
        WIRE.parse(body(THOUGHT, TEXT, CALL, {**CALL, "id": "u", "caller": {"type": "direct"}})).choices[0].message
    )

    assert message.content == "a"
    assert message.reasoning_content == "hm"
    assert message["thinking_blocks"] == [THOUGHT]
    assert [call.function.arguments for call in message.tool_calls or ()] == ['{"x":1}'] * 2
    assert (message.tool_calls or [])[1].caller == {"type": "direct"}
    assert "content_blocks" not in message


@pytest.mark.parametrize(
    "content",
    [
        [TEXT, THOUGHT],
        [TEXT, TEXT],
        [CALL, TEXT],
        [{**TEXT, "citations": None}],
        [{"type": "text", "text": ""}],
        [{**CALL, "toolset": "x"}],
        [{"type": "server_tool_use", "id": "s", "name": "n", "input": {}}],
    ],
)
def test_what_openais_shape_would_lose_stays_beside_the_message(content: list[Any]) -> None:
    assert WIRE.parse(body(*content)).choices[0].message["content_blocks"] == content


def test_citations_of_web_pages_are_annotations_of_the_text_they_stand_by() -> None:
    cited = {
        "type": "text",
        "text": "bcd",
        "citations": [{"url": "https://a.example", "title": "A"}, {"cited_text": "x"}],
    }

    message = WIRE.parse(body(TEXT, cited)).choices[0].message

    place = {"url": "https://a.example", "title": "A", "start_index": 1, "end_index": 4}
    assert message.annotations == [{"type": "url_citation", "url_citation": place}]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("brand_new", "stop"),
        (None, None),
    ],
)
def test_a_stop_reason_is_mapped_and_kept(reason: str | None, finish: str | None) -> None:
    choice = WIRE.parse(body(TEXT, reason=reason, stop_details={"type": "refusal"})).choices[0]

    assert choice.finish_reason == finish
    assert choice["native_finish_reason"] == reason
    assert choice["stop_details"] == {"type": "refusal"}


@pytest.mark.parametrize(
    "answer", [[], {}, {"content": "text"}, {"content": [{}]}, {"content": ["x"]}, {"content": [{"type": "text"}]}]
)
def test_a_body_that_is_no_message_is_an_error(answer: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.parse(answer)


def test_an_error_in_a_200_is_raised_with_the_id_of_the_request() -> None:
    with pytest.raises(ServiceUnavailableError) as raised:
        WIRE.parse({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, {"request-id": "r"})

    assert raised.value.request_id == "r"


@pytest.mark.parametrize(
    ("usage", "runs"),
    [
        (USAGE, [Tokens(10, output=3)]),
        (
            {**USAGE, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 7},
            [Tokens(10, 5, {"5m": 7}, 3)],
        ),
        (
            {**USAGE, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 2}},
            [Tokens(10, 0, {"5m": 5, "1h": 2}, 3)],
        ),
        (
            {**USAGE, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
            [Tokens(10, 0, {"1h": 7}, 3)],
        ),
        ({**USAGE, "output_tokens_details": {"thinking_tokens": 2}}, [Tokens(10, output=3, reasoning=2)]),
        ({**USAGE, "cache_read_input_tokens": None, "cache_creation": None}, [Tokens(10, output=3)]),
        ({"input_tokens": -4, "output_tokens": 3.0}, [Tokens(0, output=3)]),
        ({**USAGE, "service_tier": "batch"}, [Tokens(10, output=3, service_tier="batch")]),
        ({**USAGE, "service_tier": "standard"}, [Tokens(10, output=3)]),
        ({**USAGE, "service_tier": "standard", "speed": "fast"}, [Tokens(10, output=3, service_tier="fast")]),
        (
            {
                **USAGE,
                "output_tokens_details": {"thinking_tokens": 4},
                "iterations": [
                    {"type": "message", "input_tokens": 1, "output_tokens": 3},
                    {"type": "advisor_message", "model": "m", "input_tokens": 2, "output_tokens": 9},
                    {"type": "message", "input_tokens": 4, "output_tokens": 5},
                ],
            },
            [Tokens(1, output=3, reasoning=3), Tokens(2, output=9, model="m"), Tokens(4, output=5, reasoning=1)],
        ),
        (None, None),
        ({}, None),
        ({"service_tier": "standard"}, None),
    ],
)
def test_counts_are_disjoint_and_the_usage_of_a_record_is_their_sum(usage: Any, runs: list[Tokens] | None) -> None:
    answer = body(TEXT, usage=usage)

    assert WIRE.tokens(answer) == runs
    record = WIRE.parse(answer).usage
    if runs is None:
        assert record is None or "prompt_tokens" not in record
    else:
        assert record == usage_of(usage, runs)
        assert record.raw == usage


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (body(TEXT), None),
        (body(CALL, reason="tool_use"), None),
        (body(THOUGHT, reason="max_tokens"), None),
        (body(TEXT, reason="pause_turn"), None),
        (body(TEXT, reason="refusal"), "refused"),
        (body(TEXT, reason=None), "no stop reason"),
        (body(), "empty"),
        (body({"type": "text", "text": ""}), "empty"),
        (body(TEXT, {**CALL, "input": '{"a'}), "no JSON object"),
        (body(TEXT, CALL, reason="max_tokens"), "cut a tool call"),
        (body(CALL, TEXT, reason="max_tokens"), None),
        (body(TEXT, usage={"input_tokens": 0, "output_tokens": 0}), "zeros"),
        (body(TEXT, usage=None), None),
    ],
)
def test_only_a_whole_answer_is_kept(answer: dict[str, Any], reason: str | None) -> None:
    said = WIRE.incomplete(answer)

    assert said is None if reason is None else reason in str(said)
