"""A thread that is there while there is work."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ostinato.caching.stores.forks import renew_after_fork

IDLE_S = 5.0
"""How long a thread without work is kept for the next."""


class Worker:
    """Calls `work` again and again: after the seconds that it returned, or sooner when woken; None: when woken.

    A forked child has no thread, and `forget` is called there: what was at work is the parent's.
    """

    fork_rank = 0

    def __init__(self, name: str, work: Callable[[], float | None], forget: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._forget = forget
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        renew_after_fork(self)

    def wake(self) -> bool:
        """Have `work` called soon. Return False when no thread can be started: the interpreter is ending."""
        self._woken.set()
        return self._thread is not None or self._start()

    def _start(self) -> bool:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
            return True

    def _run(self) -> None:
        try:
            self._work_on()
        finally:
            # Also where the work raised what it must not: who wakes it next starts another thread.
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _work_on(self) -> None:
        while True:
            self._woken.clear()
            rest_s = self._work()
            if self._woken.wait(IDLE_S if rest_s is None else rest_s) or rest_s is not None:
                continue
            with self._lock:
                if not self._woken.is_set():
                    self._thread = None
                    return

    def before_fork(self) -> None:
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        if in_child:
            self._thread = None
            self._woken = threading.Event()
            self._forget()
        self._lock.release()
