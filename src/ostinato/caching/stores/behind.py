"""What a store on a network has still to write: one thread sends it, and who asks meanwhile finds it here."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ostinato.caching.stores.forks import call_when_worker_ends, renew_after_fork
from ostinato.caching.stores.front import Front, Pending
from ostinato.errors import StoreError, warn

Batch = list[tuple[bytes, Pending]]

PENDING_BYTES = 64 * 2**20
"""What may wait. Beyond it the oldest is dropped."""
RETRY_S = 1.0
LOOK_S = 0.05
LOOKS = 20
"""How often the thread looks for more before it ends, and whether the process does."""
FORK_WAIT_S = 2.0


class PartlySentError(StoreError):
    """Some of a batch arrived, some of it has to wait, and some is refused for good."""

    def __init__(self, problem: StoreError, batch: Batch, *, later: Batch, refused: Batch) -> None:
        super().__init__(str(problem), retryable=True)
        self.later, self.refused = later, refused
        unsent = {key for key, _ in (*later, *refused)}
        self.sent = [entry for entry in batch if entry[0] not in unsent]
        self.tried = len(batch)


class Behind:
    """Sends entries in the order in which they came, one batch at a time, so that no answer waits for its store.

    `send` takes a batch of at most `most` entries and, of more than one, at most `most_bytes`. A `StoreError`
    that is `retryable` leaves the batch waiting, to be read in this process, and to be sent when the server
    answers again. Any other drops it: it is counted, `flush` tells, and the first time there is a warning. A
    `PartlySentError` says what of the batch waits, behind the others then, and what is dropped.

    Who removes waits `patience_s` for a batch on its way, forever when None.

    The thread lives while something waits, and a second longer. It is no daemon: a process that ends waits for
    it, as long as the server answers.

    `send` must not refer to the store, which could never be collected then. A store that is collected sends
    the rest by `weakref.finalize(store, behind.close)`.
    """

    fork_rank = 0

    def __init__(
        self,
        send: Callable[[Batch], None],
        *,
        clock: Callable[[], float],
        name: str,
        most: int = 50,
        most_bytes: int = 2**20,
        patience_s: float | None = None,
    ) -> None:
        self.dropped = 0
        self._patience_s = -1 if patience_s is None else patience_s
        self._send = send
        self._clock = clock
        self._name = name
        self._most, self._most_bytes = most, most_bytes
        self._front = Front(0, clock)
        self._sending = threading.RLock()
        self._lost: str | None = None
        self._warned = False
        self._thread: threading.Thread | None = None
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._rested = False
        renew_after_fork(self)

    def put(self, key: bytes, value: bytes, expires_at: float | None) -> None:
        """Let `value` be sent behind the caller; drop the oldest where too much waits."""
        waiting = self._front.put(key, value, expires_at)
        while self._front.pending_bytes > PENDING_BYTES:
            self._lose(self._front.take(1, PENDING_BYTES), f"{PENDING_BYTES >> 20} MB wait to be written already")
        if self._thread is not None:
            if waiting == 1:
                self._tokens.put(None)
        elif not self._start():
            self._send_quietly()

    def find(self, key: bytes) -> Pending | None:
        """Return what waits under `key`: its value and when it expires."""
        return self._front.pending.get(key)

    def waiting(self, scope: bytes) -> dict[bytes, Pending]:
        """Return what waits of `scope`, expired or not."""
        return self._front.waiting(scope)

    def delete(self, key: bytes, remove: Callable[[], bool]) -> bool:
        """Forget what waits under `key`, then `remove` it from the server. Return whether it was in either.

        Raises: StoreError: a batch is on its way, and patience is over.
        """
        with self._at_rest():
            waited = self._front.drop(key)
            return remove() or waited

    def clear(self, remove: Callable[[], int]) -> int:
        """Send what waits, so that it is counted, then `remove` from the server. Return what that returns.

        Raises: StoreError: the server does not answer.
        """
        with self._at_rest():
            self._send_all()
            return remove()

    def flush(self) -> None:
        """Send what waits at the moment, in the caller's thread.

        Raises: StoreError: the server does not answer, or something put since the last flush was lost.
        """
        self._send_all()
        lost, self._lost = self._lost, None
        if lost is not None:
            raise StoreError(lost)

    def close(self) -> None:
        """Send what waits, as far as the server answers, and end the thread. Never raises."""
        thread = self._thread
        if thread is threading.current_thread():
            # The store was collected inside this thread, which ends when nothing waits.
            return
        self._thread = None
        tokens, self._tokens = self._tokens, queue.SimpleQueue()
        tokens.put(None)
        if thread is not None:
            thread.join()
        self._send_quietly()

    def stats(self) -> dict[str, Any]:
        """Return the sizes: `pending`, `pending_bytes`, `dropped`."""
        front = self._front
        return {"pending": len(front.pending), "pending_bytes": front.pending_bytes, "dropped": self.dropped}

    def before_fork(self) -> None:
        self._rested = self._sending.acquire(timeout=FORK_WAIT_S)
        self._front.lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._front.renew()
            self._sending = threading.RLock()
            self._thread = None
            self._tokens = queue.SimpleQueue()
            return
        self._front.lock.release()
        if self._rested:
            self._sending.release()

    @contextlib.contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Have nothing sent meanwhile: what is removed must not be sent after it."""
        if not self._sending.acquire(timeout=self._patience_s):
            raise StoreError("the server is still taking what was set before", retryable=True)
        try:
            yield
        finally:
            self._sending.release()

    def _send_all(self) -> None:
        """Send what waits at the moment.

        Raises: StoreError: not all of it; the rest goes on waiting.
        """
        left = len(self._front.pending)
        problem = None
        while left > 0:
            try:
                sent = self._send_batch()
            except PartlySentError as exc:
                if exc.tried == len(exc.later):
                    raise
                problem, sent = exc, exc.tried
            if not sent:
                break
            left -= sent
        if problem is not None:
            raise problem

    def _send_quietly(self) -> None:
        with contextlib.suppress(StoreError):
            self._send_all()

    def _send_batch(self) -> int:
        """Send one batch. Return how many entries it had.

        Raises: StoreError: the server does not answer; they go on waiting.
        """
        with self._sending:
            batch = self._front.take(self._most, self._most_bytes)
            if batch:
                try:
                    self._send(batch)
                except PartlySentError as exc:
                    self._front.settle(exc.sent)
                    self._front.requeue(exc.later)
                    if exc.refused:
                        self._lose(exc.refused, str(exc))
                    if exc.later:
                        raise
                except StoreError as exc:
                    if exc.retryable:
                        raise
                    self._lose(batch, str(exc))
                else:
                    self._front.settle(batch)
            return len(batch)

    def _lose(self, batch: Batch, cause: str) -> None:
        self._front.settle(batch)
        self.dropped += len(batch)
        self._lost = cause
        if not self._warned:
            self._warned = True
            warn("an answer could not be kept, further ones are counted alone: %s", cause)

    def _start(self) -> bool:
        """Start the thread unless it runs. Return whether it does: none can once the interpreter is ending."""
        with self._front.lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, args=(self._tokens,), name=self._name, daemon=False)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
                call_when_worker_ends(self, Behind.flush)
            return True

    def _work(self, tokens: queue.SimpleQueue[None]) -> None:
        looks = 0
        while self._tokens is tokens and not self._is_over(looks):
            if not self._front.pending:
                looks += 1
                _pause(tokens, LOOK_S)
                continue
            looks = 0
            try:
                self._send_batch()
            except StoreError as exc:
                if isinstance(exc, PartlySentError) and exc.tried > len(exc.later):
                    continue
                if not threading.main_thread().is_alive():
                    return
                _pause(tokens, RETRY_S)

    def _is_over(self, looks: int) -> bool:
        """Return whether the thread ends, which found nothing `looks` times. Who puts something then starts another."""
        with self._front.lock:
            over = not self._front.pending and (looks >= LOOKS or not threading.main_thread().is_alive())
            if over and self._thread is threading.current_thread():
                self._thread = None
            return over


def _pause(tokens: queue.SimpleQueue[None], seconds: float) -> None:
    with contextlib.suppress(queue.Empty):
        tokens.get(timeout=seconds)
