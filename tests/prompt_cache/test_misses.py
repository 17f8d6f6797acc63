"""Why a prompt cache missed: every way to break a beginning, at every vendor, judged by the vendors' rules."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ostinato
from ostinato import BadRequestError, ConfigurationError
from ostinato.cli.main import cli
from ostinato.prompt_cache import Explanation, explain
from ostinato.prompt_cache.misses import ADVICE
from ostinato.testing.emulator import Emulator
from tests.prompt_cache import test_auto
from tests.prompt_cache.test_auto import LONG, MARKED, TASK, TOOLS, turn

Json = dict[str, Any]
completion: Callable[..., Any] = ostinato.completion
vendors = test_auto.vendors

VENDORS = {
    **{name: MARKED[name] for name in ("anthropic", "converse", "invoke")},
    "openai": "openai/gpt-4o",
    "openai 5.6": "openai/gpt-5.6",
    "responses": "openai/responses/gpt-4o",
    "deepseek": "deepseek/deepseek-chat",
}
AUTOMATIC = {"openai", "responses", "deepseek"}
MARK = {"type": "ephemeral"}


def run_of(model: str, turns: int = 3, **params: Any) -> Json:
    """Return the call of an agent after some turns."""
    messages = [{"role": "system", "content": LONG}, TASK]
    for number in range(turns):
        messages += turn(number, 2)
    return {"model": model, "messages": messages, "tools": TOOLS, "prompt_caching": "auto", "max_tokens": 50, **params}


def on(call: Json, number: int = 9) -> Json:
    """Return the call after `call`: the same, and one turn more."""
    return {**copy.deepcopy(call), "messages": [*copy.deepcopy(call["messages"]), *turn(number, 2)]}


def said_at(time: str) -> Callable[[Json], None]:
    def change(call: Json) -> None:
        call["messages"][0]["content"] = f"{LONG}The time is {time}. {LONG}"

    return change


def reversed_tools(call: Json) -> None:
    call["tools"] = call["tools"][::-1]


def one_tool_less(call: Json) -> None:
    call["tools"] = call["tools"][:-1]


def one_tool_more(call: Json) -> None:
    call["tools"] = [
        *call["tools"],
        {"type": "function", "function": {"name": "new", "parameters": {"type": "object"}}},
    ]


def another_description(call: Json) -> None:
    call["tools"][1]["function"]["description"] += " Used 3 times today."


def other_order_of_keys(call: Json) -> None:
    function = call["tools"][1]["function"]
    function["parameters"] = dict(reversed(function["parameters"].items()))


def another_model(call: Json) -> None:
    call["model"] = call["model"].replace("gpt-5.6", "gpt-6-sol").replace("gpt-4o", "gpt-4.1").replace("4-5", "4-6")
    call["model"] = call["model"].replace("deepseek-chat", "deepseek-reasoner")


def edited_message(call: Json) -> None:
    call["messages"][3]["content"] = "another result"


def history_cut(call: Json) -> None:
    del call["messages"][2:5]


BREAKS: dict[str, tuple[Callable[[Json], None], str]] = {
    "a time in the instructions": (said_at("2026-11-22 10:01"), "system_changed"),
    "tools in another order": (reversed_tools, "tools_order"),
    "a tool less": (one_tool_less, "tools_removed"),
    "a tool more": (one_tool_more, "tools_added"),
    "a tool described otherwise": (another_description, "tool_changed"),
    "a schema in another order": (other_order_of_keys, "key_order"),
    "another model": (another_model, "model"),
    "an edited result": (edited_message, "message_changed"),
    "the oldest turns cut off": (history_cut, "history_cut"),
}


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("name", VENDORS)
def test_what_broke_the_beginning_is_named(name: str, broken: str) -> None:
    before = run_of(VENDORS[name])
    said_at("2026-11-22 10:00")(before)
    now = on(before)
    change, cause = BREAKS[broken]
    change(now)
    if broken == "another model" and now["model"] == before["model"]:
        pytest.skip("there is no other one here")

    explanation = explain(before, now)

    assert explanation.cause == cause
    assert explanation.path
    assert explanation.before != explanation.now
    assert explanation.readable_tokens < explanation.written_tokens


@pytest.mark.parametrize("name", VENDORS)
def test_a_conversation_that_only_grows_is_no_miss(name: str) -> None:
    call = run_of(VENDORS[name])
    for number in range(3, 12):
        grown = on(call, number)

        assert explain(call, grown).cause is None
        assert explain(call, call).cause is None
        call = grown


@pytest.mark.parametrize("broken", [None, *BREAKS])
@pytest.mark.parametrize("name", ["anthropic", "converse", "invoke", "openai", "openai 5.6"])
def test_the_verdict_is_that_of_the_vendor_s_prompt_cache(name: str, broken: str | None) -> None:
    """What the emulator, which follows the vendors' rules, reads of the call before: all, a part or nothing."""
    before = run_of(VENDORS[name])
    said_at("2026-11-22 10:00")(before)
    now = on(before)
    if broken is not None:
        BREAKS[broken][0](now)

    paid = completion(**before).usage
    read = completion(**now).usage.cache_read_input_tokens
    wrote = paid.cache_creation_input_tokens if name not in AUTOMATIC else paid.prompt_tokens
    explanation = explain(before, now)

    assert (explanation.readable_tokens > 0) is (read > 0)
    assert (explanation.cause is None) is (read >= wrote - 200)
    assert explanation.readable_tokens == pytest.approx(read, rel=0.35, abs=400)


def test_what_always_changes_is_recognised() -> None:
    def seen(before: str, now: str) -> str:
        calls = [run_of(MARKED["anthropic"]) for _ in range(2)]
        for call, words in zip(calls, (before, now), strict=True):
            call["messages"][0]["content"] = f"You are careful. {words} {LONG}"
        looks: str = explain(*calls).looks_like
        return looks

    assert seen("It is 2026-11-22.", "It is 2026-11-23.") == "a time"
    assert seen("Now: 10:59", "Now: 11:00") == "a time"
    assert seen("Today is Sunday", "Today is Monday") == "a time"
    assert seen("Session 3f2b8c1d9a7e6f50", "Session 9a7e6f503f2b8c1d") == "an id"
    assert seen("Request 17", "Request 18") == "a number"
    assert seen("Be kind.", "Be quick.") == ""


def test_the_difference_is_shown_with_what_stands_around_it() -> None:
    before, now = run_of(MARKED["anthropic"]), run_of(MARKED["anthropic"])
    said_at("2026-11-22 10:00")(before)
    said_at("2026-11-22 10:01")(now)
    explanation = explain(before, now)

    assert "10:00" in explanation.before
    assert "10:01" in explanation.now
    assert len(explanation.before) < 60
    assert explanation.path == "system[0]"
    assert str(explanation).splitlines()[0].startswith("system_changed at system[0]: about ")
    assert explanation.advice in str(explanation)
    assert "looks like a time" in str(explanation)


SHORT: Json = {"model": "openai/gpt-4o", "messages": [TASK]}


def marked(content: str, *, at: int | None = 0) -> Json:
    """Return a call of two messages; `at` says which of them is marked."""
    messages: list[Json] = [{"role": "system", "content": LONG}, {"role": "user", "content": content}]
    if at is not None:
        messages[at]["cache_control"] = MARK
    return {"model": MARKED["anthropic"], "messages": messages}


@pytest.mark.parametrize(
    ("before", "now", "seconds", "cause"),
    [
        (marked("a", at=None), marked("b"), None, "not_marked_before"),
        (marked("a"), marked("b", at=None), None, "not_marked_now"),
        (marked("a", at=1), marked("b", at=1), None, "marked_behind"),
        (marked("a"), marked("b"), None, None),
        (marked("a"), marked("b"), 299, None),
        (marked("a"), marked("b"), 301, "expired"),
        (
            {"model": MARKED["anthropic"], "messages": [{"role": "user", "content": "short", "cache_control": MARK}]},
            {"model": MARKED["anthropic"], "messages": [{"role": "user", "content": "short", "cache_control": MARK}]},
            None,
            "below_minimum",
        ),
        (
            {"model": "openai/gpt-4o", "messages": [TASK]},
            {"model": "openai/gpt-4o", "messages": [TASK]},
            None,
            "below_minimum",
        ),
    ],
)
def test_marks_that_are_missing_or_out_of_reach_are_named(
    before: Json, now: Json, seconds: float | None, cause: str | None
) -> None:
    assert explain(before, now, seconds_between=seconds).cause == cause


def test_an_hour_s_mark_lives_for_an_hour() -> None:
    call = run_of(MARKED["anthropic"], prompt_caching={"ttl": "1h"})

    assert explain(call, on(call), seconds_between=3599).cause is None
    assert explain(call, on(call), seconds_between=3601).cause == "expired"


def test_an_entry_more_than_twenty_blocks_back_is_too_far(emulator: Emulator) -> None:
    start = [{"role": "system", "content": LONG}, TASK]
    for added, cause in ((9, None), (30, "too_far_back")):
        blocks = [{"type": "text", "text": f"part {number} of {added}"} for number in range(added)]
        before = {
            "model": MARKED["anthropic"],
            "messages": [*start[:1], {**TASK, "cache_control": MARK}],
            "max_tokens": 9,
        }
        more = {"role": "user", "content": blocks, "cache_control": MARK}
        now = {**before, "messages": [*start, {"role": "assistant", "content": "Go on."}, more]}
        completion(**before)

        assert explain(before, now).cause == cause
        assert (completion(**now).usage.cache_read_input_tokens > 0) is (cause is None)


@pytest.mark.parametrize("name", ["tool_choice", "reasoning_effort"])
def test_a_setting_that_is_part_of_the_beginning_is_named(name: str) -> None:
    before = run_of(MARKED["anthropic"], max_tokens=5000)
    now = {**on(before), name: {"tool_choice": "required", "reasoning_effort": "low"}[name]}
    explanation = explain(before, now)

    assert explanation.cause == "setting"
    assert explanation.path in {"tool_choice", "thinking", "output_config"}


def test_every_cause_has_its_advice() -> None:
    assert all(advice.endswith(".") for advice in ADVICE.values())
    assert Explanation(None).advice == ""
    assert {cause for _, cause in BREAKS.values()} <= ADVICE.keys()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({}, ConfigurationError),
        ({"model": "gpt-4o"}, BadRequestError),
        ({"model": "gpt-4o", "messages": "hi"}, BadRequestError),
        ({"model": "gpt-4o", "messages": []}, BadRequestError),
        ({"model": "nobody/knows", "messages": [TASK]}, ConfigurationError),
    ],
)
def test_what_is_no_call_is_an_error(call: Json, error: type[Exception]) -> None:
    with pytest.raises(error):
        explain(call, call)


def test_the_command_says_it_and_ends_with_1_where_something_is_in_the_way(tmp_path: Path) -> None:
    before = run_of(MARKED["anthropic"])
    broken = on(before)
    reversed_tools(broken)
    paths = {}
    for name, call in (("before", before), ("grown", on(before)), ("broken", broken)):
        paths[name] = str(tmp_path / f"{name}.json")
        Path(paths[name]).write_text(json.dumps(call), encoding="utf-8")
    (tmp_path / "none.json").write_text("[1]", encoding="utf-8")

    grown, reordered, late = (
        CliRunner().invoke(cli, ["explain", paths["before"], *rest])
        for rest in ([paths["grown"]], [paths["broken"]], [paths["grown"], "--seconds", "400"])
    )
    none = CliRunner().invoke(cli, ["explain", paths["before"], str(tmp_path / "none.json")])

    assert (grown.exit_code, reordered.exit_code, late.exit_code) == (0, 1, 1)
    assert grown.output.startswith("nothing is in the way: about ")
    assert reordered.output.startswith("tools_order at tools[0]: ")
    assert "Sort them." in reordered.output
    assert late.output.startswith("expired")
    assert none.exit_code == 1
    assert "holds no call" in none.output


def test_nothing_of_the_calls_is_changed() -> None:
    before = run_of(MARKED["anthropic"])
    now = on(before)
    kept = copy.deepcopy((before, now))
    explain(before, now)

    assert (before, now) == kept
