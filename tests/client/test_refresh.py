"""What goes on behind an answer: refreshing a stale entry, reading on for the cache."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ostinato import (
    Cache,
    acompletion,
    completion,
)
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import (
    HELLO,
    LONG_S,
    MODEL,
    aask_whole,
    ask_stream,
    ask_whole,
    until,
)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_stale_entry_answers_and_is_asked_anew_once(
    asynchronous: bool, emulator: Emulator, pool: ThreadPoolExecutor
) -> None:
    clock = ManualClock()
    cache = Cache.memory(soft_ttl=10, ttl=100, clock=clock)
    old = ask_whole(cache)
    clock.advance(11)
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    if asynchronous:

        async def run() -> list[str]:
            stale = await asyncio.gather(*(aask_whole(cache) for _ in range(32)))
            await asyncio.to_thread(emulator.wait_for_calls, 2, LONG_S)
            gate.set()
            await asyncio.to_thread(until, lambda: cache.stats()["stored"] == 2)
            return stale

        stale = asyncio.run(run())
    else:
        stale = [future.result(LONG_S) for future in [pool.submit(ask_whole, cache) for _ in range(32)]]
        emulator.wait_for_calls(2, LONG_S)
        gate.set()
        until(lambda: cache.stats()["stored"] == 2)

    assert set(stale) == {old}
    assert ask_whole(cache) != old
    assert len(emulator.calls) == 2
    assert (cache.stats()["stale"], cache.stats()["refreshes"]) == (32, 1)


def test_refresh_that_fails_leaves_the_old_answer(emulator: Emulator) -> None:
    clock = ManualClock()
    cache = Cache.memory(soft_ttl=10, clock=clock)
    old = ask_whole(cache)
    clock.advance(11)
    emulator.script(Reply(status=400))

    assert ask_whole(cache) == old
    until(lambda: cache.stats()["refresh_errors"] == 1)
    assert ask_whole(cache) == old
    until(lambda: cache.stats()["stored"] == 2)


def test_stale_stream_and_disk_entries_are_refreshed_too(emulator: Emulator, tmp_path: Any) -> None:
    clock = ManualClock()
    with Cache.disk(cache_path_root=tmp_path, clock=clock) as cache:
        old = ask_whole(cache)
    clock.advance(11)
    with Cache.disk(cache_path_root=tmp_path, soft_ttl=10, clock=clock) as cache:
        assert ask_stream(cache) == old
        until(lambda: cache.stats()["stored"] == 1)


def test_ttl_jitter_cuts_a_ttl_by_its_part_at_most() -> None:
    clock = ManualClock()
    cache = Cache.memory(ttl=100, ttl_jitter=0.5, clock=clock)
    for index in range(200):
        cache.set(str(index), index)
    clock.advance(49)
    assert all(cache.get(str(index)) == index for index in range(200))
    clock.advance(50)
    left = sum(cache.get(str(index)) is not None for index in range(200))

    assert left < 20


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_answer_that_its_last_reader_leaves_is_finished_when_the_cache_says_so(
    streams: bool, emulator: Emulator, gate: threading.Event
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three"), gates={0: gate} if not streams else {2: gate}))
    cache = Cache.memory(finish_on_disconnect=True)
    if streams:
        with completion(MODEL, HELLO, cache=cache, stream=True) as stream:
            next(stream)
        gate.set()
        until(lambda: cache.stats()["stored"] == 1)
    else:

        async def run() -> None:
            task = asyncio.create_task(aask_whole(cache))
            await asyncio.to_thread(emulator.wait_for_calls, 1, LONG_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()
            await asyncio.to_thread(until, lambda: cache.stats()["stored"] == 1)

        asyncio.run(run())

    assert completion(MODEL, HELLO, cache=cache).cache_hit
    assert len(emulator.calls) == 1


def test_async_stream_that_is_left_is_finished_when_the_cache_says_so(
    emulator: Emulator, gate: threading.Event
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three"), gates={2: gate}))
    cache = Cache.memory(finish_on_disconnect=True)

    async def run() -> None:
        stream = await acompletion(MODEL, HELLO, cache=cache, stream=True)
        await anext(stream)
        await stream.aclose()
        gate.set()
        await asyncio.to_thread(until, lambda: cache.stats()["stored"] == 1)

    asyncio.run(run())
