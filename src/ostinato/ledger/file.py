"""The file that the processes of one gateway share: SQLite, for its owner alone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from ostinato.errors import StoreError

BUSY_TIMEOUT_S = 5.0


class LedgerFile:
    """One SQLite file, mode 0600, opened when it is first used, anew in a forked child.

    A transaction holds the file for writing from its start, so that what it reads stays true until it ends.
    Every method raises `StoreError` for what the system or SQLite refuses.
    """

    def __init__(self, path: str | os.PathLike[str], schema: str) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  # a symlink is refused below, not followed
        self._schema = schema
        self._lock = threading.RLock()
        self._open: tuple[int, sqlite3.Connection] | None = None
        self._left: list[sqlite3.Connection] = []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection, holding the file for writing; commit at the end, or nothing of it on an error."""
        with self._lock, self._refusals():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to read from."""
        with self._lock, self._refusals():
            yield self._connection()

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            opened, self._open = self._open, None
            if opened is not None and opened[0] == os.getpid():
                opened[1].close()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._open[0] != os.getpid():
            if self._open is not None:
                # What a parent opened is neither used nor closed: SQLite's locks do not survive a fork.
                self._left.append(self._open[1])
            self._open = (os.getpid(), self._connect())
        return self._open[1]

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.is_symlink():
            raise StoreError(f"{str(self.path)!r} is a symlink; give the file itself")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        if not self.path.exists():
            os.close(os.open(self.path, flags, 0o600))
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(f"{self.path}{suffix}", 0o600)  # noqa: PTH101
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            # A log beside the file lets readers and one writer go on together; it is synced at checkpoints.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as exc:
            raise StoreError(f"the ledger {str(self.path)!r} cannot be used: {exc}") from exc
