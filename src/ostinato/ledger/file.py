"""The file that the processes of one gateway share: SQLite, for its owner alone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

from ostinato.errors import StoreError

BUSY_TIMEOUT_S = 5.0
"""How long another process's transaction is waited for, where nobody is kept waiting by it."""


class LedgerFile:
    """One SQLite file, mode 0600, opened when it is first used, anew in a forked child.

    A transaction holds the file for writing from its start, so that what it reads stays true until it ends.
    Every method raises `StoreError` for what the system or SQLite refuses.
    """

    def __init__(self, path: str | os.PathLike[str], schema: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  # a symlink is refused below, not followed
        self._schema = schema
        self._busy_timeout_s = busy_timeout_s
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
        timeout_s = self._busy_timeout_s
        connection = sqlite3.connect(self.path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            # A log beside the file lets readers and one writer go on together; it is synced at checkpoints.
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._lay_out(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        """Make the tables that are not there yet; where they are, wait for nobody who writes."""
        number = zlib.crc32(self._schema.encode()) >> 1
        if connection.execute("PRAGMA user_version").fetchone()[0] != number:
            connection.execute(f"PRAGMA busy_timeout={round(BUSY_TIMEOUT_S * 1000)}")
            connection.executescript(f"{self._schema};PRAGMA user_version={number};")
            connection.execute(f"PRAGMA busy_timeout={round(self._busy_timeout_s * 1000)}")

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (OSError, OverflowError, sqlite3.Error) as exc:  # overflow: a number larger than SQLite's
            raise StoreError(f"the ledger {str(self.path)!r} cannot be used: {exc}") from exc
