from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import APIResponseError
from ostinato.records import Completion
from ostinato.wire.bedrock_converse import WIRE
from tests.corpus import open_index
from tests.wire.bedrock import answered, bodies, body_of, botocore_events, events_of, json_values, streamed

Json = dict[str, Any]
Event = dict[str, Any]


def folded(events: list[Event]) -> Any:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold


def unpadded(events: list[Event]) -> list[Event]:
    return [
        {name: {key: item for key, item in payload.items() if key != "p"} for name, payload in event.items()}
        for event in events
    ]


def accumulated(events: list[Event]) -> Json:
    """Gather a recorded stream in the plainest way there is."""
    blocks: dict[int, Json] = {}
    body: Json = {}
    for event in events:
        ((name, payload),) = event.items()
        if name == "messageStart":
            body["output"] = {"message": {"role": payload["role"]}}
        elif name == "contentBlockStart":
            ((kind, start),) = payload["start"].items()
            blocks[payload["contentBlockIndex"]] = {
                kind: dict(start) | {"input" if kind == "toolUse" else "content": "" if kind == "toolUse" else []}
            }
        elif name == "contentBlockDelta":
            add(blocks.setdefault(payload["contentBlockIndex"], {}), payload["delta"])
        elif name == "messageStop":
            body["stopReason"] = payload["stopReason"]
        elif name == "metadata":
            body |= {key: item for key, item in payload.items() if key != "p"}
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    body["output"]["message"]["content"] = [blocks[index] for index in sorted(blocks)]
    return body


def add(block: Json, delta: Json) -> None:
    if "text" in delta and "citationsContent" in block:
        parts = block["citationsContent"].setdefault("content", [{"text": ""}])
        parts[0]["text"] += delta["text"]
    elif "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "toolResult" in delta:
        block["toolResult"]["content"] += delta["toolResult"]
    elif "citation" in delta:
        block.setdefault("citationsContent", {"citations": []})["citations"].append(delta["citation"])
    elif "redactedContent" in delta["reasoningContent"]:
        block["reasoningContent"] = delta["reasoningContent"]
    else:
        ((kind, piece),) = delta["reasoningContent"].items()
        text = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        text[kind] = text.get(kind, "") + piece


def test_a_recorded_stream_folds_to_what_its_events_add_up_to() -> None:
    index = open_index()
    for record in streamed():
        fold = folded(events_of(record))
        body, row = fold.body(), index[record["id"]]

        assert fold.complete
        assert body == accumulated(botocore_events(record)), record["id"]
        assert body["stopReason"] == row["finish"]
        assert body["usage"] == row["usage"]
        assert sum("toolUse" in block for block in body["output"]["message"]["content"]) == row["tool_calls"]


def test_a_recorded_stream_is_given_again_piece_by_piece() -> None:
    for record in streamed():
        events = events_of(record)
        fold = folded(events)
        cuts = json.loads(json.dumps(fold.cuts()))

        assert list(WIRE.unfold(fold.body(), cuts)) == unpadded(events), record["id"]


def test_a_recorded_answer_unfolds_to_a_stream_that_folds_to_it() -> None:
    for record in answered():
        events = list(WIRE.unfold(body_of(record), None))

        assert folded(events).body() == record["response"]["json"], record["id"]
        assert "ostinato" not in json.dumps(events), record["id"]


@given(bodies)
def test_any_answer_unfolds_to_a_stream_that_folds_to_it(body: Json) -> None:
    fold = folded(list(WIRE.unfold(json.loads(json.dumps(body)), None)))

    assert fold.body() == body
    assert folded(list(WIRE.unfold(body, fold.cuts()))).body() == body


@given(st.dictionaries(st.sampled_from(["output", "stopReason", "usage", "metrics", "p", "x"]), json_values))
def test_even_a_body_that_is_no_answer_unfolds_to_itself(body: Json) -> None:
    assert folded(list(WIRE.unfold(body, None))).body() == body


@given(
    bodies,
    st.recursive(
        st.one_of(st.integers(-3, 9), st.sampled_from(["text", "start", "input", "metadata", "other"])), st.lists
    ),
)
def test_cuts_of_another_answer_do_no_harm(body: Json, cuts: Any) -> None:
    cuts = cuts if isinstance(cuts, list) else [cuts]

    assert folded(list(WIRE.unfold(body, cuts))).body() == body


EVENTS: list[Event] = [
    {"messageStart": {"role": "assistant", "p": "ab"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "m"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "sig"}}}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "ye"}}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": ""}}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "s"}}},
    {"contentBlockStop": {"contentBlockIndex": 1}},
    {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ""}}}},
    {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"a": '}}}},
    {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "1}"}}}},
    {"contentBlockStop": {"contentBlockIndex": 2}},
    {"contentBlockStart": {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t2", "name": "g"}}}},
    {"contentBlockStop": {"contentBlockIndex": 3}},
    {"messageStop": {"stopReason": "tool_use", "p": "a"}},
    {
        "metadata": {
            "usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8},
            "metrics": {"latencyMs": 1},
            "p": "a",
        }
    },
]


def chunks_of(events: list[Event]) -> list[Any]:
    translator = WIRE.translator()
    made = [chunk for event in json.loads(json.dumps(events)) for chunk in translator.feed(event)]
    return [*made, *translator.end()]


def test_a_stream_becomes_chunks_piece_by_piece() -> None:
    chunks = [chunk.model_dump() for chunk in chunks_of(EVENTS)]

    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "h"},
        {"reasoning_content": "m"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}]},
        {"content": "ye"},
        {"content": "s"},
        {"tool_calls": [{"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{"index": 1, "id": "t2", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-2:] == [None, "tool_calls"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 5
    assert "p" not in chunks[-1]


def gathered(chunks: list[Any]) -> Json:
    """Add chunks up the way callers do."""
    message: Json = {"content": None}
    record: Json = {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    calls: dict[int, Json] = {}
    for chunk in chunks:
        for choice in chunk.model_dump()["choices"]:
            for name, value in choice.pop("delta").items():
                if name == "tool_calls":
                    for piece in value:
                        gather_call(calls.setdefault(piece.pop("index"), {}), piece)
                elif name in {"content", "reasoning_content"}:
                    message[name] = (message.get(name) or "") + value
                elif isinstance(value, list):
                    message[name] = message.get(name, []) + value
                else:
                    message[name] = value
            record["choices"][0] |= choice
        record |= {name: value for name, value in chunk.model_dump().items() if name not in {"choices", "object"}}
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    message["content"] = message["content"] or None
    return record


def gather_call(call: Json, piece: Json) -> None:
    arguments = call.get("function", {}).get("arguments", "") + piece["function"].pop("arguments")
    function = call.get("function", {}) | piece.pop("function") | {"arguments": arguments}
    call |= piece | {"function": function}


def with_values(record: Json) -> Json:
    for call in record["choices"][0]["message"].get("tool_calls", ()):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    record["choices"][0]["message"]["content"] = record["choices"][0]["message"]["content"] or None
    return record


def test_the_chunks_of_a_recorded_stream_add_up_to_its_completion() -> None:
    for record in streamed():
        events = events_of(record)
        whole = WIRE.parse(folded(events).body())

        assert with_values(gathered(chunks_of(events))) == with_values(whole.model_dump()), record["id"]


@given(bodies)
def test_the_chunks_of_any_stream_add_up_to_its_completion(body: Json) -> None:
    whole = Completion(json.loads(json.dumps(WIRE.parse(json.loads(json.dumps(body))))))

    added = gathered(chunks_of(list(WIRE.unfold(body, None))))

    assert added["choices"][0]["message"].pop("thinking_blocks", []) == whole["choices"][0]["message"].pop(
        "thinking_blocks", []
    )
    assert added["choices"][0]["message"].get("reasoning_content", "") == (
        whole["choices"][0]["message"].get("reasoning_content") or ""
    )
    for record in (added, whole):
        dict.pop(record["choices"][0]["message"], "reasoning_content", None)
        record["choices"][0]["message"]["content"] = record["choices"][0]["message"]["content"] or None
    assert added == whole


def test_a_stream_that_was_cut_is_not_complete_and_says_what_came() -> None:
    for size in range(len(EVENTS) - 2):
        assert not folded(EVENTS[:size]).complete
    assert folded(EVENTS[:-1]).complete
    assert folded(EVENTS[:8]).body()["output"]["message"]["content"][1] == {"text": "yes"}
    assert folded([]).body() == {"output": {"message": {"content": []}}}


def test_arguments_cut_by_the_budget_are_kept_as_they_came_and_told() -> None:
    events = [
        *EVENTS[:12],
        {"contentBlockStop": {"contentBlockIndex": 2}},
        {"messageStop": {"stopReason": "max_tokens"}},
    ]
    fold = folded(events)
    body = fold.body()

    assert body["output"]["message"]["content"][2]["toolUse"]["input"] == '{"a": '
    assert WIRE.incomplete(body) == "the arguments of a tool call are no JSON"
    assert list(WIRE.unfold(body, fold.cuts())) == unpadded(events)


def test_redacted_reasoning_in_several_pieces_is_joined_byte_by_byte() -> None:
    def delta(piece: str) -> Event:
        return {
            "contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": piece}}}
        }

    fold = folded([delta("YQ=="), delta("YmM=")])

    assert fold.body()["output"]["message"]["content"] == [{"reasoningContent": {"redactedContent": "YWJj"}}]
    assert list(WIRE.unfold(fold.body(), fold.cuts())) == [delta("YQ=="), delta("YmM=")]


def test_a_block_that_starts_with_nothing_is_given_again_in_its_pieces() -> None:
    events: list[Event] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockStart": {"contentBlockIndex": 0, "start": {}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "a"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "b"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"metrics": {"latencyMs": 1}}},
    ]
    fold = folded(events)

    assert fold.body()["output"]["message"]["content"] == [{"text": "ab"}]
    assert list(WIRE.unfold(fold.body(), fold.cuts())) == events


def test_text_in_a_block_that_came_whole_reaches_the_caller() -> None:
    block = {"citationsContent": {"citations": [{"title": "t"}], "content": [{"text": "a"}, {"text": "b"}]}}
    body = {"output": {"message": {"role": "assistant", "content": [block]}}, "stopReason": "end_turn"}

    message = gathered(chunks_of(list(WIRE.unfold(body, None))))["choices"][0]["message"]

    assert message["content"] == "ab"
    assert message["citations"] == [{"title": "t"}]
    assert message["provider_specific_fields"] == {"converse_content": [block]}


def test_an_image_comes_as_its_format_and_its_source() -> None:
    image = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    body = {"output": {"message": {"role": "assistant", "content": [image]}}, "stopReason": "end_turn"}

    events = list(WIRE.unfold(body, None))

    assert events[1] == {"contentBlockStart": {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}}
    assert events[2]["contentBlockDelta"]["delta"] == {"image": {"source": {"bytes": "AA=="}}}


def test_events_of_an_unknown_kind_are_passed_over() -> None:
    events = [EVENTS[0], {"somethingNew": {"x": 1}}, *EVENTS[1:]]

    assert folded(events).body() == folded(EVENTS).body()
    assert len(chunks_of(events)) == len(chunks_of(EVENTS))


def test_members_of_a_delta_that_are_newer_are_kept_and_take_nothing_away() -> None:
    events = json.loads(json.dumps(EVENTS))
    for event in events:
        delta = event.get("contentBlockDelta", {}).get("delta", {})
        delta |= {"new": 1}
        for inner in delta.values():
            if isinstance(inner, dict):
                inner["new"] = {"x": 1}
    fold = folded(events)
    body = fold.body()

    plain, live, cut, again = (
        gathered(chunks_of(told))["choices"][0]["message"]
        for told in (EVENTS, events, list(WIRE.unfold(body, fold.cuts())), list(WIRE.unfold(body, None)))
    )
    assert {name: live[name] for name in plain} == plain
    for read in (cut, again, WIRE.parse(body).choices[0].message):
        assert (read["content"], read["reasoning_content"]) == (plain["content"], plain["reasoning_content"])
        assert [json.loads(call["function"]["arguments"]) for call in read["tool_calls"]] == [{"a": 1}, {}]
    assert body["output"]["message"]["content"][0]["reasoningContent"]["new"] == {"x": 1}
    assert body["output"]["message"]["content"][1]["new"] == 1


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"messageStart": 3},
        {"contentBlockDelta": {"delta": {"text": "x"}}},
        {"contentBlockDelta": {"contentBlockIndex": 1}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 7, "delta": {"reasoningContent": {"text": 3}}}},
        {"contentBlockStart": {"contentBlockIndex": 8}},
        {"contentBlockStop": {}},
    ],
)
def test_an_event_that_contradicts_the_wire_is_refused(event: Any) -> None:
    fold = folded([{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "x"}}}])

    with pytest.raises(APIResponseError):
        fold.feed(event)


def test_a_fold_keeps_nothing_of_an_event_that_may_change() -> None:
    events = json.loads(json.dumps(EVENTS))
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
        for payload in event.values():
            for value in payload.values():
                if isinstance(value, dict):
                    value.clear()

    assert fold.body() == folded(EVENTS).body()
