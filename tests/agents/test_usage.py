"""What was used: by wrapper, by agent, together; and the words that people search their logs for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, OpenAIWrapper, gather_usage_summary
from ostinato.agents.usage import Tally
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import HELLO, LLM, speakers

Create = Callable[..., Any]
MODEL = "gpt-4o-2024-08-06"
"""What the emulator answers as when `gpt-4o` is asked."""


def wrapper(**base: Any) -> OpenAIWrapper:
    return OpenAIWrapper(config_list=[{"model": "gpt-4o"}], **base)


def test_paid_answer_counts_twice_over_and_a_hit_in_the_total_alone(create: Create) -> None:
    assert (wrapper().total_usage_summary, wrapper().actual_usage_summary) == (None, None)
    asked = wrapper()
    paid = create(asked, messages=HELLO)
    once = {"total_cost": paid.cost, MODEL: {"cost": paid.cost, **tokens(paid)}}

    assert asked.actual_usage_summary == asked.total_usage_summary == once
    asked.clear_usage_summary()
    hits = [create(asked, messages=HELLO) for _ in range(2)]
    actual, total = summaries(asked)
    assert actual is None
    assert total["total_cost"] == 2 * hits[0].saved_cost == 2 * paid.cost
    assert total[MODEL]["total_tokens"] == 2 * paid.usage.total_tokens


def summaries(asked: OpenAIWrapper) -> tuple[Any, Any]:
    return asked.actual_usage_summary, asked.total_usage_summary


def tokens(answer: Any) -> dict[str, int]:
    return {name: answer.usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


@pytest.mark.parametrize("seed", [None, 42])
def test_every_answer_says_what_it_cost(create: Create, seed: int | None) -> None:
    assert create(wrapper(cache_seed=seed), messages=HELLO).cost > 0


def test_price_of_one_s_own_counts(create: Create) -> None:
    answer = create(wrapper(price=[1000, 2000]), messages=HELLO)

    assert answer.cost == answer.usage.prompt_tokens + 2 * answer.usage.completion_tokens


def test_cost_that_is_not_known_is_not_zero(create: Create, capsys: Any) -> None:
    asked = OpenAIWrapper(config_list=[{"model": "somebody-s-model"}])
    create(asked, messages=HELLO)
    asked.print_usage_summary()

    assert asked.total_usage_summary is not None
    assert asked.total_usage_summary["somebody-s-model"]["cost"] is None
    assert "cost: unknown" in capsys.readouterr().out


def test_summary_is_none_until_something_is_counted_and_a_copy_after() -> None:
    tally = Tally()
    assert (tally.summary, tally.bill) == (None, {"total_cost": 0})
    tally.add("m", 0.5, {"prompt_tokens": 1})
    first = tally.summary
    assert first is not None
    first["m"]["cost"] = 9

    assert tally.summary == {
        "total_cost": 0.5,
        "m": {"cost": 0.5, "prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 0},
    }


def printed(capsys: Any, mode: Any, *, paid: bool, hit: bool) -> str:
    asked = wrapper()
    if hit:
        wrapper().create(messages=HELLO)
        asked.create(messages=HELLO)
    if paid:
        asked.create(messages=[{"role": "user", "content": "another"}])
    asked.print_usage_summary(mode)
    return str(capsys.readouterr().out)


EXCLUDING, INCLUDING = "Usage summary excluding cached usage:", "Usage summary including cached usage:"
NO_COST = "No actual cost incurred (all completions are using cache)."
ALL_PAID = "All completions are non-cached: the total cost with cached completions is the same as actual cost."


@pytest.mark.parametrize(
    ("mode", "paid", "hit", "expected", "absent"),
    [
        (["actual", "total"], True, True, [EXCLUDING, INCLUDING, f"* Model '{MODEL}': cost: "], [NO_COST, ALL_PAID]),
        (["actual", "total"], True, False, [EXCLUDING, ALL_PAID], [INCLUDING, NO_COST]),
        (["actual", "total"], False, True, [NO_COST, INCLUDING], [EXCLUDING, ALL_PAID]),
        ("actual", True, True, [EXCLUDING], [INCLUDING]),
        ("total", True, True, [INCLUDING], [EXCLUDING]),
        (["total"], True, False, [INCLUDING], [ALL_PAID]),
        ("both", True, True, [EXCLUDING, INCLUDING], []),
        (None, True, True, [EXCLUDING, INCLUDING], []),
        ("actual", False, False, ['No usage summary. Please call "create" first.'], ["-" * 100]),
    ],
)
def test_summary_is_printed_in_the_known_words(
    capsys: Any, mode: Any, paid: bool, hit: bool, expected: list[str], absent: list[str]
) -> None:
    out = printed(capsys, mode, paid=paid, hit=hit)

    assert all(words in out for words in expected)
    assert all(words not in out for words in absent)


@pytest.mark.parametrize("mode", ["everything", [], ["actual", "everything"]])
def test_unknown_mode_is_an_error(mode: Any) -> None:
    with pytest.raises(ValueError, match="Invalid mode"):
        wrapper().print_usage_summary(mode or ["x"] * 3)


def test_usage_of_agents_is_gathered_by_model(emulator: Emulator, capsys: Any) -> None:
    emulator.script(Reply(text="short"), times=None)
    first, second = speakers("first", "second")
    mute = ConversableAgent("mute", human_input_mode="NEVER")
    first.initiate_chat(second, message="hello", max_turns=3, silent=True)
    gathered = gather_usage_summary([first, second, mute])
    total = gathered["usage_including_cached_inference"]

    assert gathered["usage_excluding_cached_inference"] == total
    assert total["total_cost"] == sum(
        (agent.get_total_usage() or {"total_cost": 0})["total_cost"] for agent in (first, second, mute)
    )
    assert gather_usage_summary([mute])["usage_including_cached_inference"] == {"total_cost": 0}
    assert (mute.get_actual_usage(), mute.get_total_usage()) == (None, None)
    mute.print_usage_summary()
    first.print_usage_summary()
    out = capsys.readouterr().out
    assert "No cost incurred from agent 'mute'." in out
    assert "Agent 'first':" in out


def test_reset_forgets_what_was_said_and_used() -> None:
    agent = ConversableAgent("agent", llm_config=LLM, human_input_mode="NEVER")
    agent.generate_reply(messages=[{"role": "user", "content": "hello"}])
    agent.send("hello", ConversableAgent("other"), request_reply=False, silent=True)
    agent.reset()

    assert (agent.get_total_usage(), dict(agent.chat_messages)) == (None, {})
