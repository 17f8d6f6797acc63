"""Chats at once: their caches, their costs and what they say never mix, also when they share an agent."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, OpenAIWrapper
from ostinato.caching import Cache
from ostinato.testing.emulator import Emulator
from tests.agents.casts import HELLO, LLM, contents, speakers

CHATS = 6


def kept(cache: Cache) -> int:
    return int(cache.stats()["stored"])


def test_tasks_that_share_an_agent_keep_to_their_caches(emulator: Emulator) -> None:
    (shared,) = speakers("shared")

    async def hold(number: int, cache: Cache) -> Any:
        (asker,) = speakers(f"asker{number}")
        return await asker.a_initiate_chat(shared, message=f"hello {number}", max_turns=3, silent=True, cache=cache)

    async def run(caches: list[Cache]) -> list[Any]:
        return list(await asyncio.gather(*(hold(number, cache) for number, cache in enumerate(caches))))

    caches = [Cache.memory() for _ in range(CHATS)]
    results = asyncio.run(run(caches))

    assert [kept(cache) for cache in caches] == [5] * CHATS
    assert [contents(result)[0] for result in results] == [f"hello {number}" for number in range(CHATS)]
    for number, result in enumerate(results):
        used = result.cost["usage_including_cached_inference"]["gpt-4o-2024-08-06"]["prompt_tokens"]
        paid = [call.outcome.usage for call in emulator.calls if f"hello {number}" in str(call.body["messages"])]
        assert used == sum(usage["prompt_tokens"] for usage in paid if usage is not None)


def test_threads_that_share_an_agent_keep_to_their_caches() -> None:
    (shared,) = speakers("shared")

    def hold(number: int, cache: Cache) -> Any:
        (asker,) = speakers(f"asker{number}")
        return asker.initiate_chat(shared, message=f"hello {number}", max_turns=3, silent=True, cache=cache)

    caches = [Cache.memory() for _ in range(CHATS)]
    with ThreadPoolExecutor(CHATS) as pool:
        results = list(pool.map(hold, range(CHATS), caches))

    assert [kept(cache) for cache in caches] == [5] * CHATS
    assert [contents(result)[0] for result in results] == [f"hello {number}" for number in range(CHATS)]


def test_tasks_with_blocks_of_their_own_keep_to_them() -> None:
    (shared,) = speakers("shared")

    async def hold(number: int, cache: Cache) -> None:
        (asker,) = speakers(f"asker{number}")
        async with cache:
            await asker.a_initiate_chat(shared, message=f"hello {number}", max_turns=2, silent=True)

    async def run(caches: list[Cache]) -> None:
        await asyncio.gather(*(hold(number, cache) for number, cache in enumerate(caches)))

    caches = [Cache.memory() for _ in range(CHATS)]
    asyncio.run(run(caches))

    assert [kept(cache) for cache in caches] == [3] * CHATS


def test_identical_chats_at_once_are_paid_once(emulator: Emulator) -> None:
    async def hold() -> Any:
        first, second = speakers("first", "second")
        return await first.a_initiate_chat(second, message="hello", max_turns=3, silent=True)

    async def run() -> list[Any]:
        return list(await asyncio.gather(*(hold() for _ in range(CHATS))))

    with Cache.memory():
        results = asyncio.run(run())

    assert all(result.chat_history == results[0].chat_history for result in results)
    assert len(emulator.calls) == 5
    paid = [result.cost["usage_excluding_cached_inference"]["total_cost"] for result in results]
    assert sum(paid) == pytest.approx(results[0].cost["usage_including_cached_inference"]["total_cost"])


def test_identical_streams_at_once_are_paid_once(emulator: Emulator) -> None:
    wrapper = OpenAIWrapper(**LLM)

    async def run() -> list[Any]:
        return list(await asyncio.gather(*(wrapper.acreate(messages=HELLO, stream=True) for _ in range(CHATS))))

    answers = asyncio.run(run())

    assert len(emulator.calls) == 1
    assert [answer.cost > 0 for answer in answers].count(True) == 1
    assert (wrapper.actual_usage_summary or {})["total_cost"] == pytest.approx(max(answer.cost for answer in answers))


def test_chat_that_a_tool_holds_is_inside_the_chat_that_called_it(emulator: Emulator) -> None:
    inner_cost: list[Any] = []

    def ask(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        first, second = speakers("inner1", "inner2")
        result = first.initiate_chat(second, message="inside", max_turns=1)
        inner_cost.append(result.cost["usage_including_cached_inference"])
        return False, None

    asker, answerer = speakers("asker", "answerer")
    answerer.register_reply(ConversableAgent, ask)
    cache = Cache.memory()
    result = asker.initiate_chat(answerer, message="hello", max_turns=1, silent=True, cache=cache)
    total = result.cost["usage_including_cached_inference"]["total_cost"]

    assert kept(cache) == 2
    assert total > inner_cost[0]["total_cost"] > 0


def test_call_beside_a_chat_is_not_in_it() -> None:
    cache = Cache.memory()
    wrapper = OpenAIWrapper(**LLM)
    first, second = speakers("first", "second")

    async def run() -> Any:
        talk = asyncio.create_task(first.a_initiate_chat(second, message="a", max_turns=1, silent=True, cache=cache))
        beside = await wrapper.acreate(messages=HELLO)
        return await talk, beside

    result, beside = asyncio.run(run())

    assert kept(cache) == 1
    assert result.cost["usage_including_cached_inference"]["total_cost"] != beside.cost
