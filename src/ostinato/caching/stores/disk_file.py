"""The file of a disk cache: its schema, its connections, and what happens when it is broken."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Literal

from ostinato.caching.stores.folder import Folder, Identity
from ostinato.caching.stores.rows import SCHEMA
from ostinato.errors import StoreError

VERSION = 1
RETRY_S = 5.0
BUSY_S = 1.0
PAGE_BYTES = 8192
MOST_IDLE = 8
"""Open readers that are kept for the next reads: more threads than these are seldom inside SQLite at once."""

LEAST_CACHED_BYTES, MOST_CACHED_BYTES = 2 * 2**20, 16 * 2**20
"""Of pages, for each connection: hot reads copy from memory, without a system call."""

EVERY_CONNECTION = (
    "PRAGMA mmap_size = 0",  # a mapped file that somebody cuts short kills the process; cached pages are as fast
    "PRAGMA trusted_schema = OFF",  # a planted file must not run functions through its views and triggers
)
READER = (
    *EVERY_CONNECTION,
    "PRAGMA query_only = ON",  # one writer a process: a reader that writes is a mistake of ours
)
WRITER = (
    *EVERY_CONNECTION,
    f"PRAGMA page_size = {PAGE_BYTES}",  # three 2 KB answers a page instead of one; counts for a new file only
    "PRAGMA journal_mode = WAL",  # readers never wait for a writer
    "PRAGMA synchronous = NORMAL",  # a killed process loses nothing committed; a power cut may, and never corrupts
    "PRAGMA secure_delete = FAST",  # deleted answers are wiped where that costs no extra write
    "PRAGMA temp_store = MEMORY",  # no answer in a temporary file
)


Failure = sqlite3.Error | UnicodeDecodeError
FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises. Where it quotes a damaged name, the message itself cannot be decoded."""


def verdict(exc: Failure) -> Literal["busy", "corrupt", "trouble"]:
    """Say what an error of SQLite calls for: another try, a new file, or a pause."""
    if isinstance(exc, UnicodeDecodeError):
        return "corrupt"
    match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            return "busy"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "corrupt"
        case _:
            return "trouble"


class Outage:
    """What keeps a broken thing from being tried more often than every `RETRY_S` seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = 0.0
        self.reason: str | None = None

    def refuse(self) -> None:
        """Raise `StoreError` while the last failure is too recent for another try."""
        if self.reason is not None and self._since <= self._clock() < self._since + RETRY_S:
            raise StoreError(self.reason)

    def begin(self, reason: str) -> None:
        self._since = self._clock()
        self.reason = reason

    def end(self) -> None:
        self.reason = None


class Readers:
    """Open connections to one file, each lent to one thread at a time.

    Whoever gives one back to a retired set closes it, so a set ends without waiting for its readers.
    """

    __slots__ = ("_close", "_closed", "_lock", "gone", "identity", "idle", "opened", "retired")

    def __init__(self, identity: Identity | None, close: Callable[[sqlite3.Connection], None]) -> None:
        self.identity = identity
        self.idle: list[sqlite3.Cursor] = []
        self.opened = 0
        self.retired = False
        self.gone = threading.Event()
        """Set when retired and the last connection is closed."""
        self._close = close
        self._closed = 0
        self._lock = threading.Lock()

    def retire(self) -> None:
        self.retired = True
        self.drain()

    def drain(self) -> None:
        """Close what is idle beyond `MOST_IDLE`, all of it in a retired set."""
        with self._lock:
            while len(self.idle) > (0 if self.retired else MOST_IDLE):
                self._close(self.idle.pop().connection)
                self._closed += 1
            if self.retired and self._closed == self.opened:
                self.gone.set()


class CacheFile:
    """One `cache.db` as this process sees it: readers for everyone, a connection for the writer."""

    def __init__(self, folder: Folder, clock: Callable[[], float], *, cached_bytes: int = MOST_CACHED_BYTES) -> None:
        self.folder = folder
        self._cached_kb = min(max(cached_bytes, LEAST_CACHED_BYTES), MOST_CACHED_BYTES) >> 10
        self.errors = self.oversized = 0
        self.outage = Outage(clock)
        self.open_lock = threading.RLock()
        self._readers = Readers(None, self.let_go)
        self._inherited: Readers | None = None
        self._warned: set[str] = set()

    def fetch(self, sql: str, parameters: tuple[Any, ...] = ()) -> Any:
        """Return the only row of a query, or None: no such row, no file, or a corrupt one, now set aside."""
        readers = self._readers
        try:
            reader = readers.idle.pop()
        except IndexError:
            opened = self._open_reader()
            if opened is None:
                return None
            readers, reader = opened
        try:
            return reader.execute(sql, parameters).fetchone()
        except FAILURES as exc:
            failure = exc
        finally:
            readers.idle.append(reader)
            if readers.retired or len(readers.idle) > MOST_IDLE:
                readers.drain()
        readers.retire()
        self._open_failed(failure, readers.identity)
        return None

    def watch(self) -> Identity | None:
        """Return which file is there, and let go of the connections to any other."""
        identity = self.folder.identity()
        readers = self._readers
        if readers.opened and readers.identity != identity:
            readers.retire()
        return identity

    def connect_writer(self, *, create: bool) -> tuple[sqlite3.Connection, Identity] | None:
        """Open the file for writing, made anew where it is missing and `create`; else None.

        Raises:
            sqlite3.Error: SQLite cannot open it; where it is corrupt, it is set aside.
            StoreError: The folder is refused, or the file is of a newer ostinato.
        """
        self._check()
        if create:
            self.folder.prepare()
        elif self.folder.identity() is None:
            return None
        identity: Identity | None = None
        try:
            with self.folder.locked(alone=True):
                self.folder.create_file()
                identity = self.folder.identity()
                if identity is None:
                    raise StoreError(f"{str(self.folder.file)!r} vanished while it was opened")
                return self._connect_and_build(), identity
        except FAILURES as exc:
            if identity is not None and verdict(exc) == "corrupt":
                self.set_aside(identity, exc)
            raise

    def set_aside(self, identity: Identity, cause: Failure) -> None:
        """Rename the corrupt file `identity`, unless another process has; the next set starts a new one."""
        with self.open_lock:
            self.errors += 1
            self._readers.retire()
            try:
                name = self.folder.set_aside(identity)
            except StoreError as exc:
                raise self.fail(self.outage, exc) from exc
        if name is not None:
            self.warn("corrupt", f"the disk cache was corrupt ({cause}); it is set aside as {name!r} and starts empty")

    def fail(self, outage: Outage, cause: Exception) -> StoreError:
        """Take note of a failure that a pause may cure. Return the error to raise."""
        text = str(cause) if isinstance(cause, StoreError) else f"the disk cache {self.folder.path!r} failed: {cause}"
        self.errors += 1
        outage.begin(text)
        self.warn("unusable", f"{text}; going on without it, with a try every {RETRY_S:.0f} seconds")
        error = StoreError(text)
        error.logged = True
        return error

    def refuse(self, size_bytes: int) -> None:
        """Count a value that is too large to be kept, and warn of the first."""
        self.oversized += 1
        text = f"an answer of {size_bytes} bytes is larger than the disk cache may be, and is not kept"
        self.warn("oversized", f"{text}; further ones are counted alone")

    def warn(self, kind: str, message: str) -> None:
        """Log `message`, the first of its kind only."""
        if kind not in self._warned:
            self._warned.add(kind)
            logging.getLogger("ostinato").warning("%s", message)

    def let_go(self, connection: sqlite3.Connection) -> None:
        """Close `connection` while nobody renames the file.

        The last one to close removes the log by its name: after a renaming that would be another file's log.
        """
        try:
            with self.folder.locked(alone=False):
                close(connection)
        except StoreError:
            close(connection)

    def close_readers(self, wait_s: float = 0.0) -> bool:
        """Close every reader once it is given back. Return whether all were within `wait_s`."""
        self._readers.retire()
        return self._readers.gone.wait(wait_s)

    def renew(self, *, at_rest: bool) -> None:
        """Start over in a forked child, for good without the file unless its parent's connections were closed."""
        self.open_lock = threading.RLock()
        if not at_rest:
            # Neither used nor closed: SQLite would drop the parent's locks, or believe in locks that are not there.
            self._inherited = self._readers
        self._readers = Readers(None, self.let_go)

    def _open_reader(self) -> tuple[Readers, sqlite3.Cursor] | None:
        with self.open_lock:
            self.outage.refuse()
            identity: Identity | None = None
            try:
                self._check()
                if self.folder.identity() is None:
                    return None
                with self.folder.locked(alone=False):
                    identity = self.folder.identity()
                    if identity is None:
                        return None
                    connection, version = self._connect(READER)
                if version == 0:
                    self.let_go(connection)
                    return None
            except FAILURES as exc:
                self._open_failed(exc, identity)
                return None
            except StoreError as exc:
                raise self.fail(self.outage, exc) from exc
            self.outage.end()
            if self._readers.identity != identity or self._readers.retired:
                self._readers.retire()
                self._readers = Readers(identity, self.let_go)
            self._readers.opened += 1
            return self._readers, connection.cursor()

    def _check(self) -> None:
        if self._inherited is not None:
            raise StoreError("this process was forked in the middle of a read; open the disk cache after the fork")
        complaint = self.folder.complaint()
        if complaint is not None:
            raise StoreError(complaint)

    def _open_failed(self, exc: Failure, identity: Identity | None) -> None:
        kind = verdict(exc)
        if kind == "corrupt" and identity is not None:
            self.set_aside(identity, exc)
            return
        if kind == "busy":
            self.errors += 1
            raise StoreError("another process keeps the disk cache to itself at the moment") from exc
        raise self.fail(self.outage, exc) from exc

    def _connect_and_build(self) -> sqlite3.Connection:
        connection, version = self._connect(WRITER)
        try:
            if version < VERSION:
                connection.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
        except BaseException:
            close(connection)
            raise
        return connection

    def _connect(self, pragmas: tuple[str, ...]) -> tuple[sqlite3.Connection, int]:
        """Open the file. Return the connection and the version of what is in it, 0 when nothing is."""
        connection = sqlite3.connect(
            f"{self.folder.file.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=32,
        )
        # Where damage made a text of a value, it is still bytes, and no decoding fails.
        connection.text_factory = bytes
        try:
            for pragma in (*pragmas, f"PRAGMA cache_size = -{self._cached_kb}"):
                connection.execute(pragma).fetchall()
            # This read opens the log as well: file and log belong together while the folder is locked.
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            self._check_version(version)
        except BaseException:
            close(connection)
            raise
        return connection, version

    def _check_version(self, version: int) -> None:
        if version > VERSION:
            raise StoreError(
                f"{str(self.folder.file)!r} was written by a newer ostinato (format {version}, this one knows"
                f" {VERSION}); update ostinato, or give another folder"
            )


def close(connection: sqlite3.Connection) -> None:
    """Close `connection`, whatever state it is in. The folder is locked."""
    with contextlib.suppress(*FAILURES):
        connection.close()
