"""Memory in front of a Redis never says what the Redis has not said within the last second."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from ostinato import Cache
from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_near import BOUND_S
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.errors import ConfigurationError
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import SCOPE, key_of
from tests.stores.redis_cases import TIMEOUT_MS, ended_well, fails, fork, opened, stored
from tests.stores.redis_server import PASSWORD, RedisServer, binaries, version, wait_until

NEAR: dict[str, Any] = {"near_bytes": 2**20, "timeout_ms": 10_000}


@pytest.fixture(scope="module", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD) as running:
        yield running


@pytest.fixture
def near(server: RedisServer) -> Iterator[RedisStore]:
    server.ask("FLUSHALL")
    with opened(server.settings, **NEAR) as store:
        yield store


@pytest.fixture
def far(server: RedisServer) -> Iterator[RedisStore]:
    """Open what another process would have: no word goes between the two but through the server."""
    with opened(server.settings, timeout_ms=10_000) as store:
        yield store


def follows(store: RedisStore) -> bool:
    """Return whether the server reports its changes to `store`, which asks for that when it is first asked."""
    store.get(key_of("anything"))
    return bool(store.stats()["near"]["tracking"])


def warmed(store: RedisStore, keys: list[bytes]) -> None:
    """Have `keys` in memory, to be found without the server."""
    wait_until(lambda: follows(store))
    wait_until(lambda: [store.get(key) for key in keys] and store.stats()["near"]["entries"] >= len(keys))


def questions(server: RedisServer) -> int:
    stats = server.info("stats")
    return int(stats["keyspace_hits"]) + int(stats["keyspace_misses"])


def test_a_near_hit_asks_the_server_nothing(server: RedisServer, near: RedisStore, far: RedisStore) -> None:
    keys = stored(far, 10)
    warmed(near, keys)
    before = questions(server)
    found = [near.get(key) for key in keys]
    awaited = [asyncio.run(near.aget(key)) for key in keys]

    assert questions(server) == before
    assert found == awaited == [b"value of " + key for key in keys]


@pytest.mark.parametrize("change", ["replaced", "deleted", "cleared", "flushed", "expired"])
def test_a_change_elsewhere_is_heard_of(change: str, server: RedisServer, near: RedisStore, far: RedisStore) -> None:
    keys = stored(far)
    warmed(near, keys)
    match change:
        case "replaced":
            far.set(keys[0], b"new")
            far.flush()
        case "deleted":
            far.delete(keys[0])
        case "cleared":
            far.clear(SCOPE)
        case "flushed":
            server.ask("FLUSHALL")
        case "expired":
            server.ask("PEXPIRE", b"ostinato:" + keys[0], 1)

    wait_until(lambda: near.get(keys[0]) == (b"new" if change == "replaced" else None))


def test_what_this_process_changes_is_changed_at_once(near: RedisStore, far: RedisStore) -> None:
    keys = stored(far)
    warmed(near, keys)
    near.set(keys[0], b"new")
    assert near.get(keys[0]) == b"new"
    near.flush()
    assert near.get(keys[0]) == b"new"
    assert near.delete(keys[1]) is True
    assert near.get(keys[1]) is None
    assert near.clear(SCOPE) == 2
    assert [near.get(key) for key in keys] == [None] * 3


def test_an_entry_lives_as_long_near_as_on_the_server(server: RedisServer, far: RedisStore) -> None:
    clock = ManualClock()
    far.set(key_of("short"), b"v", 1000)
    far.set(key_of("long"), b"v")
    far.flush()
    store = RedisStore(read_settings({**server.settings, **NEAR}, {}), clock=clock)
    warmed(store, [key_of("short"), key_of("long")])
    before = questions(server)
    clock.advance(1000)

    assert store.get(key_of("long")) == b"v"
    assert questions(server) == before
    # The server's own clock has not moved: it is asked, and knows better.
    assert store.get(key_of("short")) == b"v"
    assert questions(server) > before
    store.close()


def test_all_is_forgotten_when_the_connection_is_lost(server: RedisServer, near: RedisStore, far: RedisStore) -> None:
    keys = stored(far)
    warmed(near, keys)
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wait_until(lambda: near.stats()["near"]["losses"] == 1)

    assert near.stats()["near"]["entries"] == 0
    assert near.get(keys[0]) == b"value of " + keys[0]
    warmed(near, keys)
    assert near.stats()["near"]["problem"] is None


def test_a_server_that_says_nothing_is_believed_no_longer_than_the_bound(server: RedisServer, far: RedisStore) -> None:
    with opened(server.settings, near_bytes=2**20, timeout_ms=TIMEOUT_MS) as store:
        keys = stored(far)
        warmed(store, keys)
        server.freeze()
        try:
            until = monotonic() + BOUND_S
            served_late = 0
            while not fails(lambda: store.get(keys[0])):
                served_late += monotonic() > until
        finally:
            server.thaw()

        # One look at the clock is between the last answer and its being judged.
        assert served_late <= 1
        wait_until(lambda: not fails(lambda: store.get(keys[0])))
        warmed(store, keys)


def test_a_value_that_was_on_its_way_when_it_changed_is_not_kept(near: RedisStore, far: RedisStore) -> None:
    """Readers and a writer race; what is left in memory at the end is what the server has."""
    keys = stored(far, 20)
    warmed(near, keys)
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            for key in keys:
                near.get(key)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(300):
        far.set(keys[step % 20], str(step).encode())
        far.flush()
    last = {key: far.get(key) for key in keys}
    wait_until(lambda: {key: near.get(key) for key in keys} == last)
    over.set()
    for reader in readers:
        reader.join()

    assert {key: near.get(key) for key in keys} == last


@pytest.mark.parametrize("operations", [3000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_nothing_removed_elsewhere_is_served_beyond_the_bound(
    operations: int, near: RedisStore, far: RedisStore
) -> None:
    chance = random.Random(6)
    keys = [key_of(number) for number in range(50)]
    written: dict[bytes, tuple[bytes | None, float]] = dict.fromkeys(keys, (None, 0.0))
    wait_until(lambda: follows(near))
    late = served = 0
    for step in range(operations):
        key = chance.choice(keys)
        if chance.random() < 0.2:
            if chance.random() < 0.5:
                value: bytes | None = str(step).encode()
                far.set(key, value or b"")
                far.flush()
            else:
                far.delete(key)
                value = None
            written[key] = (value, monotonic())
        value, since = written[key]
        asked_at = monotonic()
        found = near.get(key)
        served += found is not None
        late += found != value and asked_at > since + BOUND_S

    assert late == 0
    assert served > operations // 5


def test_a_child_has_a_near_cache_of_its_own(near: RedisStore, far: RedisStore) -> None:
    keys = stored(far)
    warmed(near, keys)

    def holds() -> bool:
        empty = bool(near.stats()["near"]["entries"] == 0)
        warmed(near, keys)
        near.close()
        return empty

    assert ended_well(fork(holds))
    assert near.get(keys[0]) == b"value of " + keys[0]


def test_closing_ends_the_thread_and_a_later_use_begins_another(near: RedisStore, far: RedisStore) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "ostinato-redis-tracking"]

    keys = stored(far)
    warmed(near, keys)
    assert len(threads()) == 1
    near.close()
    assert threads() == []
    warmed(near, keys)
    assert len(threads()) == 1


def test_a_user_who_may_not_track_goes_without(server: RedisServer, far: RedisStore) -> None:
    keys = stored(far)
    server.ask("ACL", "SETUSER", "app", "on", ">secret", "~ostinato:*", "+get", "+set", "+unlink", "+scan")
    with opened({**server.settings, "username": "app", "password": "secret"}, **NEAR) as store:
        assert store.get(keys[0]) == b"value of " + keys[0]
        wait_until(lambda: store.stats()["near"]["losses"])
        assert store.get(keys[0]) == b"value of " + keys[0]
        assert "may not do this" in store.stats()["near"]["problem"]


def test_the_rights_that_the_documentation_lists_are_enough(server: RedisServer, far: RedisStore) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "redis.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith("ACL SETUSER"))
    server.ask(*line.split())
    keys = stored(far)
    with opened({**server.settings, "username": "cache", "password": "password"}, **NEAR) as store:
        warmed(store, keys)
        assert store.delete(keys[0]) is True
        assert store.clear() == 2
        assert store.stats()["problem"] is None


def test_a_cluster_has_no_near_cache() -> None:
    with pytest.raises(ConfigurationError, match="one server"):
        Cache.redis(startup_nodes="127.0.0.1:1", near_bytes=1000)
