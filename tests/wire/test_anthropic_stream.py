from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import APIResponseError
from ostinato.records import Chunk
from ostinato.wire.anthropic import WIRE

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
}
START = {"type": "message_start", "message": MESSAGE}
STOP = {"type": "message_stop"}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str, **usage: Any) -> dict[str, Any]:
    counts = {"output_tokens": 7, **usage}
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": counts}


def folded(*events: dict[str, Any]) -> Any:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold


def chunked(*events: dict[str, Any]) -> list[Chunk]:
    translator = WIRE.translator()
    return [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()


def tool_stream(*pieces: str) -> list[dict[str, Any]]:
    tool = begin(0, type="tool_use", id="t", name="f", input={})
    given = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    return [START, tool, *given, stop(0), end("tool_use"), STOP]


def test_counts_of_the_last_event_replace_those_of_the_first_and_a_null_replaces_nothing() -> None:
    body = folded(START, end("end_turn", input_tokens=20, cache_read_input_tokens=None, speed=None), STOP).body()

    assert body["usage"] == {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 7, "speed": None}


@pytest.mark.parametrize(
    ("pieces", "given"),
    [
        ((), {}),
        (("",), {}),
        (("", '{"a"', ": [1.5]}"), {"a": [1.5]}),
        (("{}",), {}),
        (('{"a": "b',), '{"a": "b'),
        (("null",), None),
    ],
)
def test_the_input_of_a_tool_is_decoded_when_it_is_whole_and_stays_a_text_when_it_was_cut(
    pieces: tuple[str, ...], given: Any
) -> None:
    events = tool_stream(*pieces)
    fold = folded(*events)

    assert fold.body()["content"] == [{"type": "tool_use", "id": "t", "name": "f", "input": given}]
    assert list(WIRE.unfold(fold.body(), fold.cuts())) == events
    assert (WIRE.incomplete(fold.body()) is None) == isinstance(given, dict)


def test_an_input_that_came_with_the_start_of_a_tool_stays_where_no_piece_follows() -> None:
    tool = begin(0, type="tool_use", id="t", name="f", input={"a": 1})
    events = [START, tool, delta(0, "input_json_delta", partial_json=""), stop(0), end("tool_use"), STOP]

    assert folded(*events).body()["content"][0]["input"] == {"a": 1}


def test_what_only_the_end_says_is_not_in_the_first_event() -> None:
    last = {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": {"type": "refusal"}},
        "usage": {},
    }
    events: list[dict[str, Any]] = [START, last, STOP]
    fold = folded(*events)
    metered = {**fold.body(), "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}}
    first, *_, stopped = WIRE.unfold(metered, None)

    assert list(WIRE.unfold(fold.body(), fold.cuts())) == events
    assert first["message"].keys() == MESSAGE.keys() | {"stop_details"}
    assert stopped["amazon-bedrock-invocationMetrics"] == {"inputTokenCount": 1}


def test_a_cut_input_reads_as_the_arguments_that_came() -> None:
    body = folded(*tool_stream('{"a": "b')).body()

    assert WIRE.parse(body).choices[0].message.tool_calls[0].function.arguments == '{"a": "b'  # type: ignore[index]


def test_a_call_without_arguments_has_the_same_ones_streamed_and_not() -> None:
    events = tool_stream("")
    pieces = [
        call["function"]["arguments"]
        for chunk in chunked(*events)
        for choice in chunk.choices
        for call in choice["delta"].get("tool_calls", ())
    ]

    assert "".join(pieces) == "{}"
    assert WIRE.parse(folded(*events).body()).choices[0].message.tool_calls[0].function.arguments == "{}"  # type: ignore[index]


def test_a_text_grows_by_its_pieces_and_its_citations_and_thinking_is_signed() -> None:
    events = [
        START,
        begin(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="h"),
        delta(0, "thinking_delta", thinking="m"),
        delta(0, "signature_delta", signature="sig"),
        stop(0),
        begin(1, type="redacted_thinking", data="x"),
        stop(1),
        begin(2, type="text", text="", citations=[]),
        delta(2, "text_delta", text="a"),
        delta(2, "citations_delta", citation={"url": "u1"}),
        delta(2, "text_delta", text="b"),
        delta(2, "citations_delta", citation={"url": "u2"}),
        stop(2),
        end("end_turn"),
        STOP,
    ]
    fold = folded(*events)

    assert fold.body()["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "ab", "citations": [{"url": "u1"}, {"url": "u2"}]},
    ]
    assert list(WIRE.unfold(fold.body(), fold.cuts())) == events


def test_deltas_newer_than_this_wire_set_the_members_they_have() -> None:
    events = [
        START,
        begin(0, type="compaction", content=None),
        delta(0, "compaction_delta", content="summary"),
        stop(0),
        {**end("end_turn"), "context_management": {"applied_edits": []}},
        STOP,
    ]
    fold = folded(*events)

    assert fold.body()["content"] == [{"type": "compaction", "content": "summary"}]
    assert fold.body()["context_management"] == {"applied_edits": []}
    assert list(WIRE.unfold(fold.body(), fold.cuts())) == events


@pytest.mark.parametrize(
    "events",
    [
        [begin(0, type="text", text="")],
        [START, START],
        [START, delta(0, "text_delta", text="a")],
        [START, begin(1, type="text", text="")],
        [START, begin(0, type="text", text=""), delta(0, "thinking_delta", thinking="a")],
        [START, begin(0, type="tool_use", input={}), delta(0, "text_delta", text="a")],
        [START, begin(0, type="text", text=""), delta(0, "text_delta", text=1)],
        [START, begin(0, type="text", text=""), {"type": "content_block_delta", "index": 0}],
        [{"type": "message_start"}],
        [{"no": "type"}],
        [end("end_turn")],
        [STOP],
    ],
)
def test_an_event_that_contradicts_the_wire_is_an_error(events: list[dict[str, Any]]) -> None:
    with pytest.raises(APIResponseError):
        folded(*events)


def test_a_stream_is_complete_with_its_last_event_and_pings_and_news_change_nothing() -> None:
    events: list[dict[str, Any]] = [START, {"type": "ping"}, {"type": "brand_new"}, end("end_turn")]

    assert not folded(*events).complete
    assert folded(*events, STOP).complete
    assert folded(START, end("end_turn")).body() == folded(*events).body()


def test_a_fold_keeps_nothing_of_an_event() -> None:
    events = copy.deepcopy(
        [START, begin(0, type="x", content=[{"a": 1}]), stop(0), end("end_turn", server_tool_use={"n": 1}), STOP]
    )
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
        for member in event.values():
            if isinstance(member, dict):
                for value in member.values():
                    if isinstance(value, dict | list):
                        value.clear()

    body = fold.body()
    assert body["content"] == [{"type": "x", "content": [{"a": 1}]}]
    assert body["usage"]["server_tool_use"] == {"n": 1}
    body["content"].clear()
    assert fold.body()["content"]


def test_chunks_name_the_role_first_and_say_usage_last() -> None:
    chunks = chunked(
        START,
        begin(0, type="text", text=""),
        delta(0, "text_delta", text=""),
        delta(0, "text_delta", text="a"),
        stop(0),
        end("max_tokens"),
        STOP,
    )

    assert [dict.get(chunk, "choices") for chunk in chunks] == [
        [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}],
        [
            {
                "index": 0,
                "delta": {},
                "finish_reason": "length",
                "native_finish_reason": "max_tokens",
                "stop_sequence": None,
            }
        ],
        [],
    ]
    assert chunks[-1].usage.prompt_tokens == 15  # type: ignore[union-attr]
    assert {(chunk.id, chunk.model, chunk.object) for chunk in chunks} == {
        ("msg_1", "claude-sonnet-4-5", "chat.completion.chunk")
    }


def test_usage_is_told_once_also_where_the_stream_breaks_off_behind_it() -> None:
    translator = WIRE.translator()
    translator.feed(copy.deepcopy(START))
    translator.feed(end("end_turn"))

    assert [bool(chunk.usage) for chunk in translator.end()] == [True]
    assert translator.end() == []


def test_parallel_calls_are_numbered_apart_from_the_tools_of_the_vendor() -> None:
    events = [START, begin(0, type="server_tool_use", id="s", name="web_search", input={}), stop(0)]
    for index, name in ((1, "f"), (2, "g")):
        events += [
            begin(index, type="tool_use", id=name, name=name, input={}, caller={"type": "direct"}),
            delta(index, "input_json_delta", partial_json='{"n":'),
            delta(index, "input_json_delta", partial_json=f"{index}}}"),
            stop(index),
        ]
    chunks = chunked(*events, end("tool_use"), STOP)
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice["delta"].get("tool_calls", ())]

    assert [call["index"] for call in calls] == [0, 0, 0, 1, 1, 1]
    assert calls[0]["caller"] == {"type": "direct"}
    assert "".join(call["function"]["arguments"] for call in calls) == '{"n":1}{"n":2}'
    assert chunks[-2].choices[0].finish_reason == "tool_calls"
    assert len(chunks[-2].choices[0].delta["content_blocks"]) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
CITATIONS = st.none() | st.lists(
    st.fixed_dictionaries({"type": st.just("page_location"), "cited_text": st.text(max_size=3)}), max_size=2
)
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=6)}, optional={"citations": CITATIONS}),
    st.fixed_dictionaries(
        {"type": st.just("thinking"), "thinking": st.text(max_size=6)}, optional={"signature": st.text(max_size=4)}
    ),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": st.text(max_size=4)}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": st.text(max_size=4),
            "name": st.text(max_size=4),
            "input": st.dictionaries(st.text(max_size=3), JSON, max_size=3) | JSON,
        },
        optional={"caller": st.just({"type": "direct"})},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["web_search_tool_result", "compaction", "brand_new"]), "content": JSON}
    ),
)
USAGE = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 9), "output_tokens": st.integers(0, 9)},
    optional={
        "cache_read_input_tokens": st.none() | st.integers(0, 9),
        "cache_creation": st.just({"ephemeral_5m_input_tokens": 1}),
        "server_tool_use": st.none() | st.just({"web_search_requests": 1}),
        "iterations": st.none() | st.just([{"type": "message", "input_tokens": 1}]),
        "service_tier": st.just("standard"),
    },
)
BODIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "id": st.text(max_size=4),
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": st.text(max_size=4),
        "content": st.lists(BLOCKS, max_size=4),
    },
    optional={
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "brand_new"]),
        "stop_sequence": st.none() | st.text(max_size=2),
        "stop_details": st.none() | st.just({"type": "refusal"}),
        "container": st.none() | st.just({"id": "c"}),
        "context_management": st.none() | st.just({"applied_edits": []}),
        "usage": USAGE,
        "brand_new": JSON,
    },
)


@settings(max_examples=300)
@given(BODIES)
def test_any_body_folds_to_itself_when_it_is_unfolded(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    fold = folded(*WIRE.unfold(body, None))

    assert body == before
    assert fold.complete
    assert fold.body() == body
    again = folded(*WIRE.unfold(body, msgspec.json.decode(msgspec.json.encode(fold.cuts()))))
    assert again.body() == body


@settings(max_examples=200)
@given(BODIES, st.data())
def test_a_stream_cut_anywhere_comes_back_cut_the_same(body: dict[str, Any], data: st.DataObject) -> None:
    events = []
    for event in WIRE.unfold(body, None):
        events += _cut(event, data) if event["type"] == "content_block_delta" else [event]
    fold = folded(*events)
    cuts = msgspec.json.decode(msgspec.json.encode(fold.cuts()))

    assert fold.body() == body
    assert list(WIRE.unfold(fold.body(), cuts)) == events


def _cut(event: dict[str, Any], data: st.DataObject) -> list[dict[str, Any]]:
    member = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}.get(
        event["delta"]["type"]
    )
    if member is None:
        return [event]
    text = event["delta"][member]
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    pieces = [text[begin:stop] for begin, stop in zip([0, *places], [*places, len(text)], strict=True)]
    return [{**event, "delta": {**event["delta"], member: piece}} for piece in pieces]


def test_cuts_of_another_body_still_give_the_whole_body() -> None:
    body = folded(
        START, begin(0, type="text", text=""), delta(0, "text_delta", text="abc"), stop(0), end("end_turn"), STOP
    ).body()

    others: tuple[list[Any], ...] = (
        [[[9]], None, None],
        [[[1, None]], None, None],
        [[["x"]], None, None],
        [[], None, None],
    )
    for cuts in others:
        assert folded(*WIRE.unfold(body, cuts)).body() == body
