"""What all processes on one store must agree on, on every store they can share: tags, data keys, what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache
from ostinato.caching.register import HOLD_S
from ostinato.caching.stores.disk import LOOK_S
from ostinato.testing.clock import ManualClock
from tests.client.calls import until
from tests.stores.redis_server import PASSWORD, RedisServer, binaries

KEY = "correct horse battery staple 1"
NUMBERS = count()


class Processes:
    """Two caches over one place, each with a store of its own, as two processes have them."""

    def __init__(self, make: Callable[..., Cache]) -> None:
        self.clock = ManualClock()
        self._make = make
        self._made: list[Cache] = []

    def open(self, **settings: Any) -> tuple[Cache, Cache]:
        made = [self._make(clock=self.clock, encryption_key=KEY, **settings) for _ in range(2)]
        self._made += made
        return made[0], made[1]

    def agree(self, cache: Cache, found: dict[str, Any]) -> bool:
        """Return whether the cache finds these values once the bound has passed."""

        def as_told() -> bool:
            self.clock.advance(HOLD_S + LOOK_S)  # a near cache hears of changes by the time of day
            return {name: cache.get(name) for name in found} == found

        until(as_told)
        return True

    def close(self) -> None:
        for cache in self._made:
            cache.close()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0], password=PASSWORD) as server:
        yield server


@pytest.fixture(params=["disk", "redis", "redis without a near cache", "cosmos"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    make: Callable[..., Cache]
    match request.param:
        case "disk":
            make = lambda **settings: Cache.disk(cache_path_root=tmp_path, **settings)  # noqa: E731
        case "cosmos":
            string = request.getfixturevalue("cosmos").connection_string
            name = f"facts-{next(NUMBERS)}"
            make = lambda **settings: Cache.cosmos_db(string, name, timeout_ms=10_000, **settings)  # noqa: E731
        case kind:
            server = request.getfixturevalue("redis")
            server.ask("FLUSHALL")
            near: dict[str, Any] = {"near_bytes": 0} if kind != "redis" else {}
            make = lambda **settings: Cache.redis(  # noqa: E731
                host="127.0.0.1", port=server.port, password=PASSWORD, timeout_ms=5000, **near, **settings
            )
    made = Processes(make)
    yield made
    made.close()


def test_tag_invalidated_in_one_process_is_invalid_in_the_other(processes: Processes) -> None:
    ours, theirs = processes.open()
    ours.set("k", "old", tags=["t"])
    ours.set("other", 1, tags=["u"])
    ours.flush()
    assert theirs.get("k") == "old"

    ours.invalidate("t")
    assert ours.get("k") is None
    assert processes.agree(theirs, {"k": None, "other": 1})
    theirs.set("k", "new", tags=["t"])
    theirs.flush()
    assert processes.agree(ours, {"k": "new"})


def test_namespace_shredded_in_one_process_is_unreadable_in_the_other(processes: Processes) -> None:
    ours, theirs = processes.open(namespace="patients")
    ours.set("k", 1)
    ours.flush()
    assert theirs.get("k") == 1
    saved = dict(ours.store.scan(ours.tag))

    assert ours.shred() == 1
    for key, blob in saved.items():
        ours.store.set(key, blob)
    ours.flush()
    assert processes.agree(theirs, {"k": None})
    assert ours.get("k") is None
    theirs.set("k", 2)
    theirs.flush()
    assert processes.agree(ours, {"k": 2})


def test_listing_meets_every_entry_and_no_fact(processes: Processes) -> None:
    ours, theirs = processes.open()
    for number in range(20):
        ours.set(f"k{number}", number, tags=["even" if number % 2 == 0 else "odd"], ttl=60)
    ours.invalidate("odd")
    ours.flush()
    assert processes.agree(theirs, {"k1": None})
    found = list(theirs.entries())

    assert len({entry.key for entry in found}) == len(found) == 10
    assert {(entry.kind, entry.tags) for entry in found} == {("value", ("even",))}
    assert all(entry.expires_at == entry.stored_at + 60 for entry in found)
