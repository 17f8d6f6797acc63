"""A disk cache that cannot be used, or not as it is: a clear error or a miss, one warning, and another try later."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.caching.stores import disk_file, disk_writer
from ostinato.caching.stores.disk import DiskStore
from ostinato.caching.stores.rows import Batch, insert
from ostinato.errors import StoreError
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import key_of

NOBODY = 65534

Damage = Callable[[bytearray], bytes]


def flip_bits(content: bytearray) -> bytes:
    chance = random.Random(7)
    # The first page holds the schema, the second a tree's root: both are read before anything else.
    for _ in range(400):
        content[chance.randrange(100, 3 * 8192)] ^= 1 << chance.randrange(8)
    return bytes(content)


DAMAGES: dict[str, Damage] = {
    "a garbage header": lambda content: b"garbage " * 13 + bytes(content[104:]),
    "garbage throughout": lambda content: random.Random(1).randbytes(len(content)),
    "cut to half a page": lambda content: bytes(content[:4000]),
    "cut to ten bytes": lambda content: bytes(content[:10]),
    "flipped bits": flip_bits,
    # SQLite quotes the schema in its message, which then cannot be decoded.
    "a schema that is no text": lambda content: bytes(content).replace(b"CREATE TABLE", b"CREATE \xef\xf0\xf1\xf2\xf3"),
}


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ostinato"]


def filled(folder: Path) -> Path:
    """Return the file of a closed store with 50 entries of 2 KB."""
    store = DiskStore(folder)
    for number in range(50):
        store.set(key_of(number), bytes([number]) * 2000)
    store.close()
    return folder / "cache.db"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("first", ["get", "set"])
def test_a_corrupt_file_is_set_aside_once_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Damage, first: str
) -> None:
    file = filled(tmp_path)
    broken = damage(bytearray(file.read_bytes()))
    file.write_bytes(broken)
    store = DiskStore(tmp_path)
    if first == "get":
        assert store.get(key_of(1)) is None
    store.set(key_of("new"), b"new")
    store.flush()
    store.close()

    assert store.get(key_of("new")) == b"new"
    assert store.get(key_of(1)) is None
    assert (tmp_path / "cache.db.corrupt-1").stat().st_size == len(broken)
    assert not (tmp_path / "cache.db.corrupt-2").exists()
    assert len(warnings_of(caplog)) == 1
    assert "cache.db.corrupt-1" in warnings_of(caplog)[0]
    assert store.stats()["errors"] == 1
    store.close()


def test_an_empty_file_is_an_empty_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache.db").touch()
    store = DiskStore(tmp_path)
    assert store.get(key_of("k")) is None
    store.set(key_of("k"), b"v")
    store.close()

    assert store.get(key_of("k")) == b"v"
    assert warnings_of(caplog) == []
    store.close()


def test_a_file_that_is_damaged_while_open_never_gives_anything_but_a_value_a_miss_or_a_store_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    file = filled(tmp_path)
    store = DiskStore(tmp_path, near_bytes=0, clock=clock)
    assert store.get(key_of(1)) == bytes([1]) * 2000
    # Another process does the damage: opening the file here would drop this process's locks on it.
    program = f"import os; os.truncate({str(file)!r}, 20000)"
    subprocess.run([sys.executable, "-c", program], check=True)
    for number in range(50):
        try:
            assert store.get(key_of(number)) in {None, bytes([number]) * 2000}
        except StoreError:
            pass
        store.set(key_of(("new", number)), b"new")
        try:
            store.flush()
        except StoreError:
            pass
    clock.advance(6)
    store.set(key_of("last"), b"last")
    store.flush()

    assert store.get(key_of("last")) == b"last"
    assert len(warnings_of(caplog)) <= 2
    store.close()


def test_only_the_last_three_corrupt_files_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "cache.db").write_bytes(b"garbage" * 1000 + bytes([number]))
        store = DiskStore(tmp_path)
        assert store.get(key_of("k")) is None
        store.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"cache.db.corrupt-{number}" for number in (3, 4, 5)]


def test_stores_that_find_the_same_corrupt_file_set_it_aside_once(tmp_path: Path) -> None:
    stores = [DiskStore(tmp_path, near_bytes=0, clock=ManualClock()) for _ in range(4)]
    file = filled(tmp_path)
    file.write_bytes(b"garbage" * 1000)
    assert stores[0].get(key_of(1)) is None
    stores[0].set(key_of("new"), b"new")
    stores[0].flush()
    for store in stores:
        assert store.get(key_of(1)) is None
        assert store.get(key_of("new")) == b"new"
        store.close()

    assert not (tmp_path / "cache.db.corrupt-2").exists()


def test_a_store_with_the_renamed_file_open_moves_on_to_the_new_one(tmp_path: Path) -> None:
    clock = ManualClock()
    late = DiskStore(tmp_path, near_bytes=0, clock=clock)
    late.set(key_of("k"), b"old")
    late.flush()
    assert late.get(key_of("k")) == b"old"
    identity = late._folder.identity()
    assert identity is not None
    DiskStore(tmp_path)._folder.set_aside(identity)
    late.set(key_of("new"), b"new")
    late.flush()
    other = DiskStore(tmp_path)

    assert other.get(key_of("new")) == b"new"
    clock.advance(1)
    assert late.get(key_of("new")) == b"new"
    assert late.get(key_of("k")) is None
    late.close()
    assert other.get(key_of("new")) == b"new"
    other.close()


def test_what_was_written_into_a_file_that_is_renamed_meanwhile_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("before"), b"old")
    store.flush()
    identity = store._folder.identity()
    assert identity is not None

    def insert_and_rename(connection: sqlite3.Connection, batch: Batch) -> bool:
        replaced = insert(connection, batch)
        DiskStore(tmp_path)._folder.set_aside(identity)
        return replaced

    monkeypatch.setattr(disk_writer, "insert", insert_and_rename)
    store.set(key_of("k"), b"v")
    store.flush()
    store.close()

    assert (tmp_path / "cache.db.corrupt-1").exists()
    assert not (tmp_path / "cache.db.corrupt-2").exists()
    assert store.get(key_of("k")) == b"v"
    store.close()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = filled(tmp_path)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = file.read_bytes()
    store = DiskStore(tmp_path)
    with pytest.raises(StoreError, match="written by a newer ostinato"):
        store.get(key_of(1))
    store.set(key_of("k"), b"v")
    with pytest.raises(StoreError, match="written by a newer ostinato"):
        store.flush()
    store.close()

    assert file.read_bytes() == before
    assert len(warnings_of(caplog)) == 1


def test_a_folder_that_cannot_be_made_is_an_error_of_flush_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    clock = ManualClock()
    store = DiskStore(tmp_path / "file" / "cache", clock=clock)
    for number in range(3):
        store.set(key_of(number), b"v")
        with pytest.raises(StoreError, match="cannot use"):
            store.flush()
        assert store.get(key_of(number)) == b"v", "this process still has it in memory"
    store.flush()
    assert store.stats()["dropped"] == 3
    assert len(warnings_of(caplog)) == 1

    (tmp_path / "file").unlink()
    store.set(key_of("early"), b"v")
    with pytest.raises(StoreError):
        store.flush()
    clock.advance(5)
    store.set(key_of("late"), b"v")
    store.flush()
    assert (tmp_path / "file" / "cache" / "cache.db").exists()
    store.close()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_may_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    """Another user is needed, since nothing is closed to root; a child becomes one."""
    # pytest's own folders are closed to others.
    parent = Path(tempfile.gettempdir(), f"ostinato-{os.getpid()}")
    parent.mkdir(mode=0o755)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setuid(NOBODY)
            store = DiskStore(parent / "cache")
            store.set(key_of("k"), b"v")
            with pytest.raises(StoreError, match="Permission denied"):
                store.flush()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    parent.rmdir()

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_full_disk_drops_what_does_not_fit_and_serves_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_file, "WRITER", (*disk_file.WRITER, "PRAGMA max_page_count = 40"))
    clock = ManualClock()
    store = DiskStore(tmp_path, near_bytes=0, clock=clock)
    store.set(key_of("fits"), b"v" * 2000)
    store.flush()
    for number in range(10):
        store.set(key_of(number), b"v" * 100_000)
    with pytest.raises(StoreError, match="full"):
        store.flush()
    assert store.get(key_of("fits")) == b"v" * 2000
    assert store.stats()["dropped"] > 0
    clock.advance(5)
    store.set(key_of("small"), b"w")
    store.flush()

    assert store.get(key_of("small")) == b"w"
    assert len(warnings_of(caplog)) == 1
    store.close()


def test_a_lock_that_another_process_keeps_is_no_error_of_set_or_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_file, "BUSY_S", 0.01)
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("before"), b"1")
    store.close()
    blocker = sqlite3.connect(tmp_path / "cache.db", isolation_level=None, timeout=0)
    blocker.execute("BEGIN IMMEDIATE")
    store.set(key_of("k"), b"2")
    assert store.get(key_of("before")) == b"1"
    assert store.get(key_of("k")) == b"2"
    with pytest.raises(StoreError, match="write lock") as caught:
        store.flush()
    with pytest.raises(StoreError, match="write lock"):
        store.delete(key_of("before"))
    assert "database is locked" not in str(caught.value)
    store.close()
    store.set(key_of("later"), b"3")
    assert "ostinato-disk-writer" in {thread.name for thread in threading.enumerate()}
    blocker.execute("ROLLBACK")
    blocker.close()
    store.flush()

    assert store.stats()["entries"] == 3
    assert store.stats()["dropped"] == 0
    store.close()


def test_what_waits_behind_a_kept_lock_is_bounded_and_the_rest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_file, "BUSY_S", 0.001)
    monkeypatch.setattr("ostinato.caching.stores.disk_writer.PENDING_BYTES", 200_000)
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("before"), b"1")
    store.close()
    blocker = sqlite3.connect(tmp_path / "cache.db", isolation_level=None, timeout=0)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(500):
        store.set(key_of(number), b"v" * 1000)
    stats = store.stats()
    blocker.execute("ROLLBACK")
    blocker.close()

    assert stats["pending_bytes"] <= 200_000
    assert stats["dropped"] + stats["pending"] == 500
    store.close()


def test_the_log_level_of_a_warning_is_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache.db").write_bytes(b"garbage" * 1000)
    store = DiskStore(tmp_path)
    store.get(key_of("k"))
    store.close()

    assert [(record.name, record.levelno) for record in caplog.records] == [("ostinato", logging.WARNING)]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 7)), min_size=1, max_size=30), st.data())
def test_flipped_bits_anywhere_give_a_value_a_miss_or_a_store_error_and_nothing_else(
    flips: list[tuple[int, int]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "cache")
        file = filled(folder)
        content = bytearray(file.read_bytes())
        for place, bit in flips:
            content[place % len(content)] ^= 1 << bit
        file.write_bytes(content)
        clock = ManualClock()
        store = DiskStore(folder, near_bytes=data.draw(st.sampled_from([0, 10**6])), max_bytes=300_000, clock=clock)
        uses = data.draw(st.permutations(["get", "set", "delete", "scan", "clear", "stats"]))
        for use in uses:
            for key in (key_of(number) for number in range(0, 50, 7)):
                try:
                    found = use_store(store, use, key)
                except StoreError:
                    clock.advance(5)
                else:
                    assert found is None or isinstance(found, bytes)
        store.close()
        clock.advance(5)
        store.set(key_of("new"), b"new")
        assert store.get(key_of("new")) == b"new"
        store.close()


def use_store(store: DiskStore, use: str, key: bytes) -> bytes | None:
    """Use `store` in one way. Return what a get found."""
    match use:
        case "get":
            return store.get(key)
        case "set":
            store.set(key, b"v" * 3000, 60)
            store.flush()
        case "delete":
            store.delete(key)
        case "scan":
            assert all(isinstance(part, bytes) for pair in store.scan() for part in pair)
        case "clear":
            store.clear(key[:9])
        case _:
            store.stats()
    return None
