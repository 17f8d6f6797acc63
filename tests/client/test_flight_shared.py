"""Two caches over one folder, each with its part of a flight: what processes do, without any."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato import APIConnectionError, AuthenticationError, Cache, acompletion, completion, embedding
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, LONG_S, MODEL, aask_stream, ask_stream, ask_whole, joined, text, until

VECTORS = "openai/text-embedding-3-small"
ONE_TWO_THREE = ("one ", "two ", "three")


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[tuple[Cache, Cache]]:
    with Cache.disk(cache_path_root=tmp_path) as one, Cache.disk(cache_path_root=tmp_path) as other:
        yield one, other


def test_a_leader_that_never_reads_on_holds_nobody_up(
    emulator: Emulator, caches: tuple[Cache, Cache], pool: ThreadPoolExecutor
) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE, gates={2: gate}))
    leader = completion(MODEL, HELLO, cache=caches[0], stream=True)
    follower = pool.submit(ask_stream, caches[1])
    until(joined(caches[1], 1))
    gate.set()

    assert follower.result(LONG_S) == "one two three"
    assert text(leader) == "one two three"
    assert len(emulator.calls) == 1


def test_an_awaiting_leader_that_pauses_holds_nobody_up(emulator: Emulator, caches: tuple[Cache, Cache]) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE, gates={2: gate}))

    async def run() -> tuple[str, str]:
        leader = await acompletion(MODEL, HELLO, cache=caches[0], stream=True)
        follower = asyncio.create_task(aask_stream(caches[1]))
        await asyncio.to_thread(until, joined(caches[1], 1))
        gate.set()
        theirs = await follower
        return theirs, text([chunk async for chunk in leader])

    assert asyncio.run(run()) == ("one two three", "one two three")


@pytest.mark.parametrize("leaves", ["close", "drop"])
def test_a_leader_that_leaves_takes_nothing_from_who_follows(
    leaves: str, emulator: Emulator, caches: tuple[Cache, Cache], pool: ThreadPoolExecutor
) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE, gates={2: gate}))
    leader = completion(MODEL, HELLO, cache=caches[0], stream=True)
    next(leader)
    follower = pool.submit(ask_stream, caches[1])
    until(joined(caches[1], 1))
    if leaves == "close":
        leader.close()
    del leader
    gate.set()

    assert follower.result(LONG_S) == "one two three"
    assert len(emulator.calls) == 1
    until(lambda: caches[0].stats()["in_flight"] == 0)
    assert ask_whole(caches[0]) == "one two three"


def test_a_leader_that_nobody_follows_hangs_up_when_it_leaves(emulator: Emulator, caches: tuple[Cache, Cache]) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE * 50, gates={2: gate}, chunk_delay_s=0.01))
    with completion(MODEL, HELLO, cache=caches[0], stream=True) as leader:
        next(leader)
    gate.set()
    until(lambda: caches[0].stats()["in_flight"] == 0)
    assert emulator.calls[0].disconnected.wait(LONG_S)

    assert caches[0].stats()["stored"] == 0


def test_an_error_is_told_in_full_and_without_the_key(
    emulator: Emulator, caches: tuple[Cache, Cache], gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate, status=401, error="no such key: planted-key"))
    leader = pool.submit(ask_whole, caches[0])
    emulator.wait_for_calls(1, LONG_S)
    follower = pool.submit(ask_stream, caches[1])
    until(joined(caches[1], 1))
    gate.set()

    errors: list[Any] = [leader.exception(LONG_S), follower.exception(LONG_S)]
    assert all(isinstance(error, AuthenticationError) for error in errors)
    assert str(errors[0]) == str(errors[1])
    assert errors[0].request_id == errors[1].request_id
    assert "planted-key" not in repr(vars(errors[1]))


def test_a_stream_that_breaks_off_breaks_off_for_who_follows(
    emulator: Emulator, caches: tuple[Cache, Cache], pool: ThreadPoolExecutor
) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE, gates={2: gate}, cut_after_events=3))
    leader = pool.submit(ask_stream, caches[0])
    emulator.wait_for_calls(1, LONG_S)
    follower = pool.submit(ask_stream, caches[1])
    until(joined(caches[1], 1))
    gate.set()

    assert isinstance(leader.exception(LONG_S), APIConnectionError)
    assert isinstance(follower.exception(LONG_S), APIConnectionError)
    assert len(emulator.calls) == 1


def test_streamed_and_whole_calls_follow_each_other(
    emulator: Emulator, caches: tuple[Cache, Cache], gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    for first, second in ((ask_stream, ask_whole), (ask_whole, ask_stream)):
        emulator.reset()
        caches[0].clear()
        gate.clear()
        emulator.script(Reply(gate=gate))
        leader = pool.submit(first, caches[0])
        emulator.wait_for_calls(1, LONG_S)
        before = caches[1].stats()["joins"]
        follower = pool.submit(second, caches[1])
        until(joined(caches[1], before + 1))
        gate.set()

        assert leader.result(LONG_S) == follower.result(LONG_S)
        assert len(emulator.calls) == 1
        gate.clear()


def test_caches_over_one_store_find_what_has_only_just_landed(emulator: Emulator, caches: tuple[Cache, Cache]) -> None:
    with Cache(store=caches[0].store, cache_seed=42) as neighbour:
        paid = completion(MODEL, HELLO, cache=caches[0])
        found = completion(MODEL, HELLO, cache=neighbour)
        assert (paid.cache_hit, found.cache_hit) == (False, True)
        assert neighbour.clear() == 1


def test_texts_to_embed_are_asked_once_by_all(
    emulator: Emulator, caches: tuple[Cache, Cache], gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate), times=None)
    first = pool.submit(embedding, VECTORS, ["a", "b"], cache=caches[0])
    emulator.wait_for_calls(1, LONG_S)
    second = pool.submit(embedding, VECTORS, ["b", "c"], cache=caches[1])
    until(joined(caches[1], 1))
    gate.set()

    assert first.result(LONG_S).data[1].embedding == second.result(LONG_S).data[0].embedding
    asked = [name for call in emulator.calls for name in call.body["input"]]
    assert sorted(asked) == ["a", "b", "c"]


def test_sealed_streams_are_followed_by_who_has_the_key(
    emulator: Emulator, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=ONE_TWO_THREE, gates={2: gate}))
    one, other = (Cache.disk(cache_path_root=tmp_path, encryption_key="k" * 32) for _ in range(2))
    with one, other:
        leader = pool.submit(ask_stream, one)
        emulator.wait_for_calls(1, LONG_S)
        follower = pool.submit(ask_stream, other)
        until(joined(other, 1))
        gate.set()
        assert leader.result(LONG_S) == follower.result(LONG_S) == "one two three"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("cache.db*"))

    assert len(emulator.calls) == 1
    assert b"three" not in kept


def test_a_refresh_behind_a_stale_hit_is_asked_once_by_all(
    emulator: Emulator, tmp_path: Path, gate: threading.Event
) -> None:
    settings: dict[str, Any] = {"cache_path_root": tmp_path, "soft_ttl": 0}
    with Cache.disk(**settings) as one, Cache.disk(**settings) as other:
        paid = ask_whole(one)
        one.flush()
        emulator.script(Reply(gate=gate, text="newer"))
        assert ask_whole(one) == paid
        emulator.wait_for_calls(2, LONG_S)
        assert ask_whole(other) == paid
        until(joined(other, 1))
        gate.set()
        until(lambda: one.stats()["stored"] == 2)
        until(lambda: other.stats()["in_flight"] == 0)

        assert len(emulator.calls) == 2


def test_a_miss_makes_one_transaction_before_it_goes_out_and_one_after_it_and_a_hit_none(
    emulator: Emulator, caches: tuple[Cache, Cache], gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    store: Any = caches[0].store
    ask_whole(caches[0], "to open the file")
    caches[0].flush()
    said: list[str] = []
    store._writer._opened[0].set_trace_callback(said.append)

    def transactions() -> int:
        caches[0].flush()
        begun = sum(statement.startswith("BEGIN") for statement in said)
        said.clear()
        return begun

    emulator.script(Reply(gate=gate))
    missed = pool.submit(ask_whole, caches[0])
    emulator.wait_for_calls(2, LONG_S)
    before = transactions()
    gate.set()
    missed.result(LONG_S)
    after = transactions()
    ask_whole(caches[0])

    assert (before, after, transactions()) == (1, 1, 0)
