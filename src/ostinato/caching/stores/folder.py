"""The folder of a disk cache: its own, private, and where a broken file is set aside."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ostinato.errors import StoreError

if sys.platform != "win32":
    import fcntl

Identity = tuple[int, int]
"""Device and inode: what stays with a file when its name goes to another."""

FILE_NAME = "cache.db"
SUFFIXES = ("-wal", "-shm", "")
"""What SQLite keeps beside the file, and the file: in this order a half-done renaming leaves no log to a new file."""

KEPT_ASIDE = 3
LOCK_TRIES = 1000
LOCK_PAUSE_S = 0.002

_pause = threading.Event()


class Folder:
    """One folder, mode 0700, with `cache.db` and what SQLite puts beside it, mode 0600.

    The path is made absolute once. Nothing exists before `prepare`. Every method raises `StoreError` for
    what the system refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100  # Path.resolve follows the symlink that is to be refused
        self.file = Path(self.path, FILE_NAME)

    def complaint(self) -> str | None:
        """Return why this folder is refused, or None when it is fit or absent."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return None
        if stat.S_ISLNK(found.st_mode):
            return f"the cache folder {self.path!r} is a symlink; give the folder itself"
        if not stat.S_ISDIR(found.st_mode):
            return f"the cache folder {self.path!r} is no folder; give another path"
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            return f"the cache folder {self.path!r} belongs to another user; give one of your own"
        if found.st_mode & stat.S_ISVTX:
            return f"the cache folder {self.path!r} is shared by all users; give a folder inside it"
        return None

    def prepare(self) -> None:
        """Create the folder where it is missing, close it to others, and keep it out of version control."""
        self._check()
        with self._refusals():
            for parent in reversed(Path(self.path).parents):
                if not parent.is_dir():
                    parent.mkdir(mode=0o755, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, mode=0o700)  # noqa: PTH102
            self._check()
            if os.lstat(self.path).st_mode & 0o777 != 0o700:
                os.chmod(self.path, 0o700)  # noqa: PTH101
            names = os.listdir(self.path)  # noqa: PTH208
            # A folder that holds more than a cache is somebody's: hiding all of it from git would surprise.
            if all(name.startswith(FILE_NAME) for name in names):
                _create(Path(self.path, ".gitignore"), b"*\n")

    def create_file(self) -> None:
        """Create an empty `cache.db` where there is none, readable by its owner alone.

        An existing one is never opened here: closing it would drop the locks that SQLite holds on it for
        the whole process (https://www.sqlite.org/howtocorrupt.html section 2.2, read 2026-11-22).
        """
        with self._refusals():
            _create(self.file, b"")
            for suffix in SUFFIXES:
                path = f"{self.file}{suffix}"
                with contextlib.suppress(FileNotFoundError):
                    found = os.lstat(path)
                    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o777 != 0o600:
                        os.chmod(path, 0o600)  # noqa: PTH101

    def identity(self) -> Identity | None:
        """Return which file `cache.db` is, or None when there is none."""
        try:
            found = os.lstat(self.file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as exc:
            raise _refused(exc) from exc
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{str(self.file)!r} is no plain file; remove it or give another folder")
        return found.st_dev, found.st_ino

    def file_bytes(self) -> int:
        """Return the bytes of `cache.db` and what SQLite keeps beside it."""
        total = 0
        for suffix in SUFFIXES:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{self.file}{suffix}").st_size
        return total

    def log_bytes(self) -> int:
        """Return the bytes of SQLite's write-ahead log."""
        try:
            return os.lstat(f"{self.file}-wal").st_size
        except OSError:
            return 0

    @contextlib.contextmanager
    def locked(self, *, alone: bool) -> Iterator[None]:
        """Hold the folder, shared to open the file and `alone` to create, convert or rename it.

        Without it a process could open `cache.db` before a renaming and its log after it, and mix the two.
        """
        self._check()
        if sys.platform == "win32":  # where an open file cannot be renamed, and a folder not be opened
            yield
            return
        with self._refusals():
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _lock(handle, alone=alone)
            yield
        finally:
            os.close(handle)

    def set_aside(self, identity: Identity) -> str | None:
        """Rename `cache.db` and its log if it still is the file `identity`. Return its new name, else None."""
        with self.locked(alone=True), self._refusals():
            if self.identity() != identity:
                return None
            taken = self._set_aside_before()
            for number in taken[: len(taken) - KEPT_ASIDE + 1]:
                for suffix in SUFFIXES:
                    Path(f"{self.file}.corrupt-{number}{suffix}").unlink(missing_ok=True)
            name = f"{self.file}.corrupt-{taken[-1] + 1 if taken else 1}"
            for suffix in SUFFIXES:
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self.file}{suffix}", f"{name}{suffix}")  # noqa: PTH104
            return name

    def _set_aside_before(self) -> list[int]:
        start = f"{FILE_NAME}.corrupt-"
        names = os.listdir(self.path)  # noqa: PTH208
        return sorted(
            int(name[len(start) :]) for name in names if name.startswith(start) and name[len(start) :].isdigit()
        )

    def _check(self) -> None:
        complaint = self.complaint()
        if complaint is not None:
            raise StoreError(complaint)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise _refused(exc) from exc


def _refused(exc: OSError) -> StoreError:
    return StoreError(f"the disk cache cannot use {exc.filename!r}: {exc.strerror}; check the folder or give another")


def _create(path: Path, content: bytes) -> None:
    """Create `path` with `content`, mode 0600 whatever the umask; leave an existing one as it is."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(path, flags, 0o600)
    except FileExistsError:
        return
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(handle, 0o600)
        os.write(handle, content)
    finally:
        os.close(handle)


def _lock(handle: int, *, alone: bool) -> None:
    kind = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(handle, kind)
        except OSError as exc:
            if exc.errno not in {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EINTR}:
                # A file system without such locks: what is lost is the guard against renaming, no data.
                return
        else:
            return
        _pause.wait(LOCK_PAUSE_S)
    raise StoreError("another process has held the cache folder for two seconds; end it, or give another folder")
