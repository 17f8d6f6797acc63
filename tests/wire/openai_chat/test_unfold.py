from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ostinato.wire import find_wire
from tests.wire.openai_chat import bodies

WIRE = find_wire("openai_chat")


def folded(events: list[dict[str, Any]]) -> tuple[dict[str, Any], list[Any]]:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold.body(), fold.cuts()


def same(one: Any, other: Any) -> bool:
    """Say whether two values are equal to the last type; `1 == True` is not enough."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def is_parseable(body: dict[str, Any]) -> bool:
    return WIRE.event_error(body) is None


@settings(max_examples=400)
@given(bodies.body.filter(is_parseable))
def test_unfolding_and_folding_gives_any_body_back_exactly(body: dict[str, Any]) -> None:
    events = list(WIRE.unfold(copy.deepcopy(body), None))

    assert same(folded(events)[0], body)


steps = st.lists(
    st.integers(-1, 5)
    | st.lists(
        st.sampled_from(
            [
                [0, "content", 2],
                [0, "content", 0],
                [1, "tool_calls", 0, 1],
                [0, "tool_calls", 1, 0],
                [0, "tool_calls", -1, 1],
                [0, "function_call", 1],
                [0, "logprobs", "content", 1],
                [0, "finish_reason"],
                [0, "annotations"],
                [0, "reasoning", -3],
                ["usage"],
                [],
                [7, "content", 1],
                ["x", None],
                [0],
            ]
        ),
        max_size=3,
    )
    | bodies.values,
    max_size=8,
)


@settings(max_examples=400)
@given(bodies.body.filter(is_parseable), steps)
def test_cuts_that_do_not_fit_do_no_harm(body: dict[str, Any], cuts: list[Any]) -> None:
    events = list(WIRE.unfold(copy.deepcopy(body), cuts))

    assert same(folded(events)[0], body)


TWICE_CALLED = {"id": "", "function": {"name": "", "arguments": "0"}, "custom": {"input": ""}}


@settings(max_examples=200)
@given(bodies.body.filter(is_parseable))
@example({"choices": [{"message": {"tool_calls": [TWICE_CALLED]}}]})
def test_the_cuts_of_an_unfolded_stream_cut_it_the_same_way_again(body: dict[str, Any]) -> None:
    first, cuts = folded(list(WIRE.unfold(copy.deepcopy(body), None)))
    again, same_cuts = folded(list(WIRE.unfold(first, copy.deepcopy(cuts))))

    assert same(again, body)
    assert msgspec.json.encode(cuts)
    assert sum(map(_length, cuts)) == sum(map(_length, same_cuts))


def _length(entry: Any) -> int:
    return entry if type(entry) is int else sum(step[-1] for step in entry if type(step[-1]) is int)


ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "service_tier": "default",
}


def test_an_answer_without_cuts_is_a_piece_a_text_then_the_end_then_the_usage() -> None:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "service_tier": "default"}
    delta = {"role": "assistant", "content": "Hello", "refusal": None}
    rest = {"logprobs": None, "finish_reason": None}

    assert list(WIRE.unfold(copy.deepcopy(ANSWER), None)) == [
        {**head, "choices": [{"index": 0, "delta": delta, **rest}]},
        {**head, "choices": [{"index": 0, "delta": {}, **rest, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": ANSWER["usage"]},
    ]


def test_thoughts_come_before_words() -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "4", "reasoning_content": "2+2"}}]}

    deltas = [choice["delta"] for event in WIRE.unfold(answer, None) for choice in event["choices"]]

    assert [name for delta in deltas for name in ("reasoning_content", "content") if name in delta] == [
        "reasoning_content",
        "content",
    ]


def test_unfolding_leaves_the_body_alone_and_shares_nothing_that_changes() -> None:
    body: dict[str, Any] = copy.deepcopy(ANSWER)
    body["choices"][0]["message"] |= {
        "annotations": [{"a": 1}],
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    before = copy.deepcopy(body)

    for event in WIRE.unfold(body, None):
        for chunk in WIRE.translator().feed(event):
            for choice in chunk.choices:
                choice.delta.clear()
                choice.clear()
            if chunk.usage:
                chunk.usage["prompt_tokens"] = 99

    assert body == before


def test_only_what_no_stream_can_say_needs_a_mend() -> None:
    odd = copy.deepcopy(ANSWER)
    odd["choices"][0]["delta"] = {}

    assert not any("ostinato" in event for event in WIRE.unfold(ANSWER, None))
    assert [event.get("ostinato") for event in WIRE.unfold(odd, None)][-1] == [[["choices", 0, "delta"], {}]]


def test_a_mend_that_leads_nowhere_is_left() -> None:
    event = {"choices": [], "ostinato": [[["choices", 5, "x"], 1], [], "x", [["a", "b"]], [["c"]], {"x": 1}, 5]}

    assert folded([event])[0] == {"choices": []}


def test_usage_that_came_with_every_chunk_comes_with_the_last_of_them() -> None:
    fold = WIRE.fold()
    for count in range(3):
        fold.feed(
            {
                "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {"content": "ab"}}],
                "usage": {"total_tokens": count},
            }
        )

    events = list(WIRE.unfold(fold.body(), fold.cuts()))

    assert [event["choices"][0]["delta"]["content"] for event in events] == ["ab"] * 3
    assert [event.get("usage") for event in events] == [None, None, {"total_tokens": 2}]
