"""Marks placed by themselves, judged by the vendors' prompt caches: what could be read is read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import ostinato
from ostinato import Cache, ConfigurationError
from ostinato.prompt_cache.auto import place_auto
from ostinato.providers import find_model
from ostinato.testing.emulator import Emulator, Reply

completion: Callable[..., Any] = ostinato.completion

CLAUDE = "claude-sonnet-4-5-20250929"
MARKED = {
    "anthropic": f"anthropic/{CLAUDE}",
    "converse": f"bedrock/us.anthropic.{CLAUDE}-v1:0",
    "invoke": f"bedrock/invoke/us.anthropic.{CLAUDE}-v1:0",
    "nova": "bedrock/us.amazon.nova-pro-v1:0",
    "fable": "anthropic/claude-fable-5",
}
UNMARKED = ["openai/gpt-4o", "openai/responses/gpt-5.6", "deepseek/deepseek-chat", "groq/llama-3.3-70b-versatile"]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} in the repository. " * 20,
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for name in ("search", "read", "write")
]
SYSTEM = {"role": "system", "content": "You change programs, one step at a time, and say why. " * 40}
TASK = {"role": "user", "content": "Make the tests of this repository pass."}
LONG = "All parties agree to what follows, in this order. " * 200

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def vendors(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "DEEPSEEK", "GROQ", "OPENROUTER"):
        monkeypatch.setenv(f"{name}_BASE_URL", emulator.base_url)
        monkeypatch.setenv(f"{name}_API_KEY", "any")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", emulator.anthropic_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "any")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def turn(number: int, calls: int) -> list[Json]:
    """Return an answer that calls tools, and their results."""
    called = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": "read", "arguments": f'{{"path":"file_{number}_{index}"}}'},
        }
        for index in range(calls)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"line of {call['id']}. " * 30} for call in called
    ]
    return [{"role": "assistant", "content": f"Step {number}.", "tool_calls": called}, *results]


def run(model: str, turns: int = 30, *, calls: Callable[[int], int] = lambda _: 2, **params: Any) -> list[Any]:
    """Return the usages and costs of an agent's calls, each with the whole conversation before it."""
    messages, answers = [SYSTEM, TASK], []
    for number in range(turns):
        answers.append(completion(model, messages, tools=TOOLS, max_tokens=20, **params))
        messages = [*messages, *turn(number, calls(number))]
    return answers


def could_be_read(answers: list[Any]) -> int:
    """Return how many tokens of all prompts stood in the prompt before theirs."""
    return sum(answer.usage.prompt_tokens for answer in answers[:-1])


@pytest.mark.parametrize(
    "calls", [lambda _: 1, lambda number: 1 + number % 5, lambda number: 30 if number % 7 == 3 else 1]
)
@pytest.mark.parametrize("name", MARKED)
def test_an_agent_of_thirty_turns_reads_all_that_it_has_written(name: str, calls: Callable[[int], int]) -> None:
    """Also where a turn adds more than the twenty blocks that a mark looks back. Nova takes no mark behind a result."""
    answers = run(MARKED[name], calls=calls, prompt_caching="auto")
    read = sum(answer.usage.cache_read_input_tokens for answer in answers)

    assert read >= (0.9 if name == "nova" else 0.95) * could_be_read(answers)
    assert all(answer.usage.cache_read_input_tokens for answer in answers[1:])


def test_marks_of_its_own_cost_an_agent_a_fraction_of_no_marks() -> None:
    marked, plain = (run(MARKED["anthropic"], prompt_caching=asked) for asked in ("auto", None))
    paid, full = (sum(answer.cost_details.total for answer in answers) for answers in (marked, plain))

    assert [answer.usage.prompt_tokens for answer in marked] == [answer.usage.prompt_tokens for answer in plain]
    assert paid < full * Decimal("0.3")
    assert sum(answer.cost_details.without_prompt_cache - answer.cost_details.output for answer in marked) == sum(
        answer.cost_details.uncached for answer in plain
    )


def test_a_question_that_stands_alone_pays_for_no_write_that_nobody_reads(emulator: Emulator) -> None:
    questions = [[SYSTEM, {"role": "user", "content": f"{LONG} {number}"}] for number in range(3)]
    system = {"role": "system", "content": LONG}
    alone = [completion(MARKED["anthropic"], [m[1]], prompt_caching="auto", max_tokens=9) for m in questions]
    shared = [completion(MARKED["anthropic"], [system, m[1]], prompt_caching="auto", max_tokens=9) for m in questions]

    assert [answer.usage.cache_creation_input_tokens for answer in alone] == [0, 0, 0]
    assert [answer.usage.cache_read_input_tokens > 2000 for answer in shared] == [False, True, True]
    assert [answer.usage.cache_creation_input_tokens > 0 for answer in shared] == [True, False, False]


def test_a_conversation_without_tools_is_kept_from_its_second_turn_on() -> None:
    messages: list[Json] = [{"role": "user", "content": LONG}]
    answers = []
    for _ in range(5):
        answers.append(completion(MARKED["anthropic"], messages, prompt_caching="auto", max_tokens=9))
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And then? " * 20}]

    assert [answer.usage.cache_read_input_tokens > 2000 for answer in answers] == [False, False, True, True, True]


def test_a_prompt_that_is_certainly_too_short_is_not_marked(emulator: Emulator) -> None:
    for messages in ([{"role": "user", "content": "hi"}], [SYSTEM | {"content": "Be brief."}, TASK]):
        completion(MARKED["anthropic"], messages, prompt_caching="auto", max_tokens=9)

    assert not any(b"cache_control" in call.raw for call in emulator.calls)


def test_marks_of_the_caller_are_left_alone(emulator: Emulator) -> None:
    mark = {"type": "ephemeral"}
    marked: list[tuple[list[Json], Json]] = [
        ([SYSTEM, {**TASK, "cache_control": mark}], {}),
        ([SYSTEM, {"role": "user", "content": [{"type": "text", "text": LONG, "cache_control": mark}]}], {}),
        ([SYSTEM, TASK], {"tools": [{**TOOLS[0], "cache_control": mark}, *TOOLS[1:]]}),
        ([SYSTEM, TASK], {"cache_control": mark}),
        ([SYSTEM, TASK], {"cache_control_injection_points": [{"location": "message", "role": "system"}]}),
    ]
    for messages, params in marked:
        for asked in (None, "auto"):
            completion(
                MARKED["anthropic"], messages, **{"tools": TOOLS, "max_tokens": 9, **params}, prompt_caching=asked
            )

    bodies = [call.body for call in emulator.calls]
    assert bodies[::2] == bodies[1::2]
    assert all("cache_control" in str(body) for body in bodies)


@pytest.mark.parametrize("model", UNMARKED)
def test_models_without_marks_are_sent_what_they_were_sent(model: str, emulator: Emulator) -> None:
    for asked in (None, "auto"):
        completion(model, [SYSTEM, TASK, *turn(0, 2)], tools=TOOLS, prompt_caching=asked)

    assert emulator.calls[0].raw == emulator.calls[1].raw


def test_openai_s_new_models_share_the_instructions_of_different_conversations() -> None:
    def reads(instructions: str, **params: Any) -> list[int]:
        system = {"role": "system", "content": instructions}
        asked = ([system, {"role": "user", "content": f"question {number}"}] for number in range(2))
        return [completion("openai/gpt-5.6", m, **params).usage.cache_read_input_tokens for m in asked]

    plain, auto = reads(LONG), reads(f"{LONG}!", prompt_caching="auto")

    assert plain == [0, 0]
    assert [read > 2000 for read in auto] == [False, True]


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_a_time_to_live_may_be_asked_for(ttl: str) -> None:
    answer = completion(MARKED["anthropic"], [SYSTEM, TASK], tools=TOOLS, prompt_caching={"ttl": ttl}, max_tokens=9)

    assert answer.cost_details.written.keys() == {ttl}


@pytest.mark.parametrize("asked", ["yes", True, 1, {"ttl": "1d"}, {"ttl": "1h", "x": 1}, {"mode": "auto"}, ["auto"]])
def test_what_is_asked_for_otherwise_is_an_error(asked: Any, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="prompt_caching is 'auto'"):
        completion(MARKED["anthropic"], [SYSTEM, TASK], prompt_caching=asked)

    assert not emulator.calls


@pytest.mark.parametrize("model", [*MARKED.values(), "openrouter/anthropic/claude-sonnet-4.5", "openai/gpt-5.6"])
def test_keys_know_nothing_of_marks(model: str, emulator: Emulator) -> None:
    messages = [SYSTEM, TASK, *turn(0, 2)]
    with Cache.memory():
        paid = completion(model, messages, tools=TOOLS, max_tokens=9)
        hits = [
            completion(model, messages, tools=TOOLS, max_tokens=9, prompt_caching=asked)
            for asked in ("auto", {"ttl": "1h"}, None)
        ]

    assert [hit.cache_hit for hit in hits] == [True] * 3
    assert {hit._hidden_params["cache_key"] for hit in hits} == {paid._hidden_params["cache_key"]}
    assert len(emulator.calls) == 1


def test_openrouter_gets_the_marks_of_its_claude(emulator: Emulator) -> None:
    emulator.script(Reply(), times=None)
    completion("openrouter/anthropic/claude-sonnet-4.5", [SYSTEM, TASK], tools=TOOLS, prompt_caching="auto")
    body = emulator.calls[0].body

    assert [bool(part.get("cache_control")) for m in body["messages"] for part in m["content"]] == [True, True]
    assert [bool(tool.get("cache_control")) for tool in body["tools"]] == [False, False, True]


def test_nothing_of_the_caller_s_is_changed() -> None:
    messages, params = [SYSTEM, TASK, *turn(0, 3)], {"tools": TOOLS, "prompt_caching": "auto"}
    before = copy.deepcopy((messages, params))
    marked, with_tools = place_auto(messages, params, find_model(MARKED["anthropic"]), lambda: None)

    assert (messages, params) == before
    assert [bool(message.get("cache_control")) for message in marked] == [True, True, False, False, False, True]
    assert [bool(tool.get("cache_control")) for tool in with_tools["tools"]] == [False, False, True]


@pytest.mark.parametrize("messages", [None, "hi", [], [None], ["hi"], [{}], [{"role": "user", "content": None}]])
def test_messages_that_are_none_are_left_to_the_wire(messages: Any) -> None:
    params = {"prompt_caching": "auto"}

    assert place_auto(messages, params, find_model(MARKED["anthropic"]), lambda: 0) == (messages, params)
