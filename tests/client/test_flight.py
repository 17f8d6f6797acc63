"""Identical calls at once: one goes out, everybody is answered, whoever leaves."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from ostinato import (
    APIConnectionError,
    BadRequestError,
    Cache,
    ServiceUnavailableError,
    acompletion,
    aembedding,
    completion,
    completion_cost,
    embedding,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import (
    HELLO,
    LONG_S,
    MODEL,
    aask_stream,
    aask_whole,
    ask_stream,
    ask_whole,
    in_tasks,
    joined,
    text,
    until,
)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_hundred_threads_pay_once(
    streams: bool, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()
    futures = [pool.submit(ask_stream if streams else ask_whole, cache) for _ in range(100)]
    until(joined(cache, 99))
    gate.set()

    assert len({future.result(LONG_S) for future in futures}) == 1
    assert len(emulator.calls) == 1
    assert cache.stats()["in_flight"] == 0


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_hundred_tasks_pay_once(
    streams: bool, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()
    call = aask_stream if streams else aask_whole
    answers = pool.submit(in_tasks, *[call] * 100, cache=cache)
    until(joined(cache, 99))
    gate.set()

    assert len(set(answers.result(LONG_S))) == 1
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("leader", ["thread", "task"])
def test_threads_and_tasks_streamed_and_whole_pay_once_together(
    leader: str, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()

    def threads() -> list[Future[Any]]:
        return [pool.submit(call, cache) for call in [ask_whole, ask_stream] * 25]

    def tasks() -> list[Future[Any]]:
        return [pool.submit(in_tasks, *[aask_whole, aask_stream] * 25, cache=cache)]

    first, second = (threads, tasks) if leader == "thread" else (tasks, threads)
    futures = first()
    emulator.wait_for_calls(1, LONG_S)
    futures += second()
    until(joined(cache, 99))
    gate.set()

    answers: set[str] = set()
    for future in futures:
        result = future.result(LONG_S)
        answers.update(result if isinstance(result, list) else [result])
    assert len(answers) == 1
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_who_joins_pays_nothing(
    streams: bool, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()

    def money() -> tuple[float | None, float | None]:
        if not streams:
            answer = completion(MODEL, HELLO, cache=cache)
            assert completion_cost(answer) == answer.cost
            return answer.cost, answer.saved_cost
        stream = completion(MODEL, HELLO, cache=cache, stream=True)
        list(stream)
        return stream.cost, stream.saved_cost

    futures = [pool.submit(money) for _ in range(5)]
    until(joined(cache, 4))
    gate.set()

    paid = [future.result(LONG_S) for future in futures]
    price = max(cost or 0.0 for cost, _ in paid)
    assert price > 0
    assert sorted(paid) == [(0.0, price)] * 4 + [(price, 0.0)]


def test_follower_sees_what_came_before_it_joined_and_then_the_rest(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three"), gates={2: gate}))
    cache = Cache.memory()
    leader = completion(MODEL, HELLO, cache=cache, stream=True)
    assert [next(leader).choices[0].delta.content for _ in range(2)] == ["", "one"]
    follower = completion(MODEL, HELLO, cache=cache, stream=True)

    assert [next(follower).choices[0].delta.content for _ in range(2)] == ["", "one"]
    gate.set()
    assert text(follower) == "twothree"
    assert text(leader) == "twothree"
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("fate", ["pauses", "closes", "is dropped", "raises in its loop"])
def test_leader_that_goes_nowhere_holds_nobody_up(
    fate: str, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three"), gates={2: gate}))
    cache = Cache.memory()
    leader = completion(MODEL, HELLO, cache=cache, stream=True)
    next(leader)
    follower = pool.submit(ask_stream, cache)
    until(joined(cache, 1))
    if fate == "closes":
        leader.close()
    elif fate == "is dropped":
        del leader
        gc.collect()
    elif fate == "raises in its loop":
        with pytest.raises(RuntimeError), leader:
            raise RuntimeError
    gate.set()

    assert follower.result(LONG_S) == "onetwothree"
    assert cache.stats()["stored"] == 1
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_cancelled_leader_takes_nothing_from_its_followers(
    streams: bool, emulator: Emulator, gate: threading.Event
) -> None:
    emulator.script(Reply(gate=gate, pieces=("one", "two")))
    cache = Cache.memory()

    async def run() -> Any:
        call = aask_stream if streams else aask_whole
        leader = asyncio.create_task(call(cache))
        await asyncio.to_thread(emulator.wait_for_calls, 1, LONG_S)
        followers = [asyncio.create_task(call(cache)) for _ in range(10)]
        await asyncio.to_thread(until, joined(cache, 10))
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        gate.set()
        return await asyncio.gather(*followers)

    assert set(asyncio.run(run())) == {"onetwo"}
    assert len(emulator.calls) == 1


def test_last_caller_that_is_cancelled_ends_the_call(emulator: Emulator, gate: threading.Event) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()

    async def run() -> None:
        task = asyncio.create_task(aask_whole(cache))
        await asyncio.to_thread(emulator.wait_for_calls, 1, LONG_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(emulator.calls[0].disconnected.wait, LONG_S)

    asyncio.run(run())
    assert cache.stats()["in_flight"] == 0


def test_event_loop_that_ends_hands_over_to_a_thread(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()
    follower: list[Future[str]] = []

    async def run() -> None:
        asyncio.ensure_future(aask_whole(cache))  # noqa: RUF006  # it is to be abandoned
        await asyncio.to_thread(emulator.wait_for_calls, 1, LONG_S)
        follower.append(pool.submit(ask_whole, cache))
        await asyncio.to_thread(until, joined(cache, 1))

    asyncio.run(run())

    assert follower[0].result(LONG_S)
    assert len(emulator.calls) == 2


def test_sync_call_inside_the_loop_that_leads_asks_for_itself(emulator: Emulator, gate: threading.Event) -> None:
    emulator.script(Reply(gate=gate, text="slow"))
    emulator.script(Reply(text="own"))
    cache = Cache.memory()

    async def run() -> tuple[str, str]:
        leader = asyncio.create_task(aask_whole(cache))
        await asyncio.to_thread(emulator.wait_for_calls, 1, LONG_S)
        own = ask_whole(cache)
        gate.set()
        return own, await leader

    assert asyncio.run(run()) == ("own", "slow")


def test_final_error_reaches_all_and_is_asked_once(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate, status=400), times=None)
    cache = Cache.memory()
    futures = [pool.submit(ask_whole, cache) for _ in range(20)]
    until(joined(cache, 19))
    gate.set()

    errors = [future.exception(LONG_S) for future in futures]
    assert all(isinstance(error, BadRequestError) for error in errors)
    assert len(emulator.calls) == 1


def test_after_a_503_exactly_one_asks_again(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate, status=503))
    cache = Cache.memory()
    futures = [pool.submit(completion, MODEL, HELLO, cache=cache, num_retries=0) for _ in range(20)]
    until(joined(cache, 19))
    gate.set()

    errors = [error for future in futures if (error := future.exception(LONG_S)) is not None]
    assert len(errors) == 1
    assert isinstance(errors[0], ServiceUnavailableError)
    assert len(emulator.calls) == 2


def test_vendor_that_is_down_gets_the_retries_of_few_and_not_of_all(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate, status=503, headers={"retry-after": "0.001"}), times=None)
    cache = Cache.memory()
    futures = [pool.submit(completion, MODEL, HELLO, cache=cache, num_retries=2) for _ in range(100)]
    until(joined(cache, 99))
    gate.set()

    assert all(isinstance(future.exception(LONG_S), ServiceUnavailableError) for future in futures)
    assert len(emulator.calls) == 4


@pytest.mark.parametrize("world", ["waits", "awaits"])
def test_reader_who_never_reads_holds_nobody_up(world: str, emulator: Emulator) -> None:
    cache = Cache.memory()
    if world == "waits":
        unread = completion(MODEL, HELLO, cache=cache, stream=True)
        read = ask_stream(cache)
        assert text(unread) == read
    else:

        async def run() -> tuple[str, str]:
            unread = await acompletion(MODEL, HELLO, cache=cache, stream=True)
            read = await aask_stream(cache)
            return text([chunk async for chunk in unread]), read

        unread_text, read = asyncio.run(run())
        assert unread_text == read
    assert len(emulator.calls) == 1


def test_stream_that_breaks_off_breaks_off_for_all(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(pieces=("one", "two", "three"), gates={2: gate}, cut_after_events=3))
    cache = Cache.memory()
    futures = [pool.submit(ask_stream, cache) for _ in range(10)]
    until(joined(cache, 9))
    gate.set()

    assert all(isinstance(future.exception(LONG_S), APIConnectionError) for future in futures)
    assert cache.stats()["stored"] == 0


@pytest.mark.parametrize(("events_read", "stored"), [(2, 0), (4, 0), (5, 1)], ids=["middle", "before last", "last"])
def test_reader_who_stops_early_leaves_the_record_it_should(
    events_read: int, stored: int, emulator: Emulator, gate: threading.Event
) -> None:
    # Events: role, one, two, three, finish, usage, [DONE]; each after the first waits for its gate.
    gates = {index: threading.Event() for index in range(1, 7)}
    emulator.script(Reply(pieces=("one", "two", "three"), gates=gates))
    cache = Cache.memory()
    with completion(MODEL, HELLO, cache=cache, stream=True) as stream:
        for index in range(events_read):
            if index:
                gates[index].set()
            next(stream)
    for event in gates.values():
        event.set()

    assert cache.stats()["stored"] == stored


def test_calls_of_two_caches_do_not_join(emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor) -> None:
    emulator.script(Reply(gate=gate), times=2)
    caches = Cache.memory(), Cache.memory()
    futures = [pool.submit(ask_whole, cache) for cache in caches]
    emulator.wait_for_calls(2, LONG_S)
    gate.set()

    assert futures[0].result(LONG_S) != futures[1].result(LONG_S)
    assert [cache.stats()["stored"] for cache in caches] == [1, 1]


def test_no_cache_does_not_join(emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor) -> None:
    emulator.script(Reply(gate=gate), times=2)
    cache = Cache.memory()
    futures = [pool.submit(completion, MODEL, HELLO, cache=cache) for _ in range(1)]
    emulator.wait_for_calls(1, LONG_S)
    with cache:
        futures.append(pool.submit(lambda: completion(MODEL, HELLO, cache={"no-cache": True})))
        assert cache.stats()["joins"] == 0
        gate.set()
        [future.result(LONG_S) for future in futures]


def test_failure_of_a_batch_is_everybodys_who_waited_for_its_inputs(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate, status=503), times=None)
    cache = Cache.memory()
    model, inputs = "openai/text-embedding-3-small", ["a", "b"]
    futures = [pool.submit(embedding, model, inputs, cache=cache, num_retries=0) for _ in range(5)]
    until(joined(cache, 8))
    gate.set()

    assert all(isinstance(future.exception(LONG_S), ServiceUnavailableError) for future in futures)
    assert len(emulator.calls) == 1


def test_inputs_that_are_on_their_way_are_not_asked_again(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate), times=None)
    cache = Cache.memory()
    first = pool.submit(embedding, "openai/text-embedding-3-small", ["a", "b"], cache=cache)
    emulator.wait_for_calls(1, LONG_S)
    second = pool.submit(embedding, "openai/text-embedding-3-small", ["b", "c", "b"], cache=cache)
    third = pool.submit(lambda: asyncio.run(aembedding("openai/text-embedding-3-small", ["c", "a"], cache=cache)))
    until(joined(cache, 3))
    gate.set()

    vectors = {
        name: item.embedding
        for future, names in ((first, "ab"), (second, "bcb"), (third, "ca"))
        for name, item in zip(names, future.result(LONG_S).data, strict=True)
    }
    assert sorted(vectors) == ["a", "b", "c"]
    asked = [call.body["input"] for call in emulator.calls]
    assert sorted(text for texts in asked for text in texts) == ["a", "b", "c"]
