from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.wire import find_wire

WIRE = find_wire("openai_chat")


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


def message(*events: dict[str, Any]) -> dict[str, Any]:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    found: dict[str, Any] = fold.body()["choices"][0]["message"]
    return found


def call(name: str | None = None, arguments: str | None = None, /, **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return fields | {"function": {key: value for key, value in function.items() if value is not None}}


def whole(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


CALLS = {
    "in pieces, in parallel": [
        [call("f", "", index=0, id="a", type="function")],
        [call("g", "", index=1, id="b", type="function"), call(None, "{", index=0)],
        [call(None, "[]", index=1), call(None, "}", index=0)],
    ],
    "two pieces of one call in a chunk": [
        [call("f", "{", index=0, id="a", type="function"), call(None, "}", index=0)],
        [call("g", "[]", index=1, id="b", type="function")],
    ],
    "id and name again, or empty": [
        [call("f", "{", index=0, id="a", type="function"), call("g", "[", index=1, id="b", type="function")],
        [call("f", "}", index=0, id="a", type="function"), call("", "]", index=1, id="", type="function")],
    ],
    "another id without a name": [
        [call("f", "{", index=0, id="a", type="function"), call("g", "[]", index=1, id="b", type="function")],
        [call(None, "}", index=0, id="other")],
    ],
    "no index, whole": [[call("f", "{}", id="a", type="function"), call("g", "[]", id="b", type="function")]],
    "no index, in pieces by id": [
        [call("f", "{", id="a", type="function")],
        [call("g", "[]", id="b", type="function")],
        [call(None, "}", id="a")],
    ],
    "no index, in pieces by order": [
        [call("f", "{", id="a", type="function")],
        [call(None, "}")],
        [call("g", "[", id="b", type="function")],
        [call(None, "]")],
    ],
    "every one numbered 0": [
        [call("f", "{}", index=0, id="a", type="function")],
        [call("g", "[]", index=0, id="b", type="function")],
    ],
    "numbered from 1, out of order": [
        [call("g", "[]", index=2, id="b", type="function")],
        [call("f", "{}", index=1, id="a", type="function")],
    ],
    "an id that comes late": [
        [call("f", "{", index=0, type="function", id=""), call("g", "[]", index=1, id="b", type="function")],
        [call(None, "}", index=0, id="a")],
    ],
}


@pytest.mark.parametrize("chunks", CALLS.values(), ids=CALLS)
def test_tool_calls_are_put_together_however_they_are_numbered(chunks: list[list[dict[str, Any]]]) -> None:
    events = [delta(tool_calls=calls) for calls in chunks]

    assert message(*events)["tool_calls"] == [whole("a", "f", "{}"), whole("b", "g", "[]")]


@pytest.mark.parametrize("chunks", CALLS.values(), ids=CALLS)
def test_every_tool_call_of_a_chunk_has_a_number_of_its_own(chunks: list[list[dict[str, Any]]]) -> None:
    translator = WIRE.translator()
    texts: dict[int, str] = {}
    for calls in chunks:
        for chunk in translator.feed(copy.deepcopy(delta(tool_calls=calls))):
            for piece in chunk.choices[0].delta.tool_calls or ():
                texts[piece.index] = texts.get(piece.index, "") + piece.function.arguments

    assert sorted(texts.values()) == ["[]", "{}"]


@pytest.mark.parametrize("chunks", CALLS.values(), ids=CALLS)
def test_the_cuts_of_tool_calls_are_kept(chunks: list[list[dict[str, Any]]]) -> None:
    fold = WIRE.fold()
    for calls in chunks:
        fold.feed(delta(tool_calls=calls))

    events = list(WIRE.unfold(fold.body(), fold.cuts()))
    again = [event["choices"][0]["delta"]["tool_calls"] for event in events if event["choices"]]

    def pieces(stream: list[list[dict[str, Any]]]) -> list[str]:
        return ["".join(sorted(piece["function"].get("arguments", "") for piece in calls)) for calls in stream]

    assert pieces(again) == pieces(chunks)


def test_custom_tools_and_unknown_members_of_calls_are_kept() -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}, "extra": {"sig": "1"}}
    events = [delta(tool_calls=[first]), delta(tool_calls=[{"index": 0, "custom": {"input": "y"}}])]

    assert message(*events)["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "c", "input": "xy"}, "extra": {"sig": "1"}}
    ]


def test_a_function_that_is_null_at_first_is_none_yet() -> None:
    events = [
        delta(tool_calls=[{"index": 0, "id": "a", "function": None}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]),
    ]

    assert message(*events)["tool_calls"] == [{"id": "a", "function": {"arguments": "{}", "name": "f"}}]


def test_arguments_of_null_leave_the_ones_before() -> None:
    events = [delta(tool_calls=[call("f", "{}", index=0)]), delta(tool_calls=[call(index=0)])]
    events[1]["choices"][0]["delta"]["tool_calls"][0]["function"] = {"arguments": None}

    assert message(*events)["tool_calls"] == [{"function": {"name": "f", "arguments": "{}"}}]
