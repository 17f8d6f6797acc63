"""A cluster whose slots move, and whose servers are lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_cluster import slot_of
from ostinato.caching.stores.redis_node import FAILURES
from ostinato.errors import StoreError
from ostinato.testing.store_face import key_of
from tests.stores.redis_cases import fails, opened, stored
from tests.stores.redis_server import RedisServer, binaries, cluster, wait_until


def place_of(servers: list[RedisServer]) -> dict[str, Any]:
    return {"startup_nodes": [("127.0.0.1", server.port) for server in servers]}


def test_a_lost_node_of_a_cluster_costs_its_own_keys_alone() -> None:
    with cluster(binaries()[0], cluster_require_full_coverage="no") as servers, opened(place_of(servers)) as store:
        keys = stored(store, 60)
        lost = [key for key in keys if slot_of(b"ostinato:" + key) < 16384 // 3]
        servers[0].stop()
        answered = {key: not fails(partial(store.get, key)) for key in keys for _ in range(3)}
        stats = store.stats()

        assert lost
        assert [key for key, there in answered.items() if not there] == lost
        assert stats["nodes"][f"127.0.0.1:{servers[0].port}"]["breaker"] == "open"
        assert [node["breaker"] for node in stats["nodes"].values()].count("closed") == 2
        assert stats["failures"] <= FAILURES + 1
        found = asyncio.run(store.aget(next(key for key in keys if key not in lost)))
        assert found is not None
        servers[0].start()
        wait_until(lambda: not fails(partial(store.get, lost[0])))
        for key in keys:
            store.set(key, b"again")
        wait_until(lambda: not fails(store.flush))
        assert {store.get(key) for key in keys} == {b"again"}


def test_one_server_of_a_cluster_is_not_taken_for_the_whole() -> None:
    with cluster(binaries()[0]) as servers:
        with opened({"host": "127.0.0.1", "port": servers[0].port}) as store:
            with pytest.raises(StoreError, match=r"redis\+cluster://"):
                list(store.scan())
            with pytest.raises(StoreError, match=r"redis\+cluster://"):
                store.clear()
        with opened(place_of(servers)) as store:
            assert list(store.scan()) == []


def test_a_slot_that_moves_is_followed() -> None:
    name = next(f"{{{n}}}" for n in range(10**6) if slot_of(f"{{{n}}}".encode()) == 0)
    with cluster(binaries()[0]) as servers, opened(place_of(servers), timeout_ms=5000, prefix=name) as store:
        keys = stored(store, 5)
        ids = [str(server.ask("CLUSTER", "MYID"), "ascii") for server in servers]
        servers[1].ask("CLUSTER", "SETSLOT", 0, "IMPORTING", ids[0])
        servers[0].ask("CLUSTER", "SETSLOT", 0, "MIGRATING", ids[1])
        moved = name.encode() + keys[0]
        servers[0].ask("MIGRATE", "127.0.0.1", servers[1].port, moved, 0, 1000)

        assert store.get(keys[0]) == b"value of " + keys[0]  # ASK
        assert asyncio.run(store.aget(keys[0])) == b"value of " + keys[0]
        assert store.get(keys[1]) == b"value of " + keys[1]
        store.set(keys[0], b"new")
        store.flush()
        assert store.get(keys[0]) == b"new"
        assert sorted(key for key, _ in store.scan()) == sorted(keys)
        for key in keys[1:]:
            servers[0].ask("MIGRATE", "127.0.0.1", servers[1].port, name.encode() + key, 0, 1000)
        for server in servers:
            server.ask("CLUSTER", "SETSLOT", 0, "NODE", ids[1])
        assert asyncio.run(store.aget(keys[1])) == b"value of " + keys[1]  # MOVED
        assert store.get(keys[2]) == b"value of " + keys[2]
        assert store.stats()["redirects"] >= 3
        assert store.clear() == 5


def write(store: RedisStore, key: bytes) -> None:
    store.set(key, b"again")
    store.flush()


def test_who_took_over_a_lost_server_s_slots_is_found_whatever_asks() -> None:
    asks: list[Callable[[RedisStore, bytes], object]] = [
        lambda store, key: store.get(key),
        lambda store, key: store.find(key),
        lambda store, key: asyncio.run(store.afind(key)),
        write,
        lambda store, key: list(store.scan()),
    ]
    with cluster(binaries()[0], cluster_require_full_coverage="no") as servers, contextlib.ExitStack() as stack:
        # Stores that have nothing in common: each has to find out for itself.
        stores = [stack.enter_context(opened(place_of(servers), max_connections=10 + n)) for n in range(len(asks))]
        key = next(key for key in map(key_of, range(100)) if slot_of(b"ostinato:" + key) < 16384 // 3)
        for store, ask in zip(stores, asks, strict=True):
            ask(store, key)
        servers[0].stop()
        assert all(fails(partial(store.get, key)) for store in stores)
        for server in servers[1:]:
            server.ask("CLUSTER", "DELSLOTSRANGE", 0, 16384 // 3 - 1)
        servers[1].ask("CLUSTER", "ADDSLOTSRANGE", 0, 16384 // 3 - 1)
        servers[1].ask("CLUSTER", "BUMPEPOCH")

        for store, ask in zip(stores, asks, strict=True):
            wait_until(lambda store=store, ask=ask: not fails(partial(ask, store, key)))
