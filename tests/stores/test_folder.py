from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ostinato.caching.stores.disk import DiskStore
from ostinato.caching.stores.folder import Folder
from ostinato.errors import ConfigurationError, StoreError
from ostinato.testing.store_face import key_of


def closed_store(folder: Path) -> None:
    store = DiskStore(folder)
    store.set(key_of("there"), b"v")
    store.close()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_folder_and_files_are_their_owners_alone(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "parent" / "cache"
    folder.parent.mkdir()
    previous = os.umask(umask)
    try:
        store = DiskStore(folder)
        store.set(key_of("k"), b"v")
        store.flush()
        store.get(key_of("absent"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(previous)

    assert modes == dict.fromkeys(("cache.db", "cache.db-wal", "cache.db-shm", ".gitignore"), 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    store.close()


def test_an_open_folder_and_file_are_closed_to_others(tmp_path: Path) -> None:
    closed_store(tmp_path / "cache")
    file = tmp_path / "cache" / "cache.db"
    file.chmod(0o644)
    file.parent.chmod(0o755)
    store = DiskStore(tmp_path / "cache")
    store.set(key_of("k"), b"v")
    store.flush()

    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    store.close()


def test_a_folder_with_other_things_in_it_is_not_hidden_from_git(tmp_path: Path) -> None:
    (tmp_path / "source.py").touch()
    store = DiskStore(tmp_path)
    store.set(key_of("k"), b"v")
    store.close()

    assert not (tmp_path / ".gitignore").exists()


def test_a_symlink_is_refused_also_one_that_appears_later(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ConfigurationError, match="is a symlink"):
        DiskStore(tmp_path / "link")
    store = DiskStore(tmp_path / "later")
    (tmp_path / "later").symlink_to("real")
    store.set(key_of("k"), b"v")
    with pytest.raises(StoreError, match="is a symlink"):
        store.flush()
    store.close()

    assert list((tmp_path / "real").iterdir()) == []


def test_a_symlink_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    closed_store(tmp_path / "precious")
    precious = tmp_path / "precious" / "cache.db"
    before = precious.read_bytes()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "cache.db").symlink_to(precious)
    store = DiskStore(tmp_path / "cache")
    with pytest.raises(StoreError, match="no plain file"):
        store.get(key_of(1))
    store.set(key_of("k"), b"v")
    with pytest.raises(StoreError, match="no plain file"):
        store.flush()
    store.close()

    assert precious.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    os.chown(tmp_path / "cache", 65534, 65534)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        DiskStore(tmp_path / "cache")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()

    with pytest.raises(ConfigurationError, match="is no folder"):
        DiskStore(tmp_path / "cache")


def test_who_opens_waits_for_who_renames_and_not_for_who_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.caching.stores.folder.LOCK_TRIES", 2)
    folder = Folder(tmp_path)
    with folder.locked(alone=False), folder.locked(alone=False):
        pass
    for first in (True, False):
        with (
            folder.locked(alone=first),
            pytest.raises(StoreError, match="held the cache folder"),
            folder.locked(alone=True),
        ):
            pass
    with folder.locked(alone=True):
        pass


def test_a_file_that_is_no_longer_there_is_not_set_aside(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.create_file()
    old = folder.identity()
    assert old is not None
    assert folder.set_aside(old) == str(tmp_path / "cache.db.corrupt-1")
    folder.create_file()
    new = folder.identity()

    assert folder.set_aside(old) is None
    assert folder.identity() == new


def test_a_negative_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_bytes is -1"):
        DiskStore(tmp_path, max_bytes=-1)
