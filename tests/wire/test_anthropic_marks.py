from __future__ import annotations

import copy

import msgspec

from ostinato.wire.anthropic import WIRE
from ostinato.wire.contract import Built
from tests.wire.anthropic_calls import CALL, HOUR, MARK, TOOL, build, user


def test_a_message_mark_moves_to_the_last_block_that_can_carry_one() -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    messages = build(
        {"role": "user", "content": "BIG", "cache_control": MARK},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, thought], "cache_control": HOUR},
        {
            "role": "user",
            "content": [{"type": "text", "text": "b", "cache_control": HOUR}, {"type": "text", "text": ""}],
            "cache_control": MARK,
        },
        {"role": "tool", "tool_call_id": "x", "content": "r", "cache_control": MARK},
    )["messages"]

    assert messages[0]["content"] == [{"type": "text", "text": "BIG", "cache_control": MARK}]
    assert messages[1]["content"] == [{"type": "text", "text": "a", "cache_control": HOUR}, thought]
    assert messages[2]["content"] == [{"type": "text", "text": "b", "cache_control": HOUR}]
    assert messages[3]["content"][0]["cache_control"] == MARK


def test_over_the_limit_the_oldest_message_marks_give_way() -> None:
    marked = [{"role": "user", "content": str(number), "cache_control": MARK} for number in range(5)]
    body = build(
        {"role": "system", "content": "S", "cache_control": MARK},
        *marked,
        tools=[{**TOOL, "cache_control": MARK}],
        cache_control=MARK,
    )

    assert body["cache_control"] == MARK
    assert body["system"][0]["cache_control"] == MARK
    assert body["tools"][0]["cache_control"] == MARK
    assert ["cache_control" in message["content"][0] for message in body["messages"]] == [False] * 4 + [True]
    assert all("cache_control" in message for message in marked)


def test_no_mark_is_part_of_a_key_and_a_member_of_that_name_is() -> None:
    nested = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "x", "cache_control": MARK}],
    }
    schema = {"type": "object", "properties": {"cache_control": {"type": "string"}}}
    body = build(
        {"role": "system", "content": "S", "cache_control": MARK},
        user(nested, {"type": "text", "text": "q", "cache_control": HOUR}),
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": '{"cache_control":1}'}}]},
        tools=[{"type": "function", "function": {"name": "f", "parameters": schema}, "cache_control": MARK}],
        cache_control=MARK,
        user="me",
        service_tier="auto",
    )
    before = copy.deepcopy(body)

    keyed = WIRE.keyed_body(WIRE.streaming(Built("/", body)).body)

    assert body == before
    assert keyed.keys() == {"model", "max_tokens", "tools", "system", "messages"}
    assert msgspec.json.encode(keyed).count(b"cache_control") == 2
    assert keyed["tools"][0]["input_schema"] == schema
    assert keyed["messages"][1]["content"][0]["input"] == {"cache_control": 1}
