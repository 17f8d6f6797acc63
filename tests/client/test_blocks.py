"""Which cache a call is bound to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ostinato
from ostinato import (
    Cache,
    acompletion,
    completion,
)
from ostinato.testing.emulator import Emulator
from tests.client.calls import HELLO, MODEL


def test_precedence_is_call_then_block_then_process(ask: Callable[..., Any]) -> None:
    own, block, process = Cache.memory(), Cache.memory(), Cache.memory()
    ostinato.cache = process
    ask(MODEL, HELLO)
    with block:
        ask(MODEL, HELLO)
        ask(MODEL, HELLO, cache=own)

    assert [cache.stats()["stored"] for cache in (own, block, process)] == [1, 1, 1]


def test_block_ends_also_after_an_exception_and_the_outer_one_is_back() -> None:
    outer, inner = Cache.memory(), Cache.memory()
    with outer:
        with pytest.raises(RuntimeError), inner:
            raise RuntimeError
        completion(MODEL, HELLO)
    completion(MODEL, [{"role": "user", "content": "outside"}])

    assert outer.stats()["stored"] == 1
    assert inner.stats()["stored"] == 0


def test_same_cache_can_be_entered_twice() -> None:
    cache = Cache.memory()
    with cache:
        with cache:
            completion(MODEL, HELLO)
        assert completion(MODEL, HELLO).cache_hit
    assert not completion(MODEL, HELLO).cache_hit


def test_tasks_each_see_their_own_block(emulator: Emulator) -> None:
    async def one(cache: Cache, ready: asyncio.Barrier) -> None:
        with cache:
            await ready.wait()
            await acompletion(MODEL, HELLO)
            await ready.wait()

    async def run(caches: list[Cache]) -> None:
        ready = asyncio.Barrier(len(caches))
        await asyncio.gather(*(one(cache, ready) for cache in caches))

    caches = [Cache.memory() for _ in range(5)]
    asyncio.run(run(caches))

    assert [cache.stats()["stored"] for cache in caches] == [1] * 5


def test_threads_do_not_inherit_a_block_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    from ostinato.client.sync import Client

    client = Client()
    with client, Cache.memory() as cache, ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "ostinato"):
        for _ in range(2):
            pool.submit(client.completion, MODEL, HELLO, caching=True).result()

    assert cache.stats()["stored"] == 0
    assert len([r for r in caplog.records if "there is no cache" in r.message]) == 1


def test_thread_started_with_the_context_inherits_the_block() -> None:
    async def run() -> Any:
        return await asyncio.to_thread(completion, MODEL, HELLO)

    with Cache.memory() as cache:
        asyncio.run(run())

    assert cache.stats()["stored"] == 1


def test_stream_read_after_its_block_ended_is_stored_where_it_was_called() -> None:
    with Cache.memory() as cache:
        stream = completion(MODEL, HELLO, stream=True)
    with Cache.memory() as other:
        list(stream)

    assert cache.stats()["stored"] == 1
    assert other.stats()["stored"] == 0


def test_stream_read_in_another_thread_is_stored_where_it_was_called() -> None:
    with Cache.memory() as cache:
        stream = completion(MODEL, HELLO, stream=True)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(list, stream).result()

    assert cache.stats()["stored"] == 1


def test_block_left_in_another_context_neither_raises_nor_stays(emulator: Emulator) -> None:
    async def blocks(cache: Cache) -> Any:
        with cache:
            yield 1
            yield 2

    async def run(cache: Cache) -> None:
        generator = blocks(cache)
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())
        await acompletion(MODEL, HELLO)

    cache = Cache.memory()
    asyncio.run(run(cache))

    assert cache.stats()["stored"] == 0


def test_task_that_outlives_its_block_does_not_see_it() -> None:
    async def later(ended: asyncio.Event) -> None:
        await ended.wait()
        await acompletion(MODEL, HELLO)

    async def run(cache: Cache) -> None:
        ended = asyncio.Event()
        with cache:
            task = asyncio.create_task(later(ended))
        ended.set()
        await task

    cache = Cache.memory()
    asyncio.run(run(cache))

    assert cache.stats()["stored"] == 0
