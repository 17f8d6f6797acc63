"""Two stores as one: what one process removes, no other answers for longer than the bound."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

import ostinato  # noqa: E402
from ostinato import Cache  # noqa: E402
from ostinato.caching.stores.contract import Dating, Store  # noqa: E402
from ostinato.caching.stores.cosmos import CosmosStore  # noqa: E402
from ostinato.caching.stores.disk import DiskStore  # noqa: E402
from ostinato.caching.stores.memory import MemoryStore  # noqa: E402
from ostinato.caching.stores.tiered import LOOK_S, TieredStore  # noqa: E402
from ostinato.errors import ConfigurationError, StoreError  # noqa: E402
from ostinato.testing.clock import ManualClock  # noqa: E402
from ostinato.testing.emulator import Emulator  # noqa: E402
from ostinato.testing.store_face import KINDS, OTHER_SCOPE, SCOPE, Face, Kind, key_of  # noqa: E402
from ostinato.testing.store_suite import StoreSuite  # noqa: E402
from tests.stores.cosmos_emulator import CosmosEmulator  # noqa: E402
from tests.stores.redis_cases import TIMEOUT_MS, fails, opened  # noqa: E402
from tests.stores.redis_server import RedisServer, binaries  # noqa: E402

CONTAINERS = count()


class TestTieredMemoryOverDisk(StoreSuite):
    shared_between_processes = True

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> TieredStore:
        shared = DiskStore(self.folder / str(next(self.numbers)), max_bytes=max_bytes, clock=clock)
        return TieredStore(MemoryStore(max_bytes // 4, clock=clock), shared, clock=clock)


class TestTieredMemoryOverMemory(StoreSuite):
    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> TieredStore:
        return TieredStore(MemoryStore(max_bytes // 4, clock=clock), MemoryStore(max_bytes, clock=clock), clock=clock)


class TestTieredMemoryOverCosmos(StoreSuite):
    bounded = False
    shared_between_processes = True

    @pytest.fixture(autouse=True)
    def _server(self, cosmos: CosmosEmulator, tmp_path: Path) -> None:
        self.server = cosmos
        self.folder = tmp_path

    def make_fast(self, max_bytes: int, clock: Callable[[], float]) -> Store:
        return MemoryStore(max_bytes // 4, clock=clock)

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> TieredStore:
        place = f"tiered-{next(CONTAINERS)}"
        shared = CosmosStore(self.server.connection_string, container_id=place, timeout_ms=10_000, clock=clock)
        return TieredStore(self.make_fast(max_bytes, clock), shared, clock=clock)


@pytest.mark.soak
class TestTieredDiskOverCosmos(TestTieredMemoryOverCosmos):
    def make_fast(self, max_bytes: int, clock: Callable[[], float]) -> Store:
        return DiskStore(self.folder / str(next(self.numbers)), max_bytes=max_bytes, clock=clock)


def undated(store: Any) -> Any:
    """Return a store without `find`."""
    names = [name for name in dir(MemoryStore) if not name.startswith("_") and name not in {"find", "afind"}]
    return type("Undated", (), {name: getattr(store, name) for name in [*names, "max_bytes"]})


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0]) as running:
        yield running


class Process:
    """One of several processes on one shared store, as far as the store can tell."""

    def __init__(self, shared: Any, clock: ManualClock) -> None:
        self.fast = MemoryStore(clock=clock)
        self.store = TieredStore(self.fast, shared, clock=clock)


@pytest.fixture(params=["memory", "disk", "redis"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Process, Process, ManualClock]]:
    clock = ManualClock()
    with contextlib.ExitStack() as stack:
        match request.param:
            case "memory":
                stores: list[Any] = [MemoryStore(clock=clock)] * 2
            case "disk":
                stores = [DiskStore(tmp_path, near_bytes=0, clock=clock) for _ in range(2)]
            case _:
                server: RedisServer = request.getfixturevalue("server")
                server.ask("FLUSHALL")
                stores = [stack.enter_context(opened(server.settings, timeout_ms=10_000)) for _ in range(2)]
        one, other = (Process(store, clock) for store in stores)
        yield one, other, clock
        for process in (one, other):
            process.store.close()


def settled(one: Process, other: Process, clock: ManualClock) -> None:
    """Let both have agreed on the marks of the scopes: the first second of a scope is spent on that."""
    for _ in range(3):
        for process in (one, other):
            process.store.get(key_of("anything"))
            process.store.flush()
        clock.advance(LOOK_S)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hit_is_answered_by_the_fast_tier(kind: Kind, processes: tuple[Process, Process, ManualClock]) -> None:
    one, other, clock = processes
    settled(one, other, clock)
    one.store.get(key_of("k"))
    one.store.set(key_of("k"), b"v")
    one.store.flush()
    face = Face(other.store, kind)
    try:
        assert face.get(key_of("k")) == b"v"
        assert other.fast.get(key_of("k")) == b"v"
        clock.advance(100 * LOOK_S)
        assert face.get(key_of("k")) == b"v"
        assert other.fast.get(key_of("k")) == b"v"
    finally:
        face.leave()


@pytest.mark.parametrize("how", ["delete", "clear scope", "clear all", "replace", "clear without tiers"])
def test_a_removal_reaches_every_process_within_the_bound(
    how: str, processes: tuple[Process, Process, ManualClock]
) -> None:
    one, other, clock = processes
    settled(one, other, clock)
    for name in ("k", "l"):
        one.store.get(key_of(name))
        one.store.set(key_of(name), b"v")
    one.store.flush()
    assert other.store.get(key_of("k")) == b"v"
    match how:
        case "delete":
            assert one.store.delete(key_of("k")) is True
        case "clear scope":
            assert one.store.clear(SCOPE) == 2
        case "clear all":
            assert one.store.clear() == 2
        case "replace":
            one.store.set(key_of("k"), b"new")
            one.store.flush()
        case _:
            one.store.shared.clear(SCOPE)

    left = {"replace": b"new"}.get(how)
    if how != "clear without tiers":
        assert one.store.get(key_of("k")) == left
    clock.advance(LOOK_S)
    assert one.store.get(key_of("k")) == left
    assert other.store.get(key_of("k")) == left


def test_a_removal_leaves_the_fast_tier_of_other_scopes(processes: tuple[Process, Process, ManualClock]) -> None:
    one, other, clock = processes
    for _ in range(3):
        for scope in (SCOPE, OTHER_SCOPE):
            for process in (one, other):
                process.store.get(key_of("k", scope))
                process.store.flush()
        clock.advance(LOOK_S)
    for scope in (SCOPE, OTHER_SCOPE):
        one.store.set(key_of("k", scope), b"v")
        one.store.flush()
        clock.advance(LOOK_S)
        assert other.store.get(key_of("k", scope)) == b"v"
    one.store.clear(OTHER_SCOPE)
    clock.advance(LOOK_S)

    assert other.store.get(key_of("k", OTHER_SCOPE)) is None
    assert other.fast.get(key_of("k", SCOPE)) == b"v"


def test_a_word_of_one_s_own_never_hides_another_s(processes: tuple[Process, Process, ManualClock]) -> None:
    one, other, clock = processes
    settled(one, other, clock)
    for name in ("k", "l", "m"):
        one.store.get(key_of(name))
        one.store.set(key_of(name), b"v")
    one.store.flush()
    assert [other.store.get(key_of(name)) for name in ("k", "l")] == [b"v"] * 2
    one.store.delete(key_of("k"))
    other.store.delete(key_of("m"))  # its mark goes over that of the other removal
    clock.advance(LOOK_S)

    assert other.store.get(key_of("k")) is None


@pytest.mark.parametrize("operations", [4000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_nothing_removed_is_served_beyond_the_bound(
    operations: int, processes: tuple[Process, Process, ManualClock]
) -> None:
    *both, clock = processes
    chance = random.Random(6)
    keys = [key_of(number) for number in range(20)]
    gone_at: dict[bytes, float] = {}
    late = served = 0
    for _ in range(operations):
        key, process = chance.choice(keys), chance.choice(both)
        match chance.choices(("get", "set", "delete", "clear", "wait"), (70, 15, 8, 1, 6))[0]:
            case "get":
                found = process.store.get(key)
                served += found is not None
                late += found is not None and key in gone_at and clock() >= gone_at[key] + LOOK_S
            case "set":
                process.store.set(key, b"v")
                process.store.flush()
                gone_at.pop(key, None)
            case "delete":
                process.store.delete(key)
                gone_at[key] = clock()
            case "clear":
                process.store.clear(SCOPE)
                gone_at = dict.fromkeys(keys, clock())
            case _:
                clock.advance(LOOK_S / 3)

    assert late == 0
    assert served > operations // 10


def test_a_shared_store_that_cannot_be_asked_is_not_answered_for(server: RedisServer) -> None:
    clock = ManualClock()
    with opened(server.settings, timeout_ms=TIMEOUT_MS) as shared:
        process = Process(shared, clock)
        process.store.set(key_of("k"), b"v")
        process.store.flush()
        assert process.store.get(key_of("k")) == b"v"
        server.freeze()
        try:
            assert process.store.get(key_of("k")) == b"v"
            clock.advance(LOOK_S)
            assert fails(lambda: process.store.get(key_of("k")))
            assert fails(lambda: asyncio.run(process.store.aget(key_of("k"))))
        finally:
            server.thaw()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_store_cannot_date_is_asked_for_again_after_a_second(kind: Kind) -> None:
    clock = ManualClock()
    shared = MemoryStore(clock=clock)
    process = Process(undated(shared), clock)
    shared.set(key_of("k"), b"v", 10)
    face = Face(process.store, kind)
    try:
        assert not isinstance(process.store.shared, Dating)
        assert face.get(key_of("k")) == b"v"
        assert process.fast.get(key_of("k")) == b"v"
        clock.advance(9.5)
        assert face.get(key_of("k")) == b"v"
        clock.advance(LOOK_S)
        assert face.get(key_of("k")) is None
    finally:
        face.leave()


def test_a_fast_tier_that_fails_is_gone_without() -> None:
    class Broken(MemoryStore):
        def get(self, key: bytes) -> bytes | None:
            raise StoreError("it is broken")

        def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
            raise StoreError("it is broken")

    store = TieredStore(Broken(), MemoryStore())
    store.set(key_of("k"), b"v")

    assert store.get(key_of("k")) == b"v"
    assert asyncio.run(store.aget(key_of("k"))) == b"v"
    assert store.stats()["fast_errors"] > 0


def test_a_tiered_cache_serves_what_the_shared_one_has(
    emulator: Emulator, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    call: dict[str, Any] = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    with Cache.redis(server.url, namespace="ns", ttl=100, timeout_ms=10_000) as shared:
        ostinato.completion(**call, cache=shared)
        shared.flush()
        with Cache.tiered(fast=Cache.memory(), shared=shared) as cache:
            assert ostinato.completion(**call, cache=cache).cache_hit
            assert ostinato.completion(**call, cache=cache).cache_hit
            assert cache.stats()["store"]["fast"]["entries"] >= 1
            assert cache.ttl == 100
            assert cache.clear() == 1
            assert not ostinato.completion(**call, cache=cache).cache_hit

    assert len(emulator.calls) == 2


def test_a_tiered_cache_over_an_encrypted_one_is_encrypted_too() -> None:
    shared = Cache.memory(encryption_key=b"k" * 32)

    with pytest.raises(ConfigurationError, match="encryption_key"):
        Cache.tiered(Cache.memory(), shared)
    Cache.tiered(Cache.memory(), shared, encryption_key=b"k" * 32)


def test_a_mark_is_no_entry_to_who_looks_at_the_shared_cache_alone() -> None:
    shared = Cache.memory()
    cache = Cache.tiered(Cache.memory(), shared)
    cache.set("k", 1)
    assert cache.get("k") == 1

    assert [entry.kind for _, _, entry in shared.shelf.walk() if entry is not None] == ["value"]
    assert len(list(shared.shelf.walk())) == 1
