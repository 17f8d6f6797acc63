"""Streams of the Responses API: folded, unfolded, told as chunks."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from ostinato.errors import APIResponseError
from ostinato.wire.openai_responses import WIRE
from tests.wire.openai_responses_calls import answer, called, folded, official, said, texts, thought, without_nulls

Json = dict[str, Any]

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | words, lambda inner: st.lists(inner, max_size=2))
chances = st.lists(st.builds(lambda token: {"token": token, "logprob": -0.5}, words), max_size=3)
citations = st.lists(st.builds(lambda url: {"type": "url_citation", "url": url}, words), max_size=2)
text_parts = st.builds(
    lambda text, cited, likely: {"type": "output_text", "text": text, "annotations": cited, "logprobs": likely},
    words,
    citations,
    chances,
)
parts = st.one_of(
    text_parts,
    st.builds(lambda text: {"type": "output_text", "text": text}, words),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, words),
    st.builds(lambda value: {"type": "something_new", "value": value}, values),
)
statuses = st.sampled_from(["completed", "incomplete", None])
messages = st.builds(
    lambda content, status: {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    },
    st.lists(parts, max_size=3),
    statuses,
)
thoughts = st.builds(
    lambda summary, content, sealed: {
        "id": "r",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        "content": [{"type": "reasoning_text", "text": text} for text in content],
        "encrypted_content": sealed,
    },
    st.lists(words, max_size=2),
    st.lists(words, max_size=2),
    words,
)
calls = st.builds(
    lambda text, status: {
        "id": "f",
        "type": "function_call",
        "call_id": "c",
        "name": "n",
        "arguments": text,
        "status": status,
    },
    words,
    statuses,
)
others = st.sampled_from(
    [
        {"id": "x", "type": "custom_tool_call", "call_id": "c", "name": "n", "input": "1+1"},
        {"id": "w", "type": "web_search_call", "status": "completed", "action": {"type": "search"}},
        {"id": "i", "type": "code_interpreter_call", "status": "completed", "code": "1+1", "outputs": None},
        {"id": "y", "type": "mcp_call", "status": "completed", "name": "n", "arguments": "{}", "server_label": "s"},
        {"id": "t", "type": "tool_search_call", "status": "completed", "arguments": {"paths": []}},
        {"id": "z", "type": "something_new", "value": {"a": [1, None]}},
    ]
)
bodies = st.builds(
    lambda output, members, status: {**answer(*output, status=status), **members},
    st.lists(st.one_of(messages, thoughts, calls, others), max_size=4),
    st.dictionaries(st.sampled_from(["new_member", "service_tier", "metadata", "usage", "completed_at"]), values),
    st.sampled_from(["completed", "incomplete"]),
)


@given(bodies)
def test_any_body_unfolds_to_a_stream_that_folds_to_it(body: Json) -> None:
    before = copy.deepcopy(body)
    events = list(WIRE.unfold(body, None))
    fold = folded(events)

    assert fold.complete
    assert fold.body() == before
    assert body == before
    assert list(WIRE.unfold(body, fold.cuts())) == events


@given(bodies)
def test_any_stream_that_ends_without_its_output_folds_to_the_same_body(body: Json) -> None:
    *events, last = list(WIRE.unfold(body, None))
    last["response"]["output"] = []

    assert folded([*events, last]).body() == body


@given(bodies)
def test_deltas_alone_say_what_the_body_says(body: Json) -> None:
    bare = [event for event in WIRE.unfold(body, None) if not event["type"].endswith(".done")]

    assert texts(folded(bare[:-1]).body()) == texts(body)


@given(st.lists(st.tuples(words, st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_a_text_is_cut_again_where_it_was_cut(pieces: list[tuple[str, int, bool]]) -> None:
    chance = {"token": "a", "logprob": -0.5}
    cited = {"type": "url_citation", "url": "u"}
    content = {
        "type": "output_text",
        "text": "".join(text for text, _, _ in pieces),
        "annotations": [cited for *_, has in pieces if has],
        "logprobs": [chance for _, count, _ in pieces for _ in range(count)],
    }
    item = {**said(""), "content": [content]}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": answer(status="in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
    ]
    for text, count, has in pieces:
        delta = {"type": "response.output_text.delta", **place, "delta": text, "logprobs": [chance] * count}
        events.append(delta)
        if has:
            events.append({"type": "response.output_text.annotation.added", **place, "annotation": cited})
    events.append({"type": "response.completed", "response": answer(item)})
    fold = folded(events)
    again = list(WIRE.unfold(fold.body(), msgspec.json.decode(msgspec.json.encode(fold.cuts()))))

    told = [event for event in again if event["type"].endswith((".delta", "annotation.added"))]
    assert [(event["type"], event.get("delta"), event.get("logprobs")) for event in told] == [
        (event["type"], event.get("delta"), event.get("logprobs")) for event in events[2:-1]
    ]
    assert folded([*again[:-1], {**again[-1], "response": answer()}]).body() == answer(item)
    (done,) = [event for event in again if event["type"] == "response.output_text.done"]
    assert (done["text"], done["logprobs"]) == (content["text"], content["logprobs"])


@pytest.mark.parametrize("cuts", [[[[3]]], [[[99]]], [[["x"]]], [[[[1]]]], [[[None]]], "odd", [{}], [[[-1, 5]]]])
def test_cuts_that_do_not_fit_the_body_are_not_followed(cuts: Any) -> None:
    body = answer(said("hello"))

    assert folded(list(WIRE.unfold(body, cuts))[:-1]).body()["output"] == body["output"]


def test_the_events_are_those_that_the_official_types_know_in_the_order_of_the_vendor() -> None:
    body = answer(thought("hm"), said("Hello", logprobs=[]), called())
    events = list(WIRE.unfold(body, None))
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    for event in events:
        if "response" not in event:
            assert adapter.validate_python(event).type == event["type"]

    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    final, gathered = official(events)
    assert final == without_nulls(body)
    assert gathered == texts(body)


def test_an_answer_cut_by_its_limit_ends_as_incomplete() -> None:
    body = answer(said("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    last = list(WIRE.unfold(body, None))[-1]

    assert last["type"] == "response.incomplete"
    assert folded([last]).complete


@pytest.mark.parametrize("end", [None, {"type": "response.failed", "response": {"status": "failed"}}])
def test_a_stream_that_was_cut_or_failed_is_not_complete(end: Any) -> None:
    events = list(WIRE.unfold(answer(said("x")), None))[:-1]
    fold = folded([*events, *([end] if end else [])])

    assert not fold.complete
    assert WIRE.incomplete(fold.body()) is not None


def test_events_that_say_nothing_of_the_answer_change_nothing() -> None:
    body = answer(said("x"))
    events = list(WIRE.unfold(body, None))
    noise = [
        {"type": "keepalive", "sequence_number": 1},
        {"type": "response.web_search_call.searching", "item_id": "w", "output_index": 0},
        {"type": "response.something.new", "output_index": 5},
        {"type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": "AA"},
    ]

    assert folded([*events[:4], *noise, *events[4:]]).body() == body


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "response.completed"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0},
        {"type": "response.output_text.delta", "content_index": 0, "delta": "x"},
        {"type": "response.output_item.added", "output_index": 0, "item": []},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": [], "delta": "x"},
        {"type": "response.output_item.done", "output_index": 0, "item": None},
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": "x"},
        [],
    ],
)
def test_an_event_that_contradicts_the_wire_is_an_error(event: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.fold().feed(event)


def test_what_was_fed_is_not_kept() -> None:
    events = list(WIRE.unfold(answer(said("x", annotations=[{"type": "url_citation", "url": "u"}])), None))
    fold = folded(events)
    want = fold.body()
    for event in events:
        event.pop("item", None)
        for holder in ("response", "part"):
            if holder in event:
                event[holder].clear()

    assert fold.body() == want
    fold.body()["output"].clear()
    assert fold.body() == want


def translated(events: list[Json]) -> list[Any]:
    translator = WIRE.translator()
    return [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()


@given(bodies)
def test_chunks_say_what_the_completion_says(body: Json) -> None:
    completion = WIRE.parse(copy.deepcopy(body))
    message = completion.choices[0].message
    chunks = translated(list(WIRE.unfold(body, None)))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.choices]

    for member in ("content", "refusal", "reasoning_content"):
        assert "".join(delta.get(member) or "" for delta in deltas) == (dict.get(message, member) or "")
    assert deltas[-1].get("output_items") == dict.get(message, "output_items")
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == completion.choices[
        0
    ].finish_reason
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert len({piece["index"] for piece in pieces}) == len(dict.get(message, "tool_calls") or ())
    assert chunks[-1].usage == completion.usage or not isinstance(body.get("usage"), dict)


@given(bodies)
def test_chunks_are_the_same_where_items_come_whole(body: Json) -> None:
    whole = [event for event in WIRE.unfold(body, None) if not event["type"].endswith(".delta")]
    last = [event for event in whole if "output_item" not in event["type"]]
    told = [_words(translated(events)) for events in (list(WIRE.unfold(body, None)), whole, last)]

    assert told[0] == told[1] == told[2]


def _words(chunks: list[Any]) -> list[Any]:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.choices]
    said_ = ["".join(delta.get(name) or "" for delta in deltas) for name in ("content", "refusal", "reasoning_content")]
    given_: dict[int, str] = {}
    for delta in deltas:
        for piece in delta.get("tool_calls", ()):
            text = (piece.get("function") or piece["custom"]).get("arguments", "")
            given_[piece["index"]] = given_.get(piece["index"], "") + text
    return [*said_, given_]


def test_a_call_is_told_by_its_name_then_by_its_pieces() -> None:
    chunks = translated(list(WIRE.unfold(answer(called(), called("{}", "call_2")), [[[4, 11]], [[2]]])))
    pieces = [piece for chunk in chunks for choice in chunk.choices for piece in choice["delta"].get("tool_calls", ())]

    assert pieces == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"ci'}},
        {"index": 0, "function": {"arguments": 'ty":"Bern"}'}},
        {"index": 1, "id": "call_2", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_log_probabilities_come_beside_their_words() -> None:
    chance = {"token": "a", "logprob": -0.5}
    chunks = translated(list(WIRE.unfold(answer(said("ab", logprobs=[chance, chance])), [[[[1, 1], [1, 1]]]])))
    told = [choice.get("logprobs") for chunk in chunks for choice in chunk.choices if choice["delta"].get("content")]

    assert told == [{"content": [chance], "refusal": None}] * 2


def test_a_stream_that_was_cut_ends_without_a_reason() -> None:
    chunks = translated(list(WIRE.unfold(answer(said("x")), None))[:-1])

    assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices)
    assert all(chunk.usage is None for chunk in chunks)
