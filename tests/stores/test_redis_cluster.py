"""A cluster whose slots move, and whose servers are lost."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ostinato.caching.stores.redis_cluster import slot_of
from ostinato.caching.stores.redis_node import FAILURES
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
