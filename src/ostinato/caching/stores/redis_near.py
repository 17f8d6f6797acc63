"""A memory tier in front of one Redis, kept true by what the server says of changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import hiredis

from ostinato.caching.stores.forks import renew_after_fork
from ostinato.caching.stores.memory import MemoryStore
from ostinato.caching.stores.redis_line import UNFINISHED, Line, LineError, pack
from ostinato.caching.stores.redis_node import PING, Dial
from ostinato.caching.stores.redis_refusal import refusal
from ostinato.errors import StoreError

BOUND_S = 1.0
"""How long, at most, an entry is answered from memory after it was changed elsewhere."""
PING_S = 0.25
RETRY_S = 1.0
JOIN_S = 2.0


class Near:
    """What was found lately, while the server is known to report every change of it.

    One thread holds one connection on which the server says, by RESP3's `CLIENT TRACKING` in its broadcasting mode,
    which keys of the prefix were changed, expired or evicted. A PING goes out on it four times a second. Its reply
    comes after all that was said before, so what is here is true as of the moment the PING was sent; nothing is
    answered more than a second after that. When the connection is lost all is forgotten.

    What was read from the server is kept only if `epoch` has not moved since before it was asked: every set,
    delete, clear, report and loss moves it.

    Source: https://redis.io/docs/latest/develop/reference/client-side-caching/ (read 2026-11-22).
    """

    fork_rank = 0

    def __init__(self, dial: Dial, max_bytes: int, clock: Callable[[], float]) -> None:
        self.memory = MemoryStore(max_bytes, clock=clock)
        self.epoch = 0
        self.reports = 0
        """Keys that the server said were changed."""
        self.losses = 0
        self.problem: str | None = None
        self._dial = dial
        self._prefix = dial.settings.prefix
        self._true_until = 0.0
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._line: Line | None = None
        renew_after_fork(self)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key` if it is here, and known to be true."""
        if monotonic() < self._true_until:
            return self.memory.get(key)
        if self._thread is None:
            self._start()
        return None

    def fill(self, key: bytes, value: bytes, expires_at: float | None, epoch: int) -> None:
        """Keep what was read from the server, unless anything changed since `epoch`."""
        with self._lock:
            if self.epoch == epoch and monotonic() < self._true_until:
                self.memory.set_until(key, value, expires_at)

    def forget(self, key: bytes) -> None:
        """Forget `key`, which this process changes."""
        with self._lock:
            self.epoch += 1
            self.memory.delete(key)

    def forget_scope(self, scope: bytes = b"") -> None:
        """Forget every key that starts with `scope`, all when empty."""
        with self._lock:
            self.epoch += 1
            self.memory.clear(scope)

    def close(self) -> None:
        """End the thread and forget all. A later `get` begins anew."""
        thread, self._thread = self._thread, None
        self._over.set()
        self._over = threading.Event()
        line = self._line
        if line is not None:
            # Wakes the thread, which waits for the server.
            line.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_S)
        self._lose(None)

    def stats(self) -> dict[str, Any]:
        """Return the sizes, and whether the server reports."""
        return {
            **self.memory.stats(),
            "tracking": monotonic() < self._true_until,
            "reports": self.reports,
            "losses": self.losses,
            "problem": self.problem,
        }

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if not in_child:
            self._lock.release()
            return
        self._lock = threading.RLock()
        self._thread = self._line = None
        self._over = threading.Event()
        self._lose(None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # The one thread of a near cache: nobody else would read what the server says unasked.
                thread = threading.Thread(
                    target=self._work, args=(self._over,), name="ostinato-redis-tracking", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:
                    return
                self._thread = thread

    def _work(self, over: threading.Event) -> None:
        while not over.is_set():
            try:
                self._track(over)
            except (LineError, StoreError) as exc:
                if over.is_set():
                    return
                self._lose(str(exc))
                over.wait(RETRY_S)

    def _track(self, over: threading.Event) -> None:
        """Follow the server's reports on a new connection.

        Raises: LineError, StoreError: it is lost, or the server will not report.
        """
        line = self._line = Line(self._dial.connect(protocol=3), self._dial.settings.max_value_bytes)
        try:
            begins = pack("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", self._prefix)
            reply = line.ask(begins, monotonic() + BOUND_S)
            if reply != b"OK":
                raise refusal(reply)
            # What was asked before this is not reported; it is not kept either.
            self.forget_scope()
            while not over.is_set():
                self._confirm(line)
        finally:
            self._line = None
            line.close()

    def _confirm(self, line: Line) -> None:
        """Send one PING, and take in all that is said until the next is due."""
        sent_at = monotonic()
        line.send(PING, sent_at + BOUND_S)
        answered = False
        while (until := sent_at + (PING_S if answered else BOUND_S)) > monotonic():
            said = line.next_push(until)
            if said is UNFINISHED:
                break
            if isinstance(said, hiredis.PushNotification):
                self._hear(said)
            else:
                answered = True
                self.problem = None
                self._true_until = sent_at + BOUND_S
        if not answered:
            raise LineError("no answer in time")

    def _hear(self, push: list[Any]) -> None:
        if push[0] != b"invalidate":
            return
        keys: Iterable[bytes] | None = push[1]
        if keys is None:
            # The whole database was emptied.
            self.forget_scope()
            return
        start = len(self._prefix)
        for key in keys:
            self.reports += 1
            self.forget(key[start:])

    def _lose(self, problem: str | None) -> None:
        self._true_until = 0.0
        self.forget_scope()
        self.problem = problem
        if problem is not None:
            self.losses += 1
