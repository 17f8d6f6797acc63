"""Tags: one write, and no entry with the tag answers any more, in any process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache, embedding
from ostinato.caching.register import EPOCH, HOLD_S, RENEW_S
from ostinato.caching.stores.disk import LOOK_S, DiskStore
from ostinato.caching.stores.memory import MemoryStore
from ostinato.errors import ConfigurationError, StoreError
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, MODEL, until


class WatchedStore(MemoryStore):
    """A store on a network, as far as a cache can tell: what was read in it is noted, and it can be down."""

    process_local = False

    def __init__(self, clock: Callable[[], float], *, instant: bool = True) -> None:
        super().__init__(clock=clock)
        self.instant = instant
        self.reads: list[bytes] = []
        self.down = False

    def get(self, key: bytes) -> bytes | None:
        self.reads.append(key)
        if self.down:
            raise StoreError("down")
        return super().get(key)

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if self.down:
            raise StoreError("down")
        super().set(key, value, ttl_s)


def as_two_processes(folder: Path, clock: ManualClock, **settings: Any) -> tuple[Cache, Cache]:
    """Return two caches over one file, each with a store of its own, as two processes have them."""
    first, second = (Cache(store=DiskStore(folder, clock=clock), clock=clock, **settings) for _ in range(2))
    return first, second


def test_invalid_tag_makes_misses_of_its_entries_and_leaves_the_others(ask: Any) -> None:
    cache = Cache.memory()
    cache.set("tagged", 1, tags=["contract", "2026"])
    cache.set("other", 2, tags=["letter"])
    cache.set("plain", 3)
    with cache:
        ask(MODEL, HELLO, cache={"tags": ["contract"]})

        cache.invalidate("2026")
        assert [cache.get(name) for name in ("tagged", "other", "plain")] == [None, 2, 3]
        assert ask(MODEL, HELLO, cache={"tags": ["contract"]}).cache_hit
        cache.invalidate(tag="contract")
        assert not ask(MODEL, HELLO, cache={"tags": ["contract"]}).cache_hit
        assert ask(MODEL, HELLO, cache={"tags": ["contract"]}).cache_hit
    assert cache.stats()["invalidated"] == 2  # `get` once, and the call


def test_both_worlds_invalidate() -> None:
    async def awaited() -> list[Any]:
        cache = Cache(store=WatchedStore(ManualClock(), instant=False))
        await cache.aset("k", 1, tags=["t"])
        before = await cache.aget("k")
        await cache.ainvalidate("t")
        return [before, await cache.aget("k")]

    assert asyncio.run(awaited()) == [1, None]


def test_calls_on_a_store_that_is_awaited_carry_tags(ask: Any) -> None:
    with Cache(store=WatchedStore(ManualClock(), instant=False)) as cache:
        ask(MODEL, HELLO, cache={"tags": ["t"]})
        assert ask(MODEL, HELLO, cache={"tags": ["t"]}).cache_hit
        cache.invalidate("t")

        assert not ask(MODEL, HELLO, cache={"tags": ["t"]}).cache_hit


def test_tags_of_the_cache_are_on_every_entry(ask: Any) -> None:
    with Cache.memory(tags=["deploy-1"]) as cache:
        cache.set("value", 1, tags=["mine"])
        ask(MODEL, HELLO)
        embedding("openai/text-embedding-3-small", input=["heron"], cache={"tags": ["also"]})
        cache.invalidate("deploy-1")

        assert cache.get("value") is None
        assert not ask(MODEL, HELLO).cache_hit
        assert not embedding("openai/text-embedding-3-small", input=["heron"]).cache_hit


def test_tag_is_invalidated_in_its_namespace_alone(ask: Any) -> None:
    with Cache.memory() as cache:
        for namespace in ("ours", "theirs"):
            ask(MODEL, HELLO, cache={"tags": ["t"], "namespace": namespace})
        cache.invalidate("t", namespace="theirs")

        assert ask(MODEL, HELLO, cache={"namespace": "ours"}).cache_hit
        assert not ask(MODEL, HELLO, cache={"namespace": "theirs"}).cache_hit


def test_other_process_hears_of_it_within_the_stated_bound(tmp_path: Path) -> None:
    clock = ManualClock()
    ours, theirs = as_two_processes(tmp_path / "cache", clock)
    ours.set("k", "old", tags=["t"])
    ours.flush()
    assert theirs.get("k") == "old"

    ours.invalidate("t")
    assert ours.get("k") is None
    clock.advance(HOLD_S + LOOK_S)
    assert theirs.get("k") is None
    theirs.set("k", "new", tags=["t"])
    theirs.flush()
    clock.advance(HOLD_S + LOOK_S)
    assert ours.get("k") == "new"
    ours.close()
    theirs.close()


def test_tag_begun_by_two_processes_at_once_is_one_a_second_later(tmp_path: Path) -> None:
    clock = ManualClock()
    ours, theirs = as_two_processes(tmp_path / "cache", clock)
    ours.invalidate("another")
    for cache in (ours, theirs):
        cache.set("first", 1, tags=["t"])
    for cache in (ours, theirs):
        cache.flush()
    clock.advance(HOLD_S + LOOK_S)
    ours.set("k", 1, tags=["t"])
    ours.flush()

    assert theirs.get("k") == 1
    ours.close()
    theirs.close()


def test_hits_read_the_store_once_a_second_beside_their_entries() -> None:
    clock = ManualClock()
    store = WatchedStore(clock)
    cache = Cache(store=store, clock=clock)
    for name in "abc":
        cache.set(name, name, tags=[f"tag-{name}", "all"])
    for _ in range(2):
        clock.advance(HOLD_S)
        assert [cache.get(name) for name in "abc"] == ["a", "b", "c"]

    store.reads.clear()
    for _ in range(int(RENEW_S / 2) * 10):
        assert [cache.get(name) for name in "abc"] == ["a", "b", "c"]
        clock.advance(0.1)
    of_entries = int(RENEW_S / 2) * 10 * 3
    assert len(store.reads) - of_entries == store.reads.count(EPOCH) <= RENEW_S / 2


@pytest.mark.parametrize("controls", [{}, {"no-cache": True}], ids=["read", "no-cache"])
def test_answer_that_is_on_its_way_meanwhile_is_not_kept(
    controls: dict[str, Any], ask: Any, emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    cache = Cache.memory()
    emulator.script(Reply(gate=gate))

    def asked() -> Any:
        with cache:
            return ask(MODEL, HELLO, cache={"tags": ["t"], **controls})

    late = pool.submit(asked)
    until(lambda: emulator.in_flight == 1)
    cache.invalidate("t")
    gate.set()

    assert not late.result().cache_hit
    assert not asked().cache_hit


def test_generation_that_the_store_evicted_matches_nothing() -> None:
    clock = ManualClock()
    store = WatchedStore(clock)
    cache = Cache(store=store, clock=clock)
    cache.set("k", 1, tags=["t"])
    kept = dict(store.scan(cache.tag))
    cache.invalidate("t")
    store.clear()
    for key, value in kept.items():
        store.set(key, value)
    clock.advance(HOLD_S)

    assert cache.get("k") is None
    cache.set("k", 2, tags=["t"])
    assert cache.get("k") == 2


def test_failing_store_leaves_no_entry_that_could_not_be_invalidated(ask: Any) -> None:
    store = WatchedStore(ManualClock())
    with Cache(store=store) as cache:
        store.down = True
        assert not ask(MODEL, HELLO, cache={"tags": ["t"]}).cache_hit
        with pytest.raises(StoreError):
            cache.invalidate("t")
        store.down = False

        assert list(store.scan()) == []
        assert cache.stats()["store_errors"] > 0


@pytest.mark.parametrize("tags", ["t", [1], [""], ["x" * 257], [str(n) for n in range(65)], None])
def test_tags_that_are_none_are_refused(tags: Any) -> None:
    for refused in (
        lambda: Cache.memory(tags=tags),
        lambda: Cache.memory().policy({"tags": tags}),
    ):
        with pytest.raises(ConfigurationError, match="tag"):
            refused()
