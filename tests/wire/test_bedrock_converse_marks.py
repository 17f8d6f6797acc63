from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.contract import Call
from tests.wire.bedrock import BEDROCK, SONNET, complaints

Json = dict[str, Any]
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
POINT = {"cachePoint": {"type": "default"}}
HOUR_POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}


def build(messages: list[Json], model: str = SONNET, **params: Any) -> Json:
    body = WIRE.build(Call(model, messages, params), BEDROCK).body
    assert complaints(body) == ""
    return body


def text(words: str, mark: Json | None = None) -> Json:
    return {"type": "text", "text": words} | ({"cache_control": mark} if mark else {})


def tool(mark: Json | None = None) -> Json:
    return {"type": "function", "function": {"name": "f"}} | ({"cache_control": mark} if mark else {})


def test_every_mark_becomes_a_point_behind_what_it_closes() -> None:
    body = build(
        [
            {"role": "system", "content": [text("S", MARK)]},
            {"role": "user", "content": [text("big", HOUR), text("q")]},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "again", "cache_control": MARK},
        ],
        tools=[tool(MARK)],
    )

    assert body["system"] == [{"text": "S"}, POINT]
    assert body["messages"][0]["content"] == [{"text": "big"}, HOUR_POINT, {"text": "q"}]
    assert body["messages"][2]["content"] == [{"text": "again"}, POINT]
    assert body["toolConfig"]["tools"][1] == POINT


def test_a_mark_on_the_request_stands_at_its_end() -> None:
    assert build([{"role": "user", "content": "a"}], cache_control=MARK)["messages"][0]["content"] == [
        {"text": "a"},
        POINT,
    ]


def test_a_mark_twice_in_one_place_is_one() -> None:
    body = build([{"role": "user", "content": [text("a", MARK)], "cache_control": HOUR}])

    assert body["messages"][0]["content"] == [{"text": "a"}, POINT]


def test_a_mark_on_an_empty_text_goes_with_it() -> None:
    body = build([{"role": "user", "content": [text("a"), text("", MARK)]}])

    assert body["messages"][0]["content"] == [{"text": "a"}]


def test_a_mark_on_a_tools_result_stands_behind_the_result() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "cache_control": MARK}
    result = {"role": "tool", "tool_call_id": "t1", "content": [text("1", HOUR)]}
    body = build(
        [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}, result], tools=[tool()]
    )

    assert body["messages"][1]["content"][1] == POINT
    assert body["messages"][2]["content"][1] == HOUR_POINT


def test_a_mark_on_nothing_but_reasoning_is_left_out() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    messages: list[Json] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "thinking_blocks": [thought], "cache_control": MARK},
        {"role": "user", "content": "b"},
    ]

    assert POINT not in build(messages)["messages"][1]["content"]


def test_over_the_limit_the_oldest_marks_of_messages_give_way() -> None:
    messages: list[Json] = [
        {"role": "system", "content": "S", "cache_control": MARK},
        *(
            {"role": role, "content": str(index), "cache_control": MARK}
            for index, role in enumerate(["user", "assistant"] * 3)
        ),
    ]
    body = build(messages, tools=[tool(MARK)])

    assert [POINT in turn["content"] for turn in body["messages"]] == [False] * 4 + [True] * 2
    assert POINT in body["system"]
    assert POINT in body["toolConfig"]["tools"]


def test_several_marks_over_the_limit_in_one_message_go_from_the_front() -> None:
    body = build([{"role": "user", "content": [text(str(index), MARK) for index in range(6)]}])

    assert [block == POINT for block in body["messages"][0]["content"]] == [False, False, *([False, True] * 4)]


@pytest.mark.parametrize(
    ("model", "system", "tools"),
    [
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", [POINT], [POINT]),
        ("anthropic.claude-3-haiku-20240307-v1:0", [], []),
        ("anthropic.claude-v2:1", [], []),
        ("us.anthropic.claude-opus-4-8", [HOUR_POINT], [HOUR_POINT]),
        ("global.anthropic.claude-sonnet-5", [HOUR_POINT], [HOUR_POINT]),
        ("us.amazon.nova-lite-v1:0", [POINT], []),
        ("meta.llama3-8b-instruct-v1:0", [], []),
        ("openai.gpt-oss-120b-1:0", [], []),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", [HOUR_POINT], [HOUR_POINT]),
    ],
)
def test_a_model_gets_the_marks_that_it_knows(model: str, system: list[Json], tools: list[Json]) -> None:
    messages: list[Json] = [{"role": "system", "content": "S", "cache_control": HOUR}, {"role": "user", "content": "a"}]
    body = build(messages, model, tools=[tool(HOUR)])

    assert body["system"][1:] == system
    assert body["toolConfig"]["tools"][1:] == tools


def test_marks_and_accounting_are_no_part_of_a_key() -> None:
    messages: list[Json] = [{"role": "system", "content": "S"}, {"role": "user", "content": [text("a"), text("b")]}]
    marked: list[Json] = [
        {**messages[0], "cache_control": HOUR},
        {"role": "user", "content": [text("a", MARK), text("b", HOUR)]},
    ]
    plain = build(messages, tools=[tool()])
    body = build(
        marked, tools=[tool(MARK)], cache_control=MARK, metadata={"a": "b"}, performanceConfig={"latency": "optimized"}
    )
    before = json.dumps(body)

    assert WIRE.keyed_body(body) == WIRE.keyed_body(plain) == plain
    assert json.dumps(body) == before


def test_a_parameter_of_a_tool_that_is_called_like_a_mark_counts() -> None:
    def keyed(properties: Json) -> Json:
        function = {"name": "f", "parameters": {"type": "object", "properties": properties}}
        return WIRE.keyed_body(
            build([{"role": "user", "content": "a"}], tools=[{"type": "function", "function": function}])
        )

    assert keyed({"cachePoint": {"type": "string"}}) != keyed({})
    assert keyed({"requestMetadata": {"type": "string"}}) != keyed({})


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
calls = st.builds(
    lambda name, value: {
        "id": f"t{name}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps({"a": value})},
    },
    st.sampled_from(["f", "g"]),
    words,
)
answers = st.builds(
    lambda content, called, thought: {
        "role": "assistant",
        "content": content,
        "tool_calls": called,
        "thinking_blocks": thought,
    },
    words,
    st.lists(calls, max_size=2),
    st.lists(st.just({"type": "thinking", "thinking": "hm", "signature": "s"}), max_size=1),
)
turns = st.one_of(
    words.map(lambda said: {"role": "user", "content": said}),
    st.lists(words.map(text), min_size=1, max_size=3).map(lambda parts: {"role": "user", "content": parts}),
    words.map(lambda said: {"role": "system", "content": said}),
    words.map(lambda said: {"role": "tool", "tool_call_id": "tf", "content": said}),
    answers,
)


@given(st.lists(turns, min_size=2, max_size=8), st.integers(1, 7))
def test_what_was_sent_is_a_prefix_of_what_is_sent_next_to_the_byte(conversation: list[Json], size: int) -> None:
    start = [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}]
    params = {"tools": [tool()], "max_tokens": 9}
    shorter = json.dumps(WIRE.build(Call(SONNET, [*start, *conversation[:size]], params), BEDROCK).body)
    longer = json.dumps(WIRE.build(Call(SONNET, [*start, *conversation], params), BEDROCK).body)

    # What closes the last turn, the list of turns and the body is all that may differ.
    assert shorter.endswith("]}]}")
    assert longer.startswith(shorter.removesuffix("]}]}"))
