from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from ostinato.errors import APIResponseError
from ostinato.wire import find_wire

WIRE = find_wire("openai_chat")


def delta(index: int = 0, /, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": fields}]}


def finish(reason: str = "stop", index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {}, "finish_reason": reason}]}


def folded(*events: dict[str, Any]) -> dict[str, Any]:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold.body()


def message(*events: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = folded(*events)["choices"][0]["message"]
    return found


def test_a_stream_of_openai_s_folds_to_its_unstreamed_answer() -> None:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": None}
    rest = {"logprobs": None, "finish_reason": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    first = {"role": "assistant", "content": "", "refusal": None}

    body = folded(
        {**head, "choices": [{"index": 0, "delta": first, **rest}], "usage": None, "obfuscation": "a"},
        {**head, "choices": [{"index": 0, "delta": {"content": "Hel"}, **rest}], "usage": None, "p": "abc"},
        {**head, "choices": [{"index": 0, "delta": {"content": "lo"}, **rest}], "usage": None},
        {**head, "choices": [{"index": 0, "delta": {}, **rest, "finish_reason": "stop"}], "usage": None},
        {**head, "choices": [], "usage": usage},
        {**head, "choices": [], "usage": None, "moderation": {"flagged": False}},
    )

    assert body == {
        **head,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
        "moderation": {"flagged": False},
    }


MESSAGES = {
    "a role that is missing": ([delta(content="x")], {"role": "assistant", "content": "x"}),
    "a role in every delta": (
        [delta(role="assistant", content="x"), delta(role="assistant", content="y")],
        {"role": "assistant", "content": "xy"},
    ),
    "no content": ([delta(tool_calls=None)], {"role": "assistant", "content": None, "tool_calls": None}),
    "thoughts beside null": (
        [delta(content=None, reasoning_content=""), delta(content=None, reasoning_content="a"), delta(content="b")],
        {"role": "assistant", "content": "b", "reasoning_content": "a"},
    ),
    "a null after a value": (
        [delta(reasoning_content="a"), delta(content="b", reasoning_content=None)],
        {"role": "assistant", "content": "b", "reasoning_content": "a"},
    ),
    "a refusal": (
        [delta(refusal="No"), delta(refusal=".")],
        {"role": "assistant", "content": None, "refusal": "No."},
    ),
    "a legacy function call": (
        [delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})],
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ),
    "audio": (
        [delta(audio={"id": "a", "transcript": "H"}), delta(audio={"transcript": "i", "data": "AA"})],
        {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "Hi", "data": "AA"}},
    ),
    "reasoning details with an index": (
        [
            delta(reasoning_details=[{"type": "reasoning.text", "text": "a", "index": 0, "format": "f"}]),
            delta(reasoning_details=[{"type": "reasoning.text", "text": "b", "index": 0, "format": "f"}]),
            delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "x", "index": 0}]),
        ],
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "text": "ab", "index": 0, "format": "f"},
                {"type": "reasoning.encrypted", "data": "x", "index": 0},
            ],
        },
    ),
    "reasoning details without an index": (
        [
            delta(reasoning_details=[{"type": "reasoning.text", "text": "a"}]),
            delta(reasoning_details=[{"type": "reasoning.text", "text": "b"}]),
            delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]),
            delta(reasoning_details=[{"type": "reasoning.encrypted", "data": "y"}]),
        ],
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"type": "reasoning.text", "text": "ab"},
                {"type": "reasoning.encrypted", "data": "x"},
                {"type": "reasoning.encrypted", "data": "y"},
            ],
        },
    ),
    "annotations": (
        [delta(annotations=[{"type": "url_citation", "u": 1}]), delta(annotations=[{"type": "url_citation", "u": 2}])],
        {
            "role": "assistant",
            "content": None,
            "annotations": [{"type": "url_citation", "u": 1}, {"type": "url_citation", "u": 2}],
        },
    ),
    "content in parts": (
        [
            delta(content=""),
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "H"}]}]),
            delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]),
            delta(content=[{"type": "reference", "reference_ids": [1]}]),
            delta(content="Ye"),
            delta(content="s"),
        ],
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                {"type": "reference", "reference_ids": [1]},
                {"type": "text", "text": "Yes"},
            ],
        },
    ),
    "words before parts": (
        [delta(content="a"), delta(content=[{"type": "text", "text": "b"}])],
        {"role": "assistant", "content": [{"type": "text", "text": "ab"}]},
    ),
    "tools that Groq ran": (
        [
            delta(executed_tools=[{"index": 0, "type": "search", "arguments": "{}"}]),
            delta(executed_tools=[{"index": 0, "type": "search", "arguments": "{}", "output": "o"}]),
        ],
        {
            "role": "assistant",
            "content": None,
            "executed_tools": [{"index": 0, "type": "search", "arguments": "{}", "output": "o"}],
        },
    ),
    "fields nobody knows": (
        [delta(x="a", y=[1], z={"a": {"b": "1"}}, n=1, channel="c"), delta(x="b", y=[2], z={"a": {"b": "2"}}, n=2,
            channel="c")],
        {
            "role": "assistant",
            "content": None,
            "x": "ab",
            "y": [1, 2],
            "z": {"a": {"b": "12"}},
            "n": 2,
            "channel": "c",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), MESSAGES.values(), ids=MESSAGES)
def test_deltas_become_a_message(events: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert message(*events) == expected


def test_choices_that_come_mixed_are_told_apart_and_ordered() -> None:
    body = folded(delta(1, content="b"), delta(0, content="a"), delta(1, content="B"), finish("length", 1), finish())

    assert [(item["index"], item["message"]["content"], item["finish_reason"]) for item in body["choices"]] == [
        (0, "a", "stop"),
        (1, "bB", "length"),
    ]


def test_logprobs_are_joined() -> None:
    pieces: list[Any] = [
        {"content": [], "refusal": None},
        {"content": [{"token": "a"}], "refusal": None},
        None,
        {"content": [{"token": "b"}], "refusal": None},
    ]
    events = [{"choices": [{"index": 0, "delta": {}, "logprobs": piece}]} for piece in pieces]

    assert folded(*events)["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}


def test_members_beside_the_delta_are_kept_objects_merged_of_others_the_last() -> None:
    events: list[dict[str, Any]] = [
        {"choices": [], "prompt_filter_results": [1], "id": "", "x": {"a": 1}},
        {"choices": [{"index": 0, "content_filter_results": {"hate": 1}, "seed": 1}], "id": "c", "x": {"b": 2}},
        {"choices": [{"index": 0, "delta": {"content": "x"}, "content_filter_results": {"code": 2}, "seed": None}]},
    ]

    assert folded(*events) == {
        "id": "c",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x"},
                "content_filter_results": {"hate": 1, "code": 2},
                "seed": 1,
            }
        ],
        "prompt_filter_results": [1],
        "x": {"a": 1, "b": 2},
    }


def test_a_message_repeated_beside_the_deltas_counts_only_where_no_delta_comes() -> None:
    beside = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}, "delta": {"content": "b"}}]}
    alone = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ab"}}]}

    assert message(delta(content="a"), beside)["content"] == "ab"
    assert message(alone)["content"] == "ab"


@pytest.mark.parametrize(
    ("events", "complete"),
    [
        ([], False),
        ([{"choices": [], "usage": {}}], False),
        ([delta(content="x")], False),
        ([delta(content="x"), finish()], True),
        ([finish("length")], True),
        ([{"choices": [{"index": 0, "delta": {}, "finish_details": {"type": "max_tokens"}}]}], True),
        ([{"choices": [{"index": 0, "delta": {}, "finish_reason": ""}]}], False),
        ([delta(content="x"), finish(), finish()], True),
        ([delta(content="x"), delta(1, content="y"), finish()], False),
        ([finish(), delta(1, content="y")], False),
        ([finish(), finish(index=1)], True),
    ],
)
def test_a_stream_is_complete_when_every_choice_has_finished(events: list[dict[str, Any]], complete: bool) -> None:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)

    assert fold.complete is complete


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"choices": [1]},
        {"choices": {"a": 1}},
        {"choices": [{"index": "x"}]},
        {"choices": [{"index": []}]},
        {"choices": [{"index": True}]},
        {"choices": [{"index": 0, "delta": "x"}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": ["x"]}}]},
    ],
    ids=str,
)
def test_an_event_that_contradicts_the_wire_is_an_error(event: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.fold().feed(event)


def test_a_missing_index_is_the_first_choice() -> None:
    body = folded({"choices": [{"delta": {"content": "a"}}]}, delta(content="b"), {"choices": [{"index": None}]})

    assert body["choices"] == [{"index": 0, "message": {"role": "assistant", "content": "ab"}}]


def test_nothing_of_an_event_is_kept_and_a_body_taken_early_stays_as_it_was() -> None:
    calls = [{"index": 0, "function": {"name": "f", "arguments": "{}"}, "extra": {"a": 1}}]
    event = delta(content="x", annotations=[{"a": [1]}], tool_calls=calls)
    event |= {"usage": {"total_tokens": 1}, "x": [{"y": 1}]}
    fold = WIRE.fold()
    fold.feed(event)
    early, expected = fold.body(), copy.deepcopy(fold.body())
    event["choices"][0]["delta"]["annotations"][0]["a"].append(2)
    event["choices"][0]["delta"]["tool_calls"][0]["extra"]["a"] = 2
    event["usage"]["total_tokens"] = event["x"][0]["y"] = 2

    assert fold.body() == expected
    early["choices"].clear()
    early["x"][0]["y"] = 3
    assert fold.body() == expected


def test_cuts_are_short_for_a_long_text() -> None:
    fold = WIRE.fold()
    fold.feed(delta(role="assistant", content=""))
    for _ in range(5):
        fold.feed(delta(content="ab"))
    fold.feed(finish())
    fold.feed({"choices": [], "usage": {"total_tokens": 1}})

    assert fold.cuts() == [[[0, "content", 0]], 2, 2, 2, 2, 2, [[0, "finish_reason"]], [["usage"]]]


def test_chunks_without_choices_and_without_delta_are_readable() -> None:
    translator = WIRE.translator()
    events: list[dict[str, Any]] = [
        {"choices": [], "prompt_filter_results": []},
        {"choices": None, "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
        {"choices": [{"index": 0, "content_filter_results": {}}]},
        {"choices": [], "x_groq": {"usage": {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}}},
        {"choices": [], "ostinato": [[["object"]]]},
    ]

    chunks = [chunk for event in events for chunk in translator.feed(event)] + translator.end()

    assert [list(chunk.choices) for chunk in chunks[:2]] == [[], []]
    assert chunks[1].usage is not None
    assert chunks[1].usage.prompt_tokens_details is not None
    assert chunks[1].usage.prompt_tokens_details.cached_tokens == 0
    assert chunks[2].choices[0].delta.content is None
    assert chunks[3].usage is not None
    assert chunks[3].usage.total_tokens == 9
    assert list(chunks[4]) == ["choices"]


@pytest.mark.parametrize("mends", [[[[None], None]], [[[1.5], 1]], [[["choices", 0, 3], 1]], [[[], 1]], [1], "x"])
def test_what_a_vendor_writes_in_our_member_spoils_no_body(mends: Any) -> None:
    fold = WIRE.fold()
    for event in (delta(content="a"), finish(), {"choices": [], "ostinato": mends}):
        fold.feed(event)

    body = fold.body()
    assert body["choices"][0]["message"]["content"] == "a"
    assert msgspec.json.decode(msgspec.json.encode(body)) == body
