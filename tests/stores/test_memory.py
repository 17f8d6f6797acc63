from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

from ostinato.caching.stores.memory import MemoryStore  # noqa: E402
from ostinato.errors import ConfigurationError  # noqa: E402
from ostinato.testing.clock import ManualClock  # noqa: E402
from ostinato.testing.store_face import key_of  # noqa: E402
from ostinato.testing.store_suite import StoreSuite  # noqa: E402


class TestMemoryStore(StoreSuite):
    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> MemoryStore:
        return MemoryStore(max_bytes, clock=clock)


def test_the_least_recently_used_entry_leaves_first() -> None:
    store = MemoryStore(10_000)
    for name in "abcdefgh":
        store.set(key_of(name), b"v" * 1000)
    for name in "gfedcba":
        store.get(key_of(name))
    store.set(key_of("i"), b"v" * 1000)

    kept = [name for name in "abcdefghi" if store.get(key_of(name))]

    assert kept == list("abcdefgi")


def test_a_set_counts_as_a_use() -> None:
    store = MemoryStore(4_000)
    for name in "aba":
        store.set(key_of(name), b"v" * 1000)
    store.set(key_of("c"), b"v" * 1500)

    assert [store.get(key_of(name)) is not None for name in "abc"] == [True, False, True]


@pytest.mark.parametrize("ttl_s", [None, 60.0])
@pytest.mark.parametrize("size", [100, 1_000, 20_000])
def test_it_takes_the_memory_it_says(size: int, ttl_s: float | None) -> None:
    store = MemoryStore()
    count = 4_000_000 // size
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        store.set(key_of(number), b"v" * size, ttl_s)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    said = store.stats()["bytes"]

    assert (after - before) * 0.9 <= said <= (after - before) * 1.1


def test_it_stays_within_its_bound_and_counts_who_left() -> None:
    clock = ManualClock()
    store = MemoryStore(100_000, clock=clock)
    for number in range(50):
        store.set(key_of(number), b"v" * 1000, 10)
    clock.advance(10)
    for number in range(50, 300):
        store.set(key_of(number), b"v" * 1000)
    stats = store.stats()

    assert 90_000 < stats["bytes"] <= 100_000
    assert stats["expirations"] == 50
    assert stats["evictions"] == 250 - stats["entries"]


def test_an_expired_entry_is_removed_on_sight() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    store.set(key_of("k"), b"v", 5)
    clock.advance(5)
    store.get(key_of("k"))
    stats = store.stats()

    assert (stats["entries"], stats["bytes"], stats["expirations"]) == (0, 0, 1)


def test_what_goes_takes_its_bytes_along() -> None:
    store = MemoryStore()
    for number in range(100):
        store.set(key_of(number), b"v" * number, None if number % 2 else 5.0)
    for number in range(50):
        store.set(key_of(number), b"w" * 10 * number, 5.0 if number % 3 else None)
    for number in range(100):
        store.delete(key_of(number))

    assert store.stats()["bytes"] == 0


def test_readers_and_writers_keep_the_count_right() -> None:
    store = MemoryStore(200_000)
    ready = threading.Barrier(6)

    def work(worker: int) -> None:
        ready.wait()
        for step in range(2000):
            name = (worker * 31 + step) % 300
            if step % 2:
                store.get(key_of(name))
            elif step % 14:
                store.set(key_of(name), b"v" * (name * 10))
            else:
                store.delete(key_of(name))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    full = store.stats()["bytes"]
    for name in range(300):
        store.delete(key_of(name))

    assert full <= 200_000
    assert store.stats()["bytes"] == 0


def test_a_store_of_no_bytes_keeps_nothing() -> None:
    store = MemoryStore(0)
    store.set(key_of("k"), b"")

    assert store.get(key_of("k")) is None


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_bytes is -1"):
        MemoryStore(-1)
