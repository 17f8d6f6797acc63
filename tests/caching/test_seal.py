"""Encryption: without the key nothing can be read, moved or forged, and a shredded namespace never again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import Cache
from ostinato.caching.register import HOLD_S, run
from ostinato.caching.stores.disk import LOOK_S, DiskStore
from ostinato.caching.stores.memory import MemoryStore
from ostinato.errors import ConfigurationError, MissingDependencyError, StoreError
from ostinato.testing.clock import ManualClock

KEY = "correct horse battery staple 1"
OTHER_KEY = b"another key of thirty-two bytes!"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def sealed(store: Any, key: Any = KEY, **settings: Any) -> Cache:
    return Cache(store=store, encryption_key=key, **settings)


def blobs(cache: Cache) -> dict[bytes, bytes]:
    """Return the stored entries of the cache's own namespace."""
    return dict(cache.store.scan(cache.tag))


def put_back(cache: Cache, saved: dict[bytes, bytes]) -> None:
    for key, blob in saved.items():
        cache.store.set(key, blob)


def test_who_has_the_key_reads_and_others_have_a_counted_miss(store: MemoryStore) -> None:
    sealed(store).set("k", {"secret": "hemlock"})

    assert sealed(store).get("k") == {"secret": "hemlock"}
    for other in (sealed(store, OTHER_KEY), Cache(store=store)):
        assert other.get("k") is None
        assert (other.counters.undecryptable, other.counters.broken, other.counters.hits) == (1, 0, 0)


def test_both_worlds_seal_and_open() -> None:
    async def awaited() -> list[Any]:
        store = MemoryStore()
        store.instant = False
        cache = sealed(store)
        await cache.aset("k", 1, tags=["t"])
        found = [await cache.aget("k")]
        await cache.ashred()
        await cache.aset("k", 2)
        return [*found, await cache.aget("k")]

    assert asyncio.run(awaited()) == [1, 2]


@given(st.binary(max_size=3000), st.binary(min_size=40, max_size=40))
def test_what_is_sealed_opens_under_its_own_key_alone(packed: bytes, store_key: bytes) -> None:
    cache = sealed(MemoryStore())
    assert cache.shelf.seal is not None
    blob = run(cache.store, cache.shelf.seal.seal(store_key, packed))
    other_key = store_key[:8] + bytes([store_key[8] ^ 1]) + store_key[9:]

    assert run(cache.store, cache.shelf.seal.open(store_key, blob)) == packed
    assert run(cache.store, cache.shelf.seal.open(other_key, blob)) is None
    assert packed[:16] not in blob or len(packed) < 16


def test_equal_values_are_never_equal_bytes(store: MemoryStore) -> None:
    cache = sealed(store)
    seen = set()
    for _ in range(50):
        cache.set("k", "the same")
        seen |= set(blobs(cache).values())

    assert len(seen) == 50


def test_entry_that_is_not_encrypted_does_not_answer_where_entries_should_be(store: MemoryStore) -> None:
    Cache(store=store).set("k", "forged")
    cache = sealed(store)

    assert cache.get("k") is None
    assert cache.counters.undecryptable == 1
    cache.set("k", "true")
    assert cache.get("k") == "true"


def test_entry_moved_to_another_namespace_does_not_open(store: MemoryStore) -> None:
    ours, theirs = sealed(store, namespace="ours"), sealed(store, namespace="theirs")
    ours.set("k", 1)
    theirs.set("k", 2)
    (their_key,), (our_blob,) = blobs(theirs).keys(), blobs(ours).values()
    store.set(their_key, our_blob)

    assert theirs.get("k") is None


def test_list_of_keys_encrypts_with_the_first_and_reads_with_all(store: MemoryStore) -> None:
    sealed(store, KEY).set("old", 1)
    both = sealed(store, [OTHER_KEY, KEY])
    both.set("new", 2)

    assert [both.get("old"), both.get("new")] == [1, 2]
    assert [sealed(store, OTHER_KEY).get(name) for name in ("old", "new")] == [None, 2]
    assert [sealed(store, KEY).get(name) for name in ("old", "new")] == [1, None]


def test_processes_with_different_first_keys_make_no_data_keys_over_and_over(store: MemoryStore) -> None:
    clock = ManualClock()
    caches = [sealed(store, keys, clock=clock) for keys in ([KEY, OTHER_KEY], [OTHER_KEY, KEY])]
    for cache in caches:
        cache.set("k", 1)
    size = store.stats()["entries"]
    for turn in range(10):
        clock.advance(HOLD_S)
        for cache in caches:
            cache.set("k", turn)
            assert cache.get("k") == turn

    assert store.stats()["entries"] == size


def test_data_key_begun_by_two_processes_at_once_loses_no_entry(store: MemoryStore) -> None:
    clock = ManualClock()
    ours, theirs = sealed(store, clock=clock), sealed(store, clock=clock)
    first = ours.shelf.seal
    assert first is not None
    steps = first.ready(ours.tag)
    step = next(steps)
    while type(step).__name__ == "Read":
        step = steps.send(None)
    theirs.set("theirs", 1)
    run(store, _from(step, steps))
    ours.set("ours", 2)

    for cache in (ours, theirs):
        assert [cache.get("ours"), cache.get("theirs")] == [2, 1]
        clock.advance(HOLD_S)
        assert [cache.get("ours"), cache.get("theirs")] == [2, 1]


def _from(step: Any, steps: Any) -> Generator[Any, Any, None]:
    """Go on with `steps` at `step`."""
    while True:
        answer = yield step
        try:
            step = steps.send(answer)
        except StopIteration:
            return


def test_shredded_namespace_stays_unreadable_whatever_is_put_back(store: MemoryStore) -> None:
    cache, other = sealed(store, namespace="ours"), sealed(store, namespace="theirs")
    cache.set("k", 1)
    other.set("k", 2)
    saved = blobs(cache)

    assert cache.shred() == 1
    put_back(cache, saved)
    for reader in (cache, sealed(store, namespace="ours")):
        assert reader.get("k") is None
        assert reader.counters.undecryptable == 1
    assert other.get("k") == 2
    cache.set("k", 3)
    assert sealed(store, namespace="ours").get("k") == 3


def test_namespace_can_be_shredded_by_name(store: MemoryStore) -> None:
    sealed(store, namespace="theirs").set("k", 1)
    cache = sealed(store)
    cache.set("k", 2)

    assert cache.shred(namespace="theirs") == 1
    assert cache.get("k") == 2


def test_other_process_reads_nothing_shredded_beyond_the_stated_bound(tmp_path: Path) -> None:
    clock = ManualClock()
    ours, theirs = (sealed(DiskStore(tmp_path / "cache", clock=clock), clock=clock) for _ in range(2))
    ours.set("k", 1)
    ours.flush()
    assert theirs.get("k") == 1
    saved = blobs(ours)

    ours.shred()
    put_back(ours, saved)
    ours.flush()
    assert ours.get("k") is None
    clock.advance(HOLD_S + LOOK_S)
    assert theirs.get("k") is None
    theirs.set("k", 2)
    theirs.flush()
    clock.advance(HOLD_S + LOOK_S)
    assert ours.get("k") == 2
    for cache in (ours, theirs):
        cache.close()


def test_shredded_file_opens_in_no_later_process(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = sealed(DiskStore(folder))
    cache.set("k", "hemlock")
    saved = blobs(cache)
    cache.shred()
    put_back(cache, saved)
    cache.close()
    program = (
        "import sys; from ostinato import Cache; from ostinato.caching.stores.disk import DiskStore\n"
        f"with Cache(store=DiskStore({str(folder)!r}), encryption_key={KEY!r}) as cache:\n"
        "    print(cache.get('k'), cache.stats()['undecryptable'])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["None", "1"]


def test_cache_without_a_key_has_nothing_to_shred() -> None:
    with pytest.raises(ConfigurationError, match="encryption_key"):
        Cache.memory().shred()


@pytest.mark.parametrize("key", ["", "too short", b"fifteen bytes!!", [], [KEY, "short"], 7, [None]])
def test_key_that_is_none_is_refused_and_not_repeated(key: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Cache.memory(encryption_key=key)

    assert all(not word or str(word) not in str(raised.value) for word in ("too short", "fifteen", KEY))


def test_missing_package_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)

    with pytest.raises(MissingDependencyError, match=r"ostinato\[crypto\]"):
        Cache.memory(encryption_key=KEY)


def test_failing_store_is_a_miss_and_no_error(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(MemoryStore):
        process_local = False

        def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
            raise StoreError("down")

    cache = sealed(Down())
    cache.set("k", 1)

    assert cache.get("k") is None
    assert cache.counters.store_errors == 1


def test_store_that_fails_for_a_while_holds_one_data_key_afterwards() -> None:
    class Slow(MemoryStore):
        process_local = False
        failures = 5

        def flush(self) -> None:
            if self.failures:
                self.failures -= 1
                raise StoreError("down")

    store = Slow()
    cache = sealed(store)
    for number in range(8):
        cache.set(f"k{number}", number)

    assert [cache.get(f"k{number}") for number in range(8)] == [None] * 5 + [5, 6, 7]
    # Three entries, the data key, which one is current, and the epoch.
    assert store.stats()["entries"] == 6


def test_no_plain_byte_of_a_value_reaches_the_file(tmp_path: Path) -> None:
    with Cache.disk(cache_path_root=tmp_path, encryption_key=KEY, namespace="hellebore") as cache:
        cache.set("foxglove", {"hemlock": "oleander"}, tags=["aconite"])
        cache.invalidate("aconite")
        shown = repr(cache) + repr(cache.stats())
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("cache.db*"))

    assert files
    for word in ("hellebore", "foxglove", "hemlock", "oleander", "aconite", KEY):
        assert word.encode() not in files
        assert word not in shown or word == "hellebore"  # repr() names the namespace
