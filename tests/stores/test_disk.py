from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

from ostinato.caching.stores.disk import DiskStore  # noqa: E402
from ostinato.caching.stores.front import Front  # noqa: E402
from ostinato.testing.clock import ManualClock  # noqa: E402
from ostinato.testing.store_face import key_of  # noqa: E402
from ostinato.testing.store_suite import StoreSuite  # noqa: E402


class TestDiskStore(StoreSuite):
    shared_between_processes = True
    near_bytes = 32 * 2**20

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> DiskStore:
        folder = self.folder / str(next(self.numbers))
        return DiskStore(folder, max_bytes=max_bytes, near_bytes=self.near_bytes, clock=clock)


class TestDiskStoreWithoutMemoryTier(TestDiskStore):
    near_bytes = 0


def colliding(tail: bytes) -> bytes:
    """Return a key whose two integers are those of every other one, and whose tail is its own."""
    return b"scope--1" + b"digest-1" + tail.ljust(24, b".")


def test_nothing_is_created_before_the_first_set(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    store = DiskStore(folder)

    assert store.get(key_of("k")) is None
    assert store.delete(key_of("k")) is False
    assert store.clear() == 0
    store.flush()
    store.stats()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_the_path_is_fixed_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = DiskStore("cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.set(key_of("k"), b"v")
    store.close()

    assert (tmp_path / "cache" / "cache.db").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_entries_outlive_the_store(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.set(key_of("k"), b"v")
    store.close()
    later = DiskStore(tmp_path)

    assert later.get(key_of("k")) == b"v"
    later.close()


def test_two_keys_of_the_same_integers_are_never_mixed_up(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(colliding(b"first"), b"1")
    store.flush()
    assert store.get(colliding(b"second")) is None
    assert store.delete(colliding(b"second")) is False
    assert store.get(colliding(b"first")) == b"1"
    store.set(colliding(b"second"), b"2")
    store.flush()

    assert store.get(colliding(b"first")) is None
    assert store.get(colliding(b"second")) == b"2"
    store.close()


def test_two_such_keys_in_one_batch_leave_the_later_one(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, near_bytes=0)
    with store._writer.write_lock:
        store.set(colliding(b"first"), b"1")
        store.set(colliding(b"second"), b"2")
    store.flush()

    assert store.get(colliding(b"first")) is None
    assert store.get(colliding(b"second")) == b"2"
    store.close()


def test_what_another_store_changes_is_seen_within_a_second(tmp_path: Path) -> None:
    clock = ManualClock()
    ours, theirs = DiskStore(tmp_path, clock=clock), DiskStore(tmp_path, clock=clock)
    changes: list[Callable[[bytes], object]] = [
        theirs.delete,
        lambda _: theirs.clear(),
        lambda key: theirs.set(key, b"new"),
    ]
    for number, change in enumerate(changes):
        key = key_of(number)
        ours.set(key, b"old")
        ours.flush()
        clock.advance(1)
        assert (ours.get(key), theirs.get(key)) == (b"old", b"old")
        change(key)
        theirs.flush()
        clock.advance(1)
        assert ours.get(key) == theirs.get(key) != b"old"
    ours.close()
    theirs.close()


def test_new_entries_of_others_do_not_empty_the_memory_tier(tmp_path: Path) -> None:
    clock = ManualClock()
    ours, theirs = DiskStore(tmp_path, clock=clock), DiskStore(tmp_path, clock=clock)
    ours.set(key_of("ours"), b"1")
    ours.flush()
    theirs.set(key_of("theirs"), b"2")
    theirs.flush()
    clock.advance(1)
    ours.get(key_of("ours"))

    assert ours.stats()["near"]["entries"] == 1
    ours.close()
    theirs.close()


def test_a_removed_folder_is_an_empty_cache_that_fills_again(tmp_path: Path) -> None:
    clock = ManualClock()
    store = DiskStore(tmp_path / "cache", clock=clock)
    store.set(key_of("k"), b"v")
    store.flush()
    assert store.get(key_of("k")) == b"v"
    for path in (tmp_path / "cache").iterdir():
        path.unlink()
    (tmp_path / "cache").rmdir()
    clock.advance(1)
    assert store.get(key_of("k")) is None
    store.set(key_of("k"), b"w")
    store.flush()
    store.close()
    later = DiskStore(tmp_path / "cache")

    assert later.get(key_of("k")) == b"w"
    later.close()


def test_the_file_stays_within_its_bound_and_keeps_the_young_and_the_used(tmp_path: Path) -> None:
    clock = ManualClock()
    bound = 2 * 2**20
    store = DiskStore(tmp_path, max_bytes=bound, near_bytes=100_000, clock=clock)
    most = 0
    for number in range(4000):
        store.set(key_of(number), os.urandom(2000))
        if number % 50 == 49:
            store.flush()
            clock.advance(1)
            store.get(key_of("favourite"))
            if number < 1000:
                store.set(key_of("favourite"), b"f" * 2000)
            store.get(key_of(number))
            most = max(most, store.stats()["file_bytes"])
    stats = store.stats()

    assert most <= 1.2 * bound
    assert stats["entries"] * 2000 > 0.7 * bound
    assert stats["evictions"] == 4001 - stats["entries"]
    assert store.get(key_of(0)) is None
    assert store.get(key_of("favourite")) is not None
    assert all(store.get(key_of(number)) for number in range(3800, 4000))
    store.close()


@pytest.mark.parametrize("size", [100, 30_000, 400_000])
def test_entries_of_any_size_keep_the_file_within_its_bound(tmp_path: Path, size: int) -> None:
    bound = 2 * 2**20
    store = DiskStore(tmp_path, max_bytes=bound, near_bytes=0)
    for number in range(4 * bound // (size + 200)):
        store.set(key_of(number), os.urandom(size))
    store.flush()
    stats = store.stats()

    assert stats["file_bytes"] <= 1.2 * bound
    assert stats["entries"] * size > 0.3 * bound
    assert stats["evictions"] > 0
    store.close()


def test_expired_entries_leave_the_file(tmp_path: Path) -> None:
    clock = ManualClock()
    store = DiskStore(tmp_path, clock=clock)
    for number in range(600):
        store.set(key_of(number), b"v" * 100, 30)
    store.flush()
    clock.advance(30)
    for number in range(2):
        store.set(key_of(("new", number)), b"v")
        store.flush()
    stats = store.stats()

    assert (stats["entries"], stats["expirations"]) == (2, 600)
    store.close()


def test_clearing_gives_the_disk_its_room_back(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for number in range(1000):
        store.set(key_of(number), os.urandom(3000))
    store.flush()
    full = store.stats()["file_bytes"]
    assert store.clear() == 1000

    assert store.stats()["file_bytes"] < full / 10
    store.close()


def test_more_than_may_wait_is_written_by_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.caching.stores.disk_writer.PENDING_BYTES", 100_000)
    store = DiskStore(tmp_path, near_bytes=0)
    for number in range(500):
        store.set(key_of(number), b"v" * 1000)
        assert store.stats()["pending_bytes"] <= 100_000
    store.flush()

    assert store.stats()["entries"] == 500
    assert store.stats()["dropped"] == 0
    store.close()


def test_what_is_set_while_a_key_is_read_from_the_file_is_not_overwritten_in_memory(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    old, new = b"old", b"new"
    store.set(key_of("k"), old)
    store.close()
    front = store._front
    epoch = front.epoch
    store.set(key_of("k"), new)
    front.fill(key_of("k"), old, None, epoch)

    assert store.get(key_of("k")) == new
    store.close()


def test_what_is_found_in_the_file_keeps_its_time_to_live_in_memory(tmp_path: Path) -> None:
    clock = ManualClock()
    store = DiskStore(tmp_path, clock=clock)
    store.set(key_of("k"), b"v", 0.5)
    store.close()
    assert store.get(key_of("k")) == b"v"
    clock.advance(0.5)

    assert store.get(key_of("k")) is None
    store.close()


@pytest.mark.parametrize("change", ["delete", "clear"])
def test_what_a_reader_found_while_it_was_removed_does_not_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    store = DiskStore(tmp_path)
    store.set(key_of("k"), b"v")
    store.close()
    remove = getattr(store._writer, change)

    def read_just_before(argument: bytes) -> object:
        assert store.get(key_of("k")) == b"v"
        return remove(argument)

    monkeypatch.setattr(store._writer, change, read_just_before)
    getattr(store, change)(key_of("k"))

    assert store.get(key_of("k")) is None
    store.close()


def test_what_is_set_anew_while_it_is_written_goes_on_waiting() -> None:
    front = Front(0, ManualClock())
    front.put(key_of("k"), b"old", None)
    batch = front.take(50, 1000)
    front.put(key_of("k"), b"new", None)
    front.settle(batch)
    assert front.pending == {key_of("k"): (b"new", None)}
    front.settle(front.take(50, 1000))

    assert (front.pending, front.pending_bytes) == ({}, 0)


def test_what_this_process_replaces_and_removes_leaves_the_rest_in_memory(tmp_path: Path) -> None:
    clock = ManualClock()
    store = DiskStore(tmp_path, clock=clock)
    for number in (1, 2, 3, 1):
        store.set(key_of(number), b"v")
        store.flush()
    store.delete(key_of(3))
    assert store.stats()["near"]["entries"] == 2
    clock.advance(1)
    store.get(key_of(2))

    assert store.stats()["near"]["entries"] == 2
    store.close()


def test_a_read_waits_for_no_writer(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("k"), b"v")
    store.flush()
    blocker = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    blocker.execute("DELETE FROM ostinato_entries")

    assert store.get(key_of("k")) == b"v"
    store.set(key_of("waits"), b"w")
    assert store.get(key_of("waits")) == b"w"
    blocker.execute("ROLLBACK")
    blocker.close()
    store.close()


def test_another_programs_tables_in_the_file_are_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    other.execute("CREATE TABLE Cache (key, value)")
    other.execute("INSERT INTO Cache VALUES ('k', 'v')")
    other.close()
    store = DiskStore(tmp_path)
    assert store.get(key_of("k")) is None
    store.set(key_of("k"), b"ours")
    store.flush()
    assert store.clear() == 1
    store.close()
    other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)

    assert other.execute("SELECT * FROM Cache").fetchall() == [("k", "v")]
    other.close()


def test_threads_and_connections_end_with_close(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.set(key_of("k"), b"v")
    store.flush()
    store.get(key_of("absent"))
    assert "ostinato-disk-writer" in {thread.name for thread in threading.enumerate()}
    store.close()

    assert "ostinato-disk-writer" not in {thread.name for thread in threading.enumerate()}
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in _target(link)]


def test_a_crowd_of_readers_leaves_few_connections_behind(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("k"), b"v")
    store.flush()
    lent = [store._file._open_reader() for _ in range(30)]
    for opened in lent:
        assert opened is not None
        readers, reader = opened
        readers.idle.append(reader)
    assert store.get(key_of("k")) == b"v"

    assert len(store._file._readers.idle) <= 8
    store.close()
    assert store._file._readers.gone.is_set()


def test_a_store_that_is_forgotten_is_written_first(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.set(key_of("k"), b"v")
    del store
    later = DiskStore(tmp_path)

    assert later.get(key_of("k")) == b"v"
    later.close()


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
