"""OpenAI's prompt cache: who reads what, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply, count_prompt_tokens
from tests.client.calls import LONG_S

OLD, NEW = "gpt-4o-mini", "gpt-5.6-sol"


def prompt(tokens: int, letter: str = "a") -> dict[str, Any]:
    """Return a request whose prompt counts `tokens`, the three of the answer's start aside."""
    text = letter * 4 * (tokens - 3)
    request = {"model": OLD, "messages": [{"role": "user", "content": text}]}
    assert count_prompt_tokens(request) == tokens + 3
    return request


def ask(
    http: httpx2.Client, emulator: Emulator, request: dict[str, Any], key: str = "k", **more: Any
) -> tuple[int, int | None]:
    """Return the tokens read from the prompt cache, and those written where they are billed."""
    sent = {**request, **more}
    response = http.post(f"{emulator.base_url}/chat/completions", json=sent, headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.text
    details = response.json()["usage"]["prompt_tokens_details"]
    return details["cached_tokens"], details.get("cache_write_tokens")


def system(*parts: dict[str, Any], model: str = NEW) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "system", "content": list(parts)}]}


def text(tokens: int, letter: str = "a", *, mark: bool = False) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "text", "text": letter * 4 * tokens}
    return {**part, "prompt_cache_breakpoint": {"mode": "explicit"}} if mark else part


@pytest.mark.parametrize(("tokens", "read"), [(1023, 0), (1024, 1024), (1151, 1024), (1152, 1152), (5000, 4992)])
def test_a_repeated_prompt_is_read_in_steps_of_128_from_1024(
    http: httpx2.Client, emulator: Emulator, tokens: int, read: int
) -> None:
    first, second = (ask(http, emulator, prompt(tokens)) for _ in range(2))

    assert first == (0, None)
    assert second == (read, None)


def test_a_longer_prompt_reads_what_it_shares(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(1300))
    longer = prompt(1300)
    longer["messages"] += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "more"}]

    assert ask(http, emulator, longer) == (1280, None)


def test_a_prompt_that_differs_early_reads_nothing(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(2000))

    assert ask(http, emulator, prompt(2000, "b")) == (0, None)


def test_tools_come_before_the_messages(http: httpx2.Client, emulator: Emulator) -> None:
    def tool(description: str) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": "f", "description": description}}]

    ask(http, emulator, prompt(2000), tools=tool("x" * 8000), tool_choice="none")

    assert ask(http, emulator, prompt(2000, "b"), tools=tool("x" * 8000), tool_choice="none")[0] == 1920
    assert ask(http, emulator, prompt(2000), tools=tool("y" * 8000), tool_choice="none") == (0, None)


def test_an_image_counts_by_its_content(http: httpx2.Client, emulator: Emulator) -> None:
    def seen(pixels: str) -> dict[str, Any]:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixels}"}}
        return {"model": OLD, "messages": [{"role": "user", "content": [image, text(1000)]}]}

    ask(http, emulator, seen("AAAA"))

    assert ask(http, emulator, seen("AAAB")) == (0, None)
    assert ask(http, emulator, seen("AAAA")) == (1664, None)


@pytest.mark.parametrize("more", [{"prompt_cache_key": "b"}, {"model": "gpt-4o"}, {"key": "other"}])
def test_another_key_model_or_organisation_shares_nothing(
    http: httpx2.Client, emulator: Emulator, more: dict[str, Any]
) -> None:
    ask(http, emulator, prompt(2000), prompt_cache_key="a")

    assert ask(http, emulator, prompt(2000), **{"prompt_cache_key": "a", **more}) == (0, None)
    assert ask(http, emulator, prompt(2000), prompt_cache_key="a") == (1920, None)


def test_a_model_without_a_prompt_cache_reads_nothing(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(2000), model="gpt-4")

    assert ask(http, emulator, prompt(2000), model="gpt-4") == (0, None)


def test_a_prefix_is_forgotten_after_ten_idle_minutes(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(2000))
    emulator.advance(599)
    assert ask(http, emulator, prompt(2000)) == (1920, None)
    emulator.advance(599)
    assert ask(http, emulator, prompt(2000)) == (1920, None)
    emulator.advance(601)
    assert ask(http, emulator, prompt(2000)) == (0, None)


def test_a_prefix_in_use_is_forgotten_after_an_hour(http: httpx2.Client, emulator: Emulator) -> None:
    reads = []
    for _ in range(8):
        reads.append(ask(http, emulator, prompt(2000))[0])
        emulator.advance(540)

    assert reads == [0, *[1920] * 6, 0]


def test_extended_retention_keeps_a_prefix_for_a_day(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(2000), prompt_cache_retention="24h")
    emulator.advance(23 * 3600)

    assert ask(http, emulator, prompt(2000)) == (1920, None)


def test_what_a_call_writes_is_readable_once_its_answer_begins(http: httpx2.Client, emulator: Emulator) -> None:
    gates = [threading.Event(), threading.Event()]
    emulator.script(*(Reply(gate=gate) for gate in gates))
    with ThreadPoolExecutor(2) as pool:
        early = [pool.submit(ask, http, emulator, prompt(2000)) for _ in range(2)]
        emulator.wait_for_calls(2, LONG_S)
        for gate in gates:
            gate.set()
        reads = [each.result()[0] for each in early]

    assert reads == [0, 0]
    assert ask(http, emulator, prompt(2000)) == (1920, None)


def test_new_models_bill_what_they_write_to_the_exact_boundary(http: httpx2.Client, emulator: Emulator) -> None:
    request = system(text(1234))

    assert ask(http, emulator, request) == (0, 1237)
    assert ask(http, emulator, request) == (1237, 0)


def test_new_models_read_up_to_earlier_messages_and_write_the_rest(http: httpx2.Client, emulator: Emulator) -> None:
    request = prompt(1500)
    ask(http, emulator, request, model=NEW)
    request["messages"] += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "more"}]

    assert ask(http, emulator, request, model=NEW) == (1500, 3 + 1 + 3 + 1)


def test_growing_the_same_message_loses_the_endpoint(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, prompt(1500), model=NEW)

    assert ask(http, emulator, prompt(1501), model=NEW) == (0, 1501)


def test_an_explicit_breakpoint_is_written_where_it_stands(http: httpx2.Client, emulator: Emulator) -> None:
    explicit: dict[str, Any] = {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}}
    first = system(text(1200, mark=True), text(50, "b"))
    second = system(text(1200, mark=True), text(50, "c"))

    assert ask(http, emulator, first, **explicit) == (0, 1203)
    assert ask(http, emulator, second, **explicit) == (1203, 0)


def test_explicit_mode_without_breakpoints_caches_nothing(http: httpx2.Client, emulator: Emulator) -> None:
    request = {**system(text(2000)), "prompt_cache_options": {"mode": "explicit"}}

    assert [ask(http, emulator, request) for _ in range(2)] == [(0, 0), (0, 0)]


def test_only_the_latest_four_breakpoints_are_written(http: httpx2.Client, emulator: Emulator) -> None:
    explicit: dict[str, Any] = {"prompt_cache_options": {"mode": "explicit"}}
    parts = [text(1100, letter, mark=True) for letter in "abcde"]
    ask(http, emulator, system(*parts), **explicit)

    assert ask(http, emulator, system(*parts[:1], text(9, "z")), **explicit) == (0, 1103)
    assert ask(http, emulator, system(*parts[:2], text(9, "z")), **explicit) == (2203, 0)


def test_a_breakpoint_lives_thirty_minutes_after_its_last_use(http: httpx2.Client, emulator: Emulator) -> None:
    request = system(text(1200))
    ask(http, emulator, request)
    emulator.advance(29 * 60)
    assert ask(http, emulator, request) == (1203, 0)
    emulator.advance(29 * 60)
    assert ask(http, emulator, request) == (1203, 0)
    emulator.advance(31 * 60)
    assert ask(http, emulator, request) == (0, 1203)


def test_a_short_prompt_is_not_written(http: httpx2.Client, emulator: Emulator) -> None:
    request = system(text(1020))

    assert ask(http, emulator, request) == (0, 0)


def messages(*roles: str) -> dict[str, Any]:
    """Return a request with one long message, and short ones of these roles behind it."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    listed: list[dict[str, Any]] = [{"role": "developer", "content": "a" * 8000}]
    for role in roles:
        message: dict[str, Any] = {"role": role, "content": "b" * 40}
        if role == "tool":
            message["tool_call_id"] = "c" if listed[-1]["role"] == "assistant" else "d"
        if role == "assistant":
            message["tool_calls"] = [call, {**call, "id": "d"}]
        listed.append(message)
    return {"model": NEW, "messages": listed}


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ([], [], 1),
        ([], ["developer"], 0),
        (["developer"], ["developer"], 2),
        (["developer"], ["user"], 0),
        (["developer"], ["developer", "user"], 2),
        (["user"], ["user", "assistant", "tool", "tool"], 2),
        (["user", "assistant", "tool", "tool"], ["user", "assistant", "tool", "tool", "user"], 5),
    ],
)
def test_implicit_breakpoints_stand_behind_instructions_questions_and_groups_of_results(
    http: httpx2.Client, emulator: Emulator, first: list[str], second: list[str], shared: int
) -> None:
    ask(http, emulator, messages(*first))
    read = ask(http, emulator, messages(*second))[0]
    whole = messages(*second)
    whole["messages"] = whole["messages"][:shared]

    assert read == (count_prompt_tokens(whole) - 3 if shared else 0)


def test_a_result_in_the_middle_of_its_group_is_no_breakpoint(http: httpx2.Client, emulator: Emulator) -> None:
    ask(http, emulator, messages("user", "assistant", "tool", "tool"))
    other = messages("user", "assistant", "tool", "tool")
    other["messages"][-1]["content"] = "another result"

    assert ask(http, emulator, other)[0] == 0


def test_the_implicit_breakpoint_takes_one_of_four_writes(http: httpx2.Client, emulator: Emulator) -> None:
    parts = [text(1100, letter, mark=True) for letter in "abcd"]
    ask(http, emulator, system(*parts, text(9)))

    explicit = {"mode": "explicit"}
    assert ask(http, emulator, system(*parts[:1]), prompt_cache_options=explicit) == (0, 1103)


def test_the_first_two_breakpoints_and_the_latest_fifty_are_looked_up(http: httpx2.Client, emulator: Emulator) -> None:
    explicit: dict[str, Any] = {"prompt_cache_options": {"mode": "explicit"}}
    head = [text(1100, letter, mark=True) for letter in "abc"]
    many = [text(1, mark=True) for _ in range(50)]
    ask(http, emulator, system(*head[:2]), **explicit)
    assert ask(http, emulator, system(*head, *many), **explicit)[0] == 2203

    emulator.reset()
    ask(http, emulator, system(*head), **explicit)
    assert ask(http, emulator, system(*head, *many[1:]), **explicit)[0] == 3303
    emulator.reset()
    ask(http, emulator, system(*head), **explicit)
    assert ask(http, emulator, system(*head, *many), **explicit)[0] == 2203


def test_a_breakpoint_may_live_longer_than_its_request_says(http: httpx2.Client, emulator: Emulator) -> None:
    part = text(1200)
    part["prompt_cache_breakpoint"] = {"mode": "explicit", "ttl": "12h"}
    explicit: dict[str, Any] = {"prompt_cache_options": {"mode": "explicit"}}
    ask(http, emulator, system(part), **explicit)
    emulator.advance(11 * 3600)

    assert ask(http, emulator, system(part), **explicit) == (1203, 0)


@pytest.mark.parametrize(("tokens", "read"), [(2047, 0), (2048, 2048), (4095, 2048), (4096, 4096)])
def test_gpt_5_5_is_read_in_steps_of_2048(http: httpx2.Client, emulator: Emulator, tokens: int, read: int) -> None:
    request = {**prompt(tokens), "model": "gpt-5.5"}

    assert [ask(http, emulator, request) for _ in range(2)] == [(0, None), (read, None)]
