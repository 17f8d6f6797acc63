"""Leases in a Redis: names, rights, evictions, and how news are heard."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import Cache, StoreError, completion
from ostinato.caching.stores.leases import Lead, Live, News, Seen
from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_cluster import slot_of
from ostinato.caching.stores.redis_leases import RedisLeases
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.testing.emulator import Emulator, Reply
from ostinato.testing.lease_suite import KEY, LeasingStore, led, tell
from ostinato.testing.store_face import key_of
from tests.stores.redis_server import RedisServer, binaries, wait_until


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0]) as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ask("FLUSHALL")
    return running


def opened(server: RedisServer, **settings: Any) -> Any:
    """Return a store, with its leases."""
    return RedisStore(read_settings({**server.settings, "timeout_ms": 10_000, **settings}, {}))


@given(st.binary(min_size=40, max_size=40), st.sampled_from(["ostinato:", "{app}:", ""]))
def test_the_keys_of_one_call_are_in_one_slot_and_begin_with_the_prefix(key: bytes, prefix: str) -> None:
    settings = read_settings({"startup_nodes": "127.0.0.1:1", "prefix": prefix}, {})
    leases = RedisLeases(None, settings, None, None, lease_s=5)  # type: ignore[arg-type]  # nobody is asked
    names = leases._names(key)

    assert len({slot_of(name) for name in names}) == 1
    assert len(set(names)) == 3
    assert all(name.startswith(prefix.encode()) for name in names)


def test_leases_are_no_entries(server: RedisServer) -> None:
    store = opened(server)
    lead = led(store.leases.claim(KEY))
    tell(store, lead, 0, b"frame")

    assert list(store.scan()) == []
    assert store.clear(KEY[:8]) == 0
    assert isinstance(store.leases.claim(KEY), Live)
    store.close()


def test_everything_but_the_entry_is_forgotten_in_time(server: RedisServer) -> None:
    store = opened(server)
    lead = led(store.leases.claim(KEY))
    store.leases.claim(KEY)
    tell(store, lead, 0, b"frame")
    kept = {key: server.ask("PTTL", key) for key in server.ask("KEYS", "*")}

    assert len(kept) == 2
    assert all(0 < left_ms <= 3_600_000 for left_ms in kept.values())
    store.close()


def test_a_user_without_the_rights_has_no_leases_and_asks_for_none_again(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">secret", "~ostinato:*", "+get", "+set", "+unlink", "+scan")
    store = opened(server, username="app", password="secret")
    with pytest.raises(StoreError, match="may not do this"):
        store.leases.claim(KEY)

    assert store.leases.claim(KEY) is None
    store.close()


def documented_user() -> list[str]:
    """Return the command that the documentation has for a user with all rights."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
    return next(line for line in page.splitlines() if line.startswith("ACL SETUSER")).split()


@pytest.mark.parametrize("right", ["eval", "time", "hmget", "hset", "del", "pexpire", "llen", "rpush"])
def test_who_may_not_do_all_that_leading_takes_leads_nobody_and_hears_so_once(
    server: RedisServer,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    right: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    server.ask("ACL", "DELUSER", "cache")
    server.ask(*[word for word in documented_user() if word != f"+{right}"])
    with Cache(store=opened(server, username="cache", password="password")) as cache:
        with caplog.at_level(logging.WARNING, logger="ostinato"):
            for text in ("one", "two"):
                answers = [completion("openai/gpt-4o", [{"role": "user", "content": text}], cache=cache) for _ in "ab"]
                assert [answer.cache_hit for answer in answers] == [False, True]
        cache.flush()

        assert cache.stats()["store_errors"] == 1
    assert len(caplog.records) == 1
    assert server.ask("KEYS", "*~l*") == []


def listening(store: LeasingStore) -> float:
    """Return the seconds after which a follower hears of what a leader tells."""
    lead = led(store.leases.claim(KEY))
    store.leases.claim(KEY)
    while store.leases.wait([KEY], 0.05):
        pass
    told_at = []

    def leader() -> None:
        told_at.append(monotonic())
        tell(store, lead, 0, b"frame")

    timer = threading.Timer(0.05, leader)
    timer.start()
    rung = store.leases.wait([KEY], 5)
    heard_at = monotonic()
    timer.join()
    assert list(rung) == [KEY]
    assert store.leases.follow([Seen(KEY, lead.token, 0)]) == [News([b"frame"])]
    return heard_at - told_at[0]


def test_who_follows_is_told_of_news(server: RedisServer) -> None:
    store = opened(server)
    assert listening(store) < 4
    assert list(store.leases.wait([KEY], 0.05)) == []
    store.close()


def test_the_rights_that_the_documentation_lists_are_enough_to_lead_and_to_be_told(server: RedisServer) -> None:
    server.ask(*documented_user())
    store = opened(server, username="cache", password="password")

    assert listening(store) < 4
    assert not store.leases.ear._deaf
    store.close()


def test_who_may_not_listen_looks_for_news_by_itself(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "deaf", "on", ">secret", "~ostinato:*", "+@all", "-subscribe", "resetchannels")
    store = opened(server, username="deaf", password="secret")
    lead = led(store.leases.claim(KEY))
    store.leases.claim(KEY)
    looks = [list(store.leases.wait([KEY], 5)) for _ in range(3)]
    tell(store, lead, 0, b"frame")

    assert looks == [[KEY]] * 3
    assert store.leases.follow([Seen(KEY, lead.token, 0)]) == [News([b"frame"])]
    store.close()


@pytest.mark.parametrize("how", ["interrupt", "close"])
def test_a_thread_that_waits_goes_on_when_there_is_more_to_follow_or_the_store_is_closed(
    server: RedisServer, how: str
) -> None:
    store = opened(server)
    store.leases.claim(KEY)
    while store.leases.wait([KEY], 0.05):
        pass
    timer = threading.Timer(0.05, store.leases.interrupt if how == "interrupt" else store.close)
    timer.start()
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.submit(store.leases.wait, [KEY], 30).result(10)) in ([], [KEY])
    timer.join()
    store.close()


@pytest.mark.parametrize("how", ["nothing to hear", "close", "aclose"])
def test_waiting_takes_a_connection_of_its_own_and_gives_it_back(server: RedisServer, how: str) -> None:
    def subscribers() -> int:
        return sum("cmd=subscribe" in line for line in server.ask("CLIENT", "LIST").decode().splitlines())

    store = opened(server, max_connections=1)
    store.leases.claim(KEY)
    store.leases.wait([KEY], 0.01)
    waiting = subscribers()
    assert isinstance(store.leases.claim(key_of("another")), Lead)
    match how:
        case "close":
            store.close()
        case "aclose":
            asyncio.run(store.aclose())
        case _:
            store.leases.wait([], 0)

    assert waiting == 1
    wait_until(lambda: subscribers() == 0)
    store.close()


def test_a_stream_that_the_server_evicted_is_followed_by_nobody(server: RedisServer) -> None:
    store = opened(server)
    lead = led(store.leases.claim(KEY))
    store.leases.claim(KEY)
    tell(store, lead, 0, b"one", b"two")
    server.ask("DEL", *(key for key in server.ask("KEYS", "*") if b"live:" in key))
    tell(store, lead, 2, b"three")

    assert store.leases.follow([Seen(KEY, lead.token, 2)]) == [News([], gone=True)]
    assert store.leases.claim(KEY) is None
    assert tell(store, lead, 3, end="landed", value=b"entry") == "followed"
    assert store.get(KEY) == b"entry"
    store.close()


def test_an_answer_that_is_too_large_is_told_and_not_stored_nor_is_the_one_before_it(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(server, max_value_bytes=1000)
    store.set(KEY, b"old")
    store.flush()
    lead = led(store.leases.claim(KEY, over=True))
    tell(store, lead, 0, b"frame", end="landed", value=b"x" * 1001)

    assert store.get(KEY) is None
    assert store.stats()["oversized"] == 1
    assert [record.getMessage().partition(" is larger")[0] for record in caplog.records] == ["an answer of 1001 bytes"]
    store.close()


def test_a_miss_asks_the_server_twice_before_it_goes_out_and_a_hit_once(
    server: RedisServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    hello = [{"role": "user", "content": "hello"}]
    with Cache(store=opened(server)) as cache, ThreadPoolExecutor(1) as pool:
        server.ask("CONFIG", "RESETSTAT")
        missed = pool.submit(completion, "openai/gpt-4o", hello, cache=cache)
        emulator.wait_for_calls(1, 30)
        miss = asked(server)
        gate.set()
        missed.result(30)
        cache.flush()
        server.ask("CONFIG", "RESETSTAT")
        hit = completion("openai/gpt-4o", hello, cache=cache)

    assert miss == {"get": 1, "eval": 1}
    assert hit.cache_hit
    assert asked(server) == {"get": 1, "eval": 0}


def asked(server: RedisServer) -> dict[str, int]:
    """Return how often the server was asked for an entry and for a script, which looks for one itself."""
    stats = server.info("commandstats")
    gets, evals = (int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("get", "eval"))
    return {"get": gets - evals, "eval": evals}
