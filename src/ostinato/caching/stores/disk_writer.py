"""The one writer of a disk store: batches behind the caller, and nothing lost when the process ends in order."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from ostinato.caching.stores.disk_file import FAILURES, CacheFile, Failure, Outage, verdict
from ostinato.caching.stores.eviction import PURGE_STEP, ROW_OVERHEAD, make_room, mark_used, purge, worth_shrinking
from ostinato.caching.stores.folder import Identity
from ostinato.caching.stores.forks import call_when_worker_ends
from ostinato.caching.stores.front import Front
from ostinato.caching.stores.rows import (
    Batch,
    Removal,
    bump,
    generation_of,
    insert,
    integers_of,
    last_id,
    remove,
    remove_some,
)
from ostinato.errors import StoreError

Result = TypeVar("Result")

BATCH = 50
MOST_BATCH_BYTES = 4 * 2**20
GATHER_S = 0.02
"""How long a first entry waits for company. With the commit it stays under 50 ms."""
PENDING_BYTES = 64 * 2**20
"""What may wait. Beyond it the caller writes; what another process's lock holds up then is dropped."""
MARKS = 256
"""How many used entries are worth a transaction of their own."""
PURGE_S = 10.0
BUSY_TRIES = 10


class BusyError(StoreError):
    """Another process holds the write lock; what waits goes on waiting."""


class MovedError(StoreError):
    """The file was set aside or replaced; the next try finds another."""


class Stored(NamedTuple):
    """What writing a batch did."""

    batch: Batch
    before: int
    """The file's generation, and `after`."""
    after: int
    evicted: int
    expired: int


class Writer:
    """The writing side of one disk store. It never refers to the store, so that the store can be collected."""

    def __init__(self, file: CacheFile, front: Front, *, max_bytes: int, clock: Callable[[], float]) -> None:
        self.file = file
        self.front = front
        self.evictions = 0
        self.expirations = 0
        self.dropped = 0
        self.write_lock = threading.RLock()
        self._max_bytes = max_bytes
        self._clock = clock
        self._outage = Outage(clock)
        self._opened: tuple[sqlite3.Connection, Identity] | None = None
        # A sixteenth of the bound: neither the log nor one batch makes a small cache large.
        self._log_bytes = self._log_limit = self._batch_bytes = max(min(max_bytes // 16, MOST_BATCH_BYTES), 2**17)
        self._purged_at = 0.0
        self._lost: str | None = None
        self._thread: threading.Thread | None = None
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ending = False

    def put(self, key: bytes, value: bytes, expires_at: float | None) -> bool:
        """Let `value` be written behind the caller. Return whether so much waits that `relieve` is due."""
        waiting = self.front.put(key, value, expires_at)
        if waiting in {1, BATCH} or self._thread is None:
            self.wake()
        return self.front.pending_bytes > PENDING_BYTES

    def relieve(self) -> None:
        """Write in the caller's thread until what waits is within its bound."""
        while self.front.pending_bytes > PENDING_BYTES:
            try:
                self.write_batch()
            except BusyError as exc:
                self._drop(self.front.take(BATCH, self._batch_bytes), exc)
            except StoreError:
                continue

    def wake(self) -> None:
        """Let the thread look for work; start it where there is none."""
        if self._thread is None and not self._start():
            with contextlib.suppress(StoreError):
                self.flush()
            return
        self._tokens.put(None)

    def flush(self) -> None:
        """Write what waits at the moment, in the caller's thread.

        Raises:
            StoreError: Something set since the last flush could not be written.
        """
        self._write_all()
        lost, self._lost = self._lost, None
        if lost is not None:
            raise StoreError(lost)

    def write_batch(self) -> int:
        """Write one batch of what waits, and the marks of what was used. Return how many entries it had.

        Raises:
            BusyError: Another process holds the write lock; the batch goes on waiting.
            StoreError: The batch could not be written, and is dropped.
        """
        with self.write_lock:
            batch = self.front.take(BATCH, self._batch_bytes)
            marks = self.front.take_touched()
            if not batch and not marks:
                return 0
            try:
                outcome = self.run(partial(self.store, batch, marks), create=bool(batch))
            except BusyError:
                raise
            except StoreError as exc:
                self._drop(batch, exc)
                raise
            if outcome is not None:
                self.took(outcome)
            self.front.settle(batch)
        return len(batch)

    def _write_all(self) -> None:
        """Write what waits at the moment. What cannot be written is dropped; only `BusyError` is raised."""
        left = len(self.front.pending)
        tries = BUSY_TRIES
        while left > 0:
            try:
                written = self.write_batch()
            except BusyError:
                tries -= 1
                if not tries:
                    raise
            except StoreError:
                continue
            else:
                if not written:
                    return
                left -= written

    def delete(self, key: bytes) -> bool:
        """Remove `key` from the file. Return whether it was there and alive."""
        removal = self._remove(partial(remove, key=key, now=self._clock()))
        return removal is not None and removal.alive > 0

    def clear(self, scope: bytes) -> int:
        """Remove every key of `scope` from what waits and from the file. Return how many were alive."""
        with self.write_lock:
            self._write_all()
            count = 0
            last = self._change(last_id)
            while last:
                step = self._remove(partial(remove_some, scope=scope, last=last, now=self._clock()))
                if step is None or step.rows == 0:
                    break
                count += step.alive
            self._tidy(shrink=True)
        return count

    def close(self, *, for_good: bool = False) -> None:
        """Write what waits, end the thread, close the connections. Never raises: what cannot be written is counted."""
        self._ending = self._ending or for_good
        thread, self._thread = self._thread, None
        tokens, self._tokens = self._tokens, queue.SimpleQueue()
        tokens.put(None)
        if thread is threading.current_thread():
            # The store was collected inside this thread, perhaps within a transaction: the thread ends by itself.
            return
        if thread is not None:
            thread.join()
        self.finish()

    def finish(self) -> None:
        """Write what waits and close the connections."""
        with contextlib.suppress(StoreError):
            self.flush()
        with self.write_lock:
            self.disconnect()
        self.file.close_readers()

    def disconnect(self) -> None:
        """Close the writer's connection; the next batch opens another."""
        opened, self._opened = self._opened, None
        if opened is not None:
            self.file.let_go(opened[0])

    def renew(self) -> None:
        """Start over in a forked child: no thread, no connection, nothing that waits."""
        self.write_lock = threading.RLock()
        self._thread = None
        self._tokens = queue.SimpleQueue()

    def _start(self) -> bool:
        """Start the thread. Return whether one runs: none does once the interpreter is ending."""
        with self.front.lock:
            if self._ending:
                return False
            if self._thread is None:
                thread = threading.Thread(
                    target=self._work, args=(self._tokens,), name="ostinato-disk-writer", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
                call_when_worker_ends(self, Writer.flush)
            return True

    def _work(self, tokens: queue.SimpleQueue[None]) -> None:
        while self._tokens is tokens:
            tokens.get()
            while self._tokens is tokens and (self.front.pending or len(self.front.touched) >= MARKS):
                if len(self.front.pending) < BATCH:
                    _pause(tokens)
                try:
                    self.write_batch()
                except BusyError:
                    _pause(tokens)
                except StoreError:
                    # Counted, and its batch is gone.
                    continue
        if self._ending:
            self.finish()

    def _change(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Run `work` for a caller who waits. None where there is no file."""
        with self.write_lock:
            for _ in range(BUSY_TRIES - 1):
                with contextlib.suppress(BusyError):
                    return self.run(work, create=False)
            return self.run(work, create=False)

    def _remove(self, work: Callable[[sqlite3.Connection], Removal]) -> Removal | None:
        with self.write_lock:
            removal = self._change(work)
            if removal is not None and removal.generation is not None:
                self.front.saw(removal.generation - 1, removal.generation)
        return removal

    def run(self, work: Callable[[sqlite3.Connection], Result], *, create: bool) -> Result | None:
        """Run `work` as one transaction; None where there is no file and none is created.

        A corrupt file is set aside and a moved one left behind, and the work done once more.
        """
        self._outage.refuse()
        cause: Exception | None = None
        for _ in range(3):
            try:
                result = self._try(work, create=create)
            except BusyError:
                raise
            except MovedError as exc:
                cause = exc
            except (StoreError, *FAILURES, OverflowError, MemoryError) as exc:
                raise self.file.fail(self._outage, exc) from exc
            else:
                self._outage.end()
                return result
        raise self.file.fail(self._outage, cause or StoreError("no try was made")) from cause

    def _try(self, work: Callable[[sqlite3.Connection], Result], *, create: bool) -> Result | None:
        try:
            connection = self._connect(create=create)
            if connection is None:
                return None
            result = _transact(connection, work)
        except FAILURES as exc:
            self._recover(exc)
            raise
        # What was committed into a file that was renamed meanwhile is not committed.
        if self._opened is None or self.file.folder.identity() != self._opened[1]:
            raise MovedError("the disk cache's file is replaced again and again")
        return result

    def _recover(self, exc: Failure) -> None:
        """Make the next try possible. Return where none makes sense."""
        kind = verdict(exc)
        if kind == "busy":
            raise BusyError("another process holds the disk cache's write lock") from exc
        opened = self._opened
        self.disconnect()
        if kind == "corrupt":
            if opened is not None:
                self.file.set_aside(opened[1], exc)
            raise MovedError(f"the disk cache is corrupt again and again: {exc}") from exc
        if opened is not None and opened[1] != self.file.folder.identity():
            raise MovedError(f"the disk cache's file is replaced again and again: {exc}") from exc

    def _connect(self, *, create: bool) -> sqlite3.Connection | None:
        if self._opened is not None:
            if self.file.folder.identity() == self._opened[1]:
                return self._opened[0]
            self.disconnect()
        self._opened = self.file.connect_writer(create=create)
        if self._opened is None:
            return None
        connection = self._opened[0]
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_bytes // page_bytes}").fetchall()
        connection.execute(f"PRAGMA journal_size_limit = {self._log_bytes}").fetchall()
        return connection

    def store(self, batch: Batch, marks: Sequence[bytes], connection: sqlite3.Connection) -> Stored:
        """Write entries and marks inside the caller's transaction."""
        now = self._clock()
        expired = evicted = 0
        if not self._purged_at <= now < self._purged_at + PURGE_S:
            expired = purge(connection, now)
            if expired < PURGE_STEP:
                self._purged_at = now
        replaced = False
        if batch:
            incoming = sum(len(value) + ROW_OVERHEAD for _, (value, _) in batch)
            evicted = make_room(connection, incoming, self._max_bytes)
            replaced = insert(connection, batch)
        if marks:
            mark_used(connection, [integers_of(key) for key in marks])
        before = generation_of(connection)
        return Stored(batch, before, bump(connection) if replaced else before, evicted, expired)

    def took(self, stored: Stored) -> None:
        """Take note of what was committed."""
        self.evictions += stored.evicted
        self.expirations += stored.expired
        self.front.saw(stored.before, stored.after)
        self._tidy(shrink=stored.expired > 0)

    def _tidy(self, *, shrink: bool) -> None:
        """Cut the log where readers kept it from starting over, and the file where little is left in it."""
        if self._opened is None:
            return
        connection = self._opened[0]
        log_bytes = self.file.folder.log_bytes()
        with contextlib.suppress(*FAILURES):
            if shrink and worth_shrinking(connection):
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            elif log_bytes > 2 * self._log_limit:
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                # A reader that stays costs one wait, not one a batch.
                self._log_limit = log_bytes if busy else self._log_bytes

    def _drop(self, batch: Batch, cause: StoreError) -> None:
        self.front.settle(batch)
        self.dropped += len(batch)
        if batch:
            self._lost = str(cause)


def _pause(tokens: queue.SimpleQueue[None]) -> None:
    with contextlib.suppress(queue.Empty):
        tokens.get(timeout=GATHER_S)


def _transact(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(*FAILURES):
            connection.execute("ROLLBACK")
        raise
    return result
