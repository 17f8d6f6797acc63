"""How a Redis is reached: TLS, users, sockets, sentinels; and how few connections that takes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from ostinato import Cache
from ostinato.errors import StoreError
from ostinato.testing.store_face import KINDS, Face, key_of
from tests.stores.redis_cases import ended_well, fork, left, opened, stored
from tests.stores.redis_server import (
    PASSWORD,
    RedisServer,
    binaries,
    certificate,
    free_port,
    speaks_tls,
    version,
    wait_until,
)


@pytest.fixture(scope="module", params=binaries()[:1], ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD, save="") as running:
        yield running


def works(place: dict[str, Any]) -> None:
    """Set and get through both faces."""
    for kind in KINDS:
        with opened(place, timeout_ms=10_000) as store, left(Face(store, kind)) as face:
            face.set(key_of(kind), b"v")
            store.flush()
            assert face.get(key_of(kind)) == b"v"


@pytest.mark.parametrize("binary", binaries(), ids=version)
def test_tls_is_spoken_and_a_stranger_s_certificate_refused(binary: str, tmp_path: Path) -> None:
    if not speaks_tls(binary):
        pytest.skip(f"{version(binary)} was built without TLS")
    cert, key = certificate(tmp_path)
    tls_port = free_port()
    with RedisServer(
        binary,
        tls_port=str(tls_port),
        tls_cert_file=str(cert),
        tls_key_file=str(key),
        tls_ca_cert_file=str(cert),
        tls_auth_clients="no",
    ):
        url = f"rediss://127.0.0.1:{tls_port}"
        works({"redis_url": f"{url}?ssl_ca_certs={cert}"})
        works({"host": "127.0.0.1", "port": tls_port, "ssl": True, "ssl_ca_certs": str(cert)})
        works({"host": "127.0.0.1", "port": tls_port, "ssl": True, "ssl_cert_reqs": "none"})
        for kind in KINDS:
            with (
                opened({"redis_url": url}, timeout_ms=10_000) as store,
                left(Face(store, kind)) as face,
                pytest.raises(StoreError, match="certificate verify failed"),
            ):
                face.get(key_of("k"))


def test_a_user_needs_no_more_than_four_commands_on_the_prefix(server: RedisServer) -> None:
    server.ask("ACL", "SETUSER", "app", "on", ">secret", "~ostinato:*", "+get", "+set", "+unlink", "+scan")
    with opened({**server.settings, "username": "app", "password": "secret"}, timeout_ms=10_000) as store:
        stored(store)
        assert store.get(key_of(0)) == b"value of " + key_of(0)
        assert store.delete(key_of(0)) is True
        assert len(list(store.scan())) == 2
        assert store.clear() == 2
        assert "may not do this" in store.stats()["problem"]


def test_a_unix_socket_is_a_place_too(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(binaries()[0], unixsocket=str(path)):
        works({"unix_socket_path": str(path)})
        works({"redis_url": f"unix://{path}?db=3"})


def test_the_master_is_found_by_sentinels(server: RedisServer, tmp_path: Path) -> None:
    with sentinel(server.binary, tmp_path, server) as watcher:
        works({"sentinel_nodes": [("127.0.0.1", watcher.port)], "service_name": "main", "password": PASSWORD})


@pytest.mark.soak
def test_a_master_that_changes_is_found_again(tmp_path: Path) -> None:
    binary = binaries()[0]
    with RedisServer(binary, password=PASSWORD) as first, RedisServer(binary, password=PASSWORD) as second:
        second.ask("REPLICAOF", "127.0.0.1", first.port)
        wait_until(lambda: second.info("replication")["master_link_status"] == "up")
        with sentinel(binary, tmp_path, first) as watcher:
            place = {"sentinel_nodes": [("127.0.0.1", watcher.port)], "service_name": "main", "password": PASSWORD}
            with opened(place, timeout_ms=10_000) as store:
                stored(store)
                wait_until(lambda: len(watcher.ask("SENTINEL", "REPLICAS", "main")) == 1)
                wait_until(lambda: begins_failover(watcher))
                wait_until(lambda: second.info("replication")["role"] == "master")
                first.stop()
                store.set(key_of("after"), b"v")
                wait_until(lambda: not store.stats()["pending"])
                assert second.ask("GET", b"ostinato:" + key_of("after")) == b"v"
                assert store.get(key_of(0)) == b"value of " + key_of(0)


def begins_failover(watcher: RedisServer) -> bool:
    """Return whether the sentinel has looked at the replica long enough to promote it."""
    try:
        watcher.ask("SENTINEL", "FAILOVER", "main")
    except redis.ResponseError:
        return False
    return True


@contextlib.contextmanager
def sentinel(binary: str, folder: Path, master: RedisServer) -> Iterator[RedisServer]:
    port = free_port()
    config = folder / "sentinel.conf"
    config.write_text(
        f"sentinel monitor main 127.0.0.1 {master.port} 1\nsentinel auth-pass main {PASSWORD}\n"
        "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n"
    )
    with RedisServer(binary, port=port, arguments=[str(config), "--sentinel"]) as running:
        yield running


def test_two_caches_of_one_server_share_its_connections(server: RedisServer) -> None:
    one, other = (Cache.redis(server.url, cache_seed=seed, timeout_ms=10_000) for seed in (1, 2))
    before = server.info("clients")["connected_clients"]
    for cache in (one, other):
        assert cache.get("absent") is None
    one.set("k", "v")
    one.flush()

    assert server.info("clients")["connected_clients"] == before + 1
    assert other.get("k") is None
    one.close()
    assert other.get("absent") is None
    assert server.info("clients")["connected_clients"] == before + 1
    other.close()
    assert server.info("clients")["connected_clients"] == before


@pytest.mark.parametrize("hits", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_eight_threads_hit_one_cache_on_one_pool_without_a_failure(server: RedisServer, hits: int) -> None:
    before = server.info("stats")["total_connections_received"]
    with opened(server.settings, timeout_ms=10_000) as store:
        keys = stored(store, 100)

        def hit(worker: int) -> int:
            return sum(store.get(keys[step % 100]) == b"value of " + keys[step % 100] for step in range(hits))

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(hit, range(8))) == [hits] * 8
        stats = store.stats()

        assert (stats["failures"], stats["reconnects"], stats["breaker_opened"]) == (0, 0, 0)
        assert server.info("stats")["total_connections_received"] - before <= 8 + 3


def test_more_threads_than_connections_wait_for_one(server: RedisServer) -> None:
    with opened(server.settings, timeout_ms=10_000, max_connections=2) as store:
        keys = stored(store, 10)
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda step: store.get(keys[step % 10]), range(800)))

        assert found == [b"value of " + keys[step % 10] for step in range(800)]
        assert store.stats()["connections"] <= 2


def test_many_tasks_share_one_connection_of_their_loop(server: RedisServer) -> None:
    with opened(server.settings, timeout_ms=10_000) as store:
        keys = stored(store, 100)

        async def hit() -> list[bytes | None]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(store.aget(keys[step % 100])) for step in range(1000)]
            assert store.stats()["connections"] == 2  # one of the loop, one of the threads
            return [task.result() for task in tasks]

        assert asyncio.run(hit()) == [b"value of " + keys[step % 100] for step in range(1000)]


def test_a_task_that_goes_away_leaves_the_replies_of_the_others_where_they_belong(server: RedisServer) -> None:
    with opened(server.settings, timeout_ms=10_000) as store:
        keys = stored(store, 50)

        async def hit() -> list[bytes | BaseException | None]:
            await store.aget(keys[0])
            tasks = [asyncio.create_task(store.aget(key)) for key in keys]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        found = asyncio.run(hit())

        assert found[1::2] == [b"value of " + key for key in keys[1::2]]
        assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])


def test_a_loop_that_ends_takes_its_connection_with_it(server: RedisServer) -> None:
    before = server.info("clients")["connected_clients"]
    with opened(server.settings, timeout_ms=10_000) as store:
        for _ in range(5):
            asyncio.run(store.aget(key_of("k")))

        wait_until(lambda: server.info("clients")["connected_clients"] == before)
        assert store.stats()["failures"] == 0


def test_a_child_that_was_forked_while_threads_ask_has_connections_of_its_own(server: RedisServer) -> None:
    with opened(server.settings, timeout_ms=10_000) as store:
        keys = stored(store, 10)
        over = threading.Event()
        wrong: list[bytes | None] = []

        def hit() -> None:
            while not over.is_set():
                wrong.extend(found for key in keys if (found := store.get(key)) != b"value of " + key)

        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(hit) for _ in range(4)]
            children = [fork(lambda: all(store.get(key) == b"value of " + key for key in keys)) for _ in range(5)]
            well = [ended_well(child) for child in children]
            over.set()
            for run in runs:
                run.result(20)

        assert well == [True] * 5
        assert wrong == []


def test_nothing_of_a_prompt_or_a_password_is_on_the_server(server: RedisServer) -> None:
    with Cache.redis(server.url, namespace="tenant-of-gold", timeout_ms=10_000) as cache:
        cache.set("prompt-of-silver", "v")
        cache.flush()
        keys = server.ask("KEYS", "*")

    assert all(key.startswith(b"ostinato:") and len(key) == 49 for key in keys)
    assert not any(word in b"".join(keys) for word in (b"gold", b"silver", PASSWORD.encode()))


def test_clearing_a_cache_leaves_what_is_not_its_own(server: RedisServer) -> None:
    server.ask("SET", "somebody else's", "1")
    with (
        Cache.redis(server.url, cache_seed=1, timeout_ms=10_000) as mine,
        Cache.redis(server.url, cache_seed=2, timeout_ms=10_000) as theirs,
    ):
        mine.clear()
        for cache in (mine, theirs):
            cache.set("k", "v")
        assert mine.clear() == 1
        assert theirs.get("k") == "v"
        assert theirs.clear() == 1

    assert server.ask("GET", "somebody else's") == b"1"
