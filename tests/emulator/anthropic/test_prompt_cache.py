"""Anthropic's prompt cache: who reads what, who pays for which write, and for how long."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import LONG_S

Json = dict[str, Any]
Counts = tuple[int, int, int]
"""What was read, written for five minutes, and written for an hour."""

MODEL = "claude-sonnet-4-6"
FRAME = 3


def text(tokens: int, letter: str = "a", ttl: str | None = None) -> Json:
    """Return a text block that counts `tokens`; with a ttl, marked."""
    block: Json = {"type": "text", "text": letter * 4 * tokens}
    return block if ttl is None else {**block, "cache_control": {"type": "ephemeral", "ttl": ttl}}


def prompt(*system: Json, **more: Any) -> Json:
    return {"model": MODEL, "max_tokens": 100, "system": list(system), "messages": [user("hi")], **more}


def user(*content: Any) -> Json:
    blocks = [{"type": "text", "text": each} if isinstance(each, str) else each for each in content]
    return {"role": "user", "content": blocks}


def assistant(*content: Any) -> Json:
    return {**user(*content), "role": "assistant"}


def tool(name: str, **more: Any) -> Json:
    return {"name": name, "input_schema": {"type": "object"}, **more}


@pytest.fixture
def ask(http: httpx2.Client, emulator: Emulator) -> Callable[..., Counts]:
    def counted(request: Json, key: str = "k") -> Counts:
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        response = http.post(f"{emulator.anthropic_url}/v1/messages", json=request, headers=headers)
        assert response.status_code == 200, response.text
        return counts(response.json()["usage"])

    return counted


def counts(usage: Json) -> Counts:
    split = usage["cache_creation"]
    written = (split["ephemeral_5m_input_tokens"], split["ephemeral_1h_input_tokens"])
    assert sum(written) == usage["cache_creation_input_tokens"]
    return (usage["cache_read_input_tokens"], *written)


Ask = Callable[..., Counts]


def test_a_marked_system_prompt_is_written_then_read(ask: Ask) -> None:
    request = prompt(text(1024, ttl="5m"))

    assert [ask(request), ask(request)] == [(0, 1024, 0), (1024, 0, 0)]


def test_without_a_mark_nothing_is_cached(ask: Ask) -> None:
    assert [ask(prompt(text(5000))) for _ in range(2)] == [(0, 0, 0)] * 2


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-opus-5-5", 512),
        ("claude-haiku-5-5", 512),
        ("claude-opus-5", 512),
        ("claude-fable-5-1", 512),
        ("claude-mythos-5", 512),
        ("claude-opus-4-8", 1024),
        ("claude-sonnet-5", 1024),
        ("claude-sonnet-4-5-20250929", 1024),
        ("claude-opus-4-1-20250805", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-mythos-preview", 2048),
        ("claude-3-5-haiku-20241022", 2048),
        ("claude-opus-4-6", 4096),
        ("claude-opus-4-5", 4096),
        ("claude-haiku-4-5", 4096),
    ],
)
def test_a_prefix_below_the_minimum_of_its_model_is_silently_left_out(ask: Ask, model: str, minimum: int) -> None:
    short, long = (prompt(text(tokens, ttl="5m"), model=model) for tokens in (minimum - 1, minimum))

    assert [ask(short), ask(short)] == [(0, 0, 0)] * 2
    assert [ask(long), ask(long)] == [(0, minimum, 0), (minimum, 0, 0)]


def test_what_is_uncached_is_the_rest(http: httpx2.Client, emulator: Emulator) -> None:
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    request = prompt(text(1024, ttl="5m"), messages=[user(text(50))])
    usages = [
        http.post(f"{emulator.anthropic_url}/v1/messages", json=request, headers=headers).json()["usage"]
        for _ in range(2)
    ]

    assert [usage["input_tokens"] for usage in usages] == [50 + 2 * FRAME] * 2


def test_tools_system_and_messages_are_one_prefix(ask: Ask) -> None:
    tools = [tool("f", description="x" * 4000), tool("g", cache_control={"type": "ephemeral"})]
    messages = [user(text(500, "m", ttl="5m"))]
    whole = prompt(text(500, "s", ttl="5m"), tools=tools, messages=messages)
    first = ask(whole)
    of_tools = ask({**whole, "system": [text(500, "t", ttl="5m")]})
    of_system = ask({**whole, "messages": [user(text(500, "n", ttl="5m"))]})

    assert first == (0, first[1], 0)
    assert of_tools[0] + 500 == of_system[0]
    assert of_system == (first[1] - 500 - FRAME, 500 + FRAME, 0)
    assert ask(whole) == (first[1], 0, 0)
    assert ask({**whole, "tools": [tool("f", description="y" * 4000), tools[1]]})[0] == 0


def test_the_mark_itself_is_no_part_of_the_prefix(ask: Ask) -> None:
    ask(prompt(text(2000, ttl="5m")))

    assert ask(prompt(text(2000), messages=[user(text(5, ttl="5m"))])) == (2000, 5 + FRAME, 0)


def test_a_text_is_the_same_as_a_block_or_as_a_string(ask: Ask) -> None:
    ask(prompt(messages=[user(text(2000)), assistant("ok"), user(text(1, ttl="5m"))]))
    again = prompt(messages=[{"role": "user", "content": "a" * 8000}, assistant("ok"), user(text(1, ttl="5m"))])

    assert ask(again)[0] == 2000 + 1 + 1 + 3 * FRAME


def test_the_keys_of_a_schema_must_come_in_the_same_order(ask: Ask) -> None:
    def request(*names: str) -> Json:
        schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return prompt(text(2000, ttl="5m"), tools=[{"name": "f", "input_schema": schema}])

    ask(request("a", "b"))

    assert ask(request("b", "a"))[0] == 0
    assert ask(request("a", "b"))[0] > 2000


# Growing conversations.


def grown(blocks: int, *, marked: bool = True) -> Json:
    """Return a conversation of a long text and `blocks` short ones, its last marked."""
    conversation = [text(2000), *(text(1) for _ in range(blocks))]
    if marked:
        conversation[-1] = {**conversation[-1], "cache_control": {"type": "ephemeral"}}
    return prompt(messages=[user(*conversation)])


@pytest.mark.parametrize(("added", "read"), [(1, True), (19, True), (20, False)])
def test_an_entry_is_found_up_to_twenty_blocks_back(ask: Ask, added: int, read: bool) -> None:
    first = ask(grown(1))
    second = ask(grown(1 + added))

    assert second == ((first[1], added, 0) if read else (0, first[1] + added, 0))


def test_a_second_mark_bridges_more_than_twenty_blocks(ask: Ask) -> None:
    first = ask(grown(1))
    request = grown(40)
    request["messages"][0]["content"][15]["cache_control"] = {"type": "ephemeral"}

    assert ask(request) == (first[1], 39, 0)


def test_only_what_a_mark_wrote_can_be_read(ask: Ask) -> None:
    ask(prompt(text(2000), text(100, ttl="5m")))

    assert ask(prompt(text(2000, ttl="5m"), text(100, "b"))) == (0, 2000, 0)


def test_automatic_caching_moves_with_the_conversation(ask: Ask) -> None:
    automatic = {"cache_control": {"type": "ephemeral"}}
    turns = [user(text(2000)), assistant("ok"), user(text(10)), assistant("ok"), user(text(20))]
    first, second, third = (ask(prompt(messages=turns[:upto], **automatic)) for upto in (1, 3, 5))

    assert first == (0, 2000 + FRAME, 0)
    assert second == (sum(first), 1 + 10 + 2 * FRAME, 0)
    assert third == (sum(second), 1 + 20 + 2 * FRAME, 0)


def test_automatic_caching_passes_over_thinking(ask: Ask) -> None:
    begun = assistant({"type": "thinking", "thinking": "hm", "signature": "s"})
    request = prompt(messages=[user(text(2000)), begun], cache_control={"type": "ephemeral"})

    assert ask(request) == (0, 2000 + FRAME, 0)


# Time.


def test_five_minutes_are_restarted_by_every_read(ask: Ask, emulator: Emulator) -> None:
    request = prompt(text(2000, ttl="5m"))
    reads = []
    for seconds in (0, 299, 299, 301):
        emulator.advance(seconds)
        reads.append(ask(request)[0])

    assert reads == [0, 2000, 2000, 0]


def test_an_hour_is_an_hour(ask: Ask, emulator: Emulator) -> None:
    request = prompt(text(2000, ttl="1h"))
    answers = []
    for seconds in (0, 3599, 3601):
        emulator.advance(seconds)
        answers.append(ask(request))

    assert answers == [(0, 0, 2000), (2000, 0, 0), (0, 0, 2000)]


def test_both_times_to_live_are_written_and_billed_apart(ask: Ask, emulator: Emulator) -> None:
    request = prompt(text(2000, ttl="1h"), messages=[user(text(50, ttl="5m"))])
    first = ask(request)
    emulator.advance(301)

    assert first == (0, 50 + FRAME, 2000)
    assert ask(request) == (2000, 50 + FRAME, 0)
    assert ask(request) == (2050 + FRAME, 0, 0)


def test_a_read_keeps_the_shorter_marked_prefixes_alive_too(ask: Ask, emulator: Emulator) -> None:
    whole = prompt(text(2000, ttl="5m"), messages=[user(text(50, ttl="5m"))])
    for _ in range(3):
        ask(whole)
        emulator.advance(200)

    assert ask(prompt(text(2000, ttl="5m"), messages=[user(text(50, "b"))])) == (2000, 0, 0)


def test_what_a_call_writes_is_readable_once_its_answer_begins(ask: Ask, emulator: Emulator) -> None:
    gates = [threading.Event(), threading.Event()]
    emulator.script(*(Reply(gate=gate) for gate in gates))
    request = prompt(text(2000, ttl="5m"))
    with ThreadPoolExecutor(2) as pool:
        early = [pool.submit(ask, request) for _ in range(2)]
        emulator.wait_for_calls(2, LONG_S)
        for gate in gates:
            gate.set()

        assert [each.result() for each in early] == [(0, 2000, 0)] * 2
    assert ask(request) == (2000, 0, 0)


def test_an_error_writes_nothing(ask: Ask, http: httpx2.Client, emulator: Emulator) -> None:
    request = prompt(text(2000, ttl="5m"))
    emulator.script(Reply(status=529))
    headers = {"anthropic-version": "2023-06-01"}

    assert http.post(f"{emulator.anthropic_url}/v1/messages", json=request, headers=headers).status_code == 529
    assert ask(request) == (0, 2000, 0)


# Who, and what breaks it.


@pytest.mark.parametrize("other", [{"key": "other"}, {"model": "claude-sonnet-5"}])
def test_another_workspace_or_model_shares_nothing(ask: Ask, other: Json) -> None:
    request = prompt(text(2000, ttl="5m"))
    ask(request)
    model = {"model": other.pop("model", MODEL)}

    assert ask({**request, **model}, **other) == (0, 2000, 0)
    assert ask(request) == (2000, 0, 0)


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
FORMAT = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
CITED = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
    "citations": {"enabled": True},
}


@pytest.mark.parametrize(
    ("change", "levels"),
    [
        ({}, 3),
        ({"temperature": 0.5, "metadata": {"user_id": "u"}, "max_tokens": 7, "stop_sequences": ["x"]}, 3),
        ({"thinking": {"type": "disabled"}}, 3),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, 3),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, 2),
        ({"tool_choice": {"type": "any"}}, 2),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}, 2),
        ({"messages": [IMAGE]}, 2),
        ({"messages": [CITED]}, 1),
        ({"output_config": FORMAT}, 1),
        ({"speed": "fast"}, 1),
        ({"system": [text(600, "z", ttl="5m")]}, 1),
        ({"tools": [tool("h", description="y" * 5000, cache_control={"type": "ephemeral"})]}, 0),
    ],
    ids=lambda change: ",".join(change) if isinstance(change, dict) else str(change),
)
def test_a_change_breaks_its_level_and_those_below_it(ask: Ask, change: Json, levels: int) -> None:
    request = prompt(
        text(600, "s", ttl="5m"),
        tools=[tool("f", description="x" * 4000, cache_control={"type": "ephemeral"})],
        messages=[user(text(600, "m", ttl="5m")), assistant("ok"), user("more")],
    )
    whole = ask(request)[1]
    ends = [0, whole - 600 - 600 - FRAME, whole - 600 - FRAME, whole]
    changed = copy.deepcopy({**request, **change})
    if "messages" in change:
        changed["messages"] = copy.deepcopy(request["messages"])
        changed["messages"][-1]["content"] += change["messages"]

    assert ask(changed)[0] == ends[levels]


@pytest.mark.parametrize(("model", "kept"), [("claude-opus-4-5", True), ("claude-sonnet-4-5", False)])
def test_older_models_forget_their_thinking_when_the_user_speaks_again(ask: Ask, model: str, kept: bool) -> None:
    thinking = {"type": "thinking", "thinking": "t" * 400, "signature": "s"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "r", "cache_control": {"type": "ephemeral"}}
    loop = [user(text(5000)), assistant(thinking, use), user(result)]
    request = prompt(model=model, tools=[tool("f")], messages=loop)
    first = ask(request)
    in_the_loop = ask(request)
    after = copy.deepcopy({**request, "messages": [*loop, assistant("done"), user(text(5, ttl="5m"))]})

    assert in_the_loop == (first[1], 0, 0)
    assert (ask(after)[0] == first[1]) is kept


def test_max_tokens_of_nothing_only_warms_the_cache(http: httpx2.Client, emulator: Emulator, ask: Ask) -> None:
    request = prompt(text(2000, ttl="5m"), max_tokens=0)
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    body = http.post(f"{emulator.anthropic_url}/v1/messages", json=request, headers=headers).json()

    assert (body["content"], body["stop_reason"], body["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert counts(body["usage"]) == (0, 2000, 0)
    assert ask({**request, "max_tokens": 10}) == (2000, 0, 0)


def test_a_stream_says_it_first_and_repeats_it_at_the_end(http: httpx2.Client, emulator: Emulator) -> None:
    request = prompt(text(2000, ttl="1h"), messages=[user(text(10, ttl="5m"))], stream=True)
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    response = http.post(f"{emulator.anthropic_url}/v1/messages", json=request, headers=headers)
    events = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    (ending,) = [event["usage"] for event in events if event["type"] == "message_delta"]

    assert counts(events[0]["message"]["usage"]) == (0, 10 + FRAME, 2000)
    assert ending == {
        "input_tokens": FRAME,
        "cache_creation_input_tokens": 2010 + FRAME,
        "cache_read_input_tokens": 0,
        "output_tokens": ending["output_tokens"],
    }
    assert ending["output_tokens"] > 1
