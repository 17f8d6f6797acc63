"""What a call sees of a Redis that fails: an answer, after one deadline at most; the cache heals by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest

import ostinato
from ostinato import Cache
from ostinato.caching.export import export_lines
from ostinato.testing.emulator import Emulator
from tests.stores.redis_cases import TIMEOUT_MS, fails
from tests.stores.redis_server import RedisServer, binaries, version, wait_until

LARGE = 20_000
KEY = "correct horse battery staple 1"
CACHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "near": {"near_bytes": 2**20},
    "sealed": {"encryption_key": KEY, "tags": ["one", "two"]},
}
"""The ways to keep what a server has; each also with a memory tier in front."""


@pytest.fixture(params=binaries()[:1], ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param) as running:
        yield running


@pytest.fixture(params=[(way, tiers) for way in CACHES for tiers in (1, 2)], ids=lambda way: f"{way[0]} {way[1]}")
def cache(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Cache]:
    way, tiers = request.param
    with Cache.redis(server.url, timeout_ms=TIMEOUT_MS, **CACHES[way]) as shared:
        again = {name: value for name, value in CACHES[way].items() if name != "near_bytes"}
        cache = shared if tiers == 1 else Cache.tiered(Cache.memory(), shared, **again)
        yield cache
        cache.close()


def test_what_others_left_too_large_to_be_read_ends_no_listing_and_is_told(server: RedisServer) -> None:
    with Cache.redis(server.url, timeout_ms=10_000, max_value_bytes=LARGE // 2) as cache:
        cache.set("k", "ours")
        cache.flush()
        server.ask("SET", b"ostinato:" + cache.tag + b"x" * 32, b"x" * LARGE)
        listed = list(cache.entries())
        exported = list(export_lines(cache.shelf, cache.tag))
        unreadable = [store_key for store_key, _, entry in cache.shelf.walk(cache.tag) if entry is None]
        failures = cache.stats()["store"]["failures"]

    assert (len(listed), len(exported), unreadable) == (1, 2, [cache.tag + b"x" * 32])
    assert failures == 0


@pytest.fixture
def vendor(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)


def ask(number: int, cache: Cache) -> bool:
    """Ask one of four ways, see that there is an answer, and return whether it came from the cache."""
    messages = [{"role": "user", "content": f"number {number}"}]
    match number % 4:
        case 0:
            answer: Any = ostinato.completion("openai/gpt-4o", messages, cache=cache)
        case 1:
            answer = ostinato.completion("openai/gpt-4o", messages, stream=True, cache=cache)
        case 2:
            answer = asyncio.run(ostinato.acompletion("openai/gpt-4o", messages, cache=cache))
        case _:
            answer = asyncio.run(streamed(messages, cache))
    if number % 2:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices).startswith("Answer")
    else:
        assert str(answer.choices[0].message.content).startswith("Answer")
    return bool(answer.cache_hit) if number % 2 == 0 else False


async def streamed(messages: list[dict[str, str]], cache: Cache) -> list[Any]:
    stream = await ostinato.acompletion("openai/gpt-4o", messages, stream=True, cache=cache)
    return [chunk async for chunk in stream]


@pytest.mark.usefixtures("vendor")
def test_every_call_is_answered_whatever_becomes_of_the_server(server: RedisServer, cache: Cache) -> None:
    def fill_up() -> None:
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")

    def drain() -> None:
        server.ask("CONFIG", "SET", "maxmemory", "0")

    def demote() -> None:
        server.ask("REPLICAOF", "127.0.0.1", "1")

    def promote() -> None:
        server.ask("REPLICAOF", "NO", "ONE")

    new = count(1000)
    for change in (drain, fill_up, drain, demote, promote, server.stop, server.start, server.freeze, server.thaw):
        change()
        for number in (*range(4), *islice(new, 4)):
            ask(number, cache)
    counters = cache.stats()

    assert counters["store_errors"] > 0
    assert counters["hits"] > 0
    assert counters["misses"] > 0
    wait_until(lambda: not fails(cache.flush) and ask(0, cache) and not fails(cache.flush))
    assert cache.stats()["store"]["breaker"] == "closed"


@pytest.mark.usefixtures("vendor")
def test_a_call_waits_for_a_server_that_says_nothing_once(server: RedisServer, cache: Cache) -> None:
    for number in range(4):
        ask(number, cache)
    cache.flush()
    before = cache.counters.store_errors
    server.freeze()
    # Those that were asked before may be in memory, those that were not are nowhere.
    told = []
    for number in range(100, 108):
        ask(number, cache)
        told.append(cache.counters.store_errors - before)
    server.thaw()

    assert told == list(range(1, 9))


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("kind", ["list", "hash", "garbage", "too long"])
def test_what_is_no_entry_of_ours_answers_nobody_and_is_replaced(kind: str, server: RedisServer) -> None:
    with Cache.redis(server.url, timeout_ms=10_000, max_value_bytes=100_000) as cache:
        for number in (0, 2):
            ask(number, cache)
        cache.flush()
        for name in server.ask("KEYS", "ostinato:*"):
            server.ask("UNLINK", name)
            match kind:
                case "list":
                    server.ask("RPUSH", name, "v")
                case "hash":
                    server.ask("HSET", name, "field", "v")
                case _:
                    server.ask("SET", name, b"\x01" * (20 if kind == "garbage" else 200_000))
        before = cache.stats()
        answered = [ask(number, cache) for number in (0, 2)]
        after = cache.stats()
        cache.flush()

        assert answered == [False, False]
        assert sum(after[name] - before[name] for name in ("broken", "store_errors")) == 2
        assert [ask(number, cache) for number in (0, 2)] == [True, True]
