"""The threads that tell and hear for flights."""

from __future__ import annotations

import threading

import pytest

from ostinato.caching.worker import Worker


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_work_that_raised_is_done_again_by_another_thread_when_woken() -> None:
    threads: list[threading.Thread] = []
    worked = threading.Event()

    def work() -> float | None:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise RuntimeError("a bug")
        worked.set()
        return None

    worker = Worker("test", work, lambda: None)
    worker.wake()
    while not threads:
        worked.wait(0.001)
    threads[0].join()
    worker.wake()

    assert worked.wait(10)
    assert threads[1] is not threads[0]
