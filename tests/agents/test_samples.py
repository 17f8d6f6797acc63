"""Several draws of one question or conversation, each an entry of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato import completion
from ostinato.agents import OpenAIWrapper
from ostinato.caching import Cache
from ostinato.testing.emulator import Emulator
from tests.agents.casts import HELLO, contents, speakers


def test_k_samples_are_k_answers_that_a_second_run_repeats(create: Callable[..., Any], emulator: Emulator) -> None:
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], temperature=1)

    def draw() -> list[str]:
        return [create(wrapper, messages=HELLO, sample_index=index).choices[0].message.content for index in range(5)]

    first = draw()
    assert len(set(first)) == 5
    assert draw() == first
    assert len(emulator.calls) == 5
    assert all("sample_index" not in call.body for call in emulator.calls)


def test_sample_may_be_named_by_call_chat_or_constructor(create: Callable[..., Any]) -> None:
    cache = Cache.memory()

    def drawn(constructor: Any, call: Any) -> str:
        wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], **constructor)
        return str(create(wrapper, messages=HELLO, cache=cache, **call).choices[0].message.content)

    third = drawn({}, {"sample_index": 3})

    assert drawn({"sample_index": 3}, {}) == third
    assert drawn({"sample_index": 2}, {"sample_index": 3}) == third
    assert drawn({"sample_index": 3}, {"sample_index": 0}) == drawn({}, {}) != third


def test_whole_conversation_is_drawn_several_times(chat: Callable[..., Any], emulator: Emulator) -> None:
    def hold(index: int) -> list[Any]:
        first, second = speakers("first", "second")
        return contents(chat(first, second, message="hello", max_turns=2, sample_index=index))

    drawn = [hold(index) for index in range(3)]

    assert len({tuple(said[1:]) for said in drawn}) == 3
    assert [hold(index) for index in range(3)] == drawn
    assert len(emulator.calls) == 9


def test_sample_of_an_agent_is_that_of_the_sdk(emulator: Emulator) -> None:
    cache = Cache.memory()
    asked = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    of_agents = asked.create(messages=HELLO, cache=cache, sample_index=4)

    assert completion("openai/gpt-4o", HELLO, cache=cache, sample_index=4) == of_agents
    assert not completion("openai/gpt-4o", HELLO, cache=cache, sample_index=5).cache_hit


DRAWER = """
import json, sys
from ostinato.agents import Cache, OpenAIWrapper

first, last, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
asked = OpenAIWrapper(config_list=[{"model": "gpt-4o", "base_url": url, "api_key": "any", "temperature": 1}])
with Cache.disk(cache_path_root="drawn"):
    for index in range(first, last):
        answer = asked.create(messages=[{"role": "user", "content": "hello"}], sample_index=index)
        print(json.dumps([index, answer.choices[0].message.content]))
"""


def drawn_by_processes(count: int, processes: int, url: str) -> dict[int, str]:
    """Return the draws of several processes that share a folder, by their index."""
    share = count // processes
    running = [
        subprocess.Popen(
            [sys.executable, "-c", DRAWER, str(number * share), str((number + 1) * share), url],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    draws: dict[int, str] = {}
    for process in running:
        out, _ = process.communicate()
        assert process.returncode == 0
        draws |= dict(map(json.loads, out.splitlines()))
    return draws


@pytest.mark.parametrize("count", [40, pytest.param(10_000, marks=pytest.mark.soak)])
def test_draws_of_four_processes_are_all_their_own_and_repeated(count: int, emulator: Emulator, folder: Path) -> None:
    first = drawn_by_processes(count, 4, emulator.base_url)
    asked = emulator.calls[-1].number
    second = drawn_by_processes(count, 1, emulator.base_url)

    assert len(set(first.values())) == len(first) == count
    assert second == first
    assert emulator.calls[-1].number == asked == count
