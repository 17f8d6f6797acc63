"""A disk cache between processes: how they end, fork, race and are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from ostinato.caching.stores.disk import DiskStore
from ostinato.errors import StoreError
from ostinato.testing.store_face import key_of

PRELUDE = """
import os, sys
from ostinato.caching.stores.disk import DiskStore
from ostinato.testing.store_face import key_of
store = DiskStore(sys.argv[1])
"""

ENDINGS = {
    "at the end of the program": ("store.set(key_of('k'), b'v')", 0),
    "by sys.exit": ("store.set(key_of('k'), b'v'); sys.exit(3)", 3),
    "by an exception": ("store.set(key_of('k'), b'v'); 1 / 0", 1),
    "with the store in a cycle": ("store.set(key_of('k'), b'v'); store.self = store; del store", 0),
    "with a set in an exit function": ("import atexit; atexit.register(store.set, key_of('k'), b'v')", 0),
    "with a set in an exit function that runs last": (
        "import atexit; late = lambda: DiskStore.set(store, key_of('k'), b'v'); atexit._run_exitfuncs(); late()",
        0,
    ),
    "from another thread": (
        "import threading; threading.Thread(target=store.set, args=(key_of('k'), b'v')).start()",
        0,
    ),
    "from a forked child": (
        """
import warnings; warnings.simplefilter('ignore')
store.set(key_of('other'), b'o')
child = os.fork()
if child == 0: store.set(key_of('k'), b'v'); sys.exit(0)
os.waitpid(child, 0)
""",
        0,
    ),
}


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + program, str(folder)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("program", "code"), ENDINGS.values(), ids=ENDINGS)
def test_what_waits_is_written_when_the_process_ends(tmp_path: Path, program: str, code: int) -> None:
    ran = run(tmp_path / "cache", program)
    store = DiskStore(tmp_path / "cache")

    assert ran.returncode == code, ran.stderr
    assert store.get(key_of("k")) == b"v"
    store.close()


def _set_in_worker(folder: str, name: str) -> None:
    DiskStore(folder).set(key_of(name), name.encode())


def _set_and_wait(folder: str, name: str, kept: list[DiskStore]) -> None:
    kept.append(DiskStore(folder))
    kept[0].set(key_of(name), name.encode())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_waits_is_written_when_a_worker_of_multiprocessing_ends(tmp_path: Path, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    kept: list[DiskStore] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for target, arguments in ((_set_in_worker, ()), (_set_and_wait, (kept,))):
            worker = context.Process(target=target, args=(str(tmp_path), target.__name__, *arguments))
            worker.start()
            worker.join()
    store = DiskStore(tmp_path)

    assert store.get(key_of("_set_in_worker")) == b"_set_in_worker"
    assert store.get(key_of("_set_and_wait")) == b"_set_and_wait"
    store.close()


def test_a_killed_process_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    ran = run(tmp_path, "store.set(key_of('k'), b'v'); store.flush(); os.kill(os.getpid(), 9)")
    store = DiskStore(tmp_path)

    assert ran.returncode == -signal.SIGKILL
    assert store.get(key_of("k")) == b"v"
    store.close()


def test_the_writer_writes_without_being_asked(tmp_path: Path) -> None:
    """The process waits to be killed until another finds what it set, with no flush and no exit."""
    ready = "store.set(key_of('k'), b'v'); print('set', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + ready, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        store = DiskStore(tmp_path, near_bytes=0)
        tries = threading.Event()
        found = None
        for _ in range(2000):
            found = store.get(key_of("k"))
            if found is not None or process.poll() is not None:
                break
            tries.wait(0.005)
        process.kill()

    assert found == b"v"
    store.close()


def test_processes_that_find_a_corrupt_file_together_lose_nothing_of_the_new_one(tmp_path: Path) -> None:
    program = (
        "import logging; logging.disable()\n"
        "sys.stdin.readline()\n"
        "for number in range(30):\n"
        "    store.get(key_of((os.getpid(), number)))\n"
        "    store.set(key_of((os.getpid(), number)), b'v')\n"
        "    store.flush()\n"
    )
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        (folder / "cache.db").write_bytes(b"garbage" * 5000)
        (folder / "cache.db-wal").write_bytes(b"garbage" * 5000)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", PRELUDE + program, str(folder)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(4)
        ]
        for process in started:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        errors = [process.communicate(timeout=60)[1] for process in started]
        store = DiskStore(folder, near_bytes=0)

        assert errors == [b""] * 4
        assert (folder / "cache.db.corrupt-1").stat().st_size == 35000
        assert not (folder / "cache.db.corrupt-2").exists()
        for process in started:
            assert all(store.get(key_of((process.pid, number))) == b"v" for number in range(30))
        store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forks_amid_busy_threads_leave_parent_and_children_with_right_answers(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, near_bytes=100_000)
    stop = threading.Event()
    wrong: list[object] = []

    def work(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = (worker, number % 200)
            store.set(key_of(name), repr(name).encode() * 50)
            found = store.get(key_of((worker, (number * 7) % 200)))
            if found not in {None, repr((worker, (number * 7) % 200)).encode() * 50}:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    codes = []
    for round_number in range(10):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            _check_in_child(store, round_number)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    store.flush()

    assert codes == [0] * 10
    assert wrong == []
    assert all(store.get(key_of(("child", number))) == b"c" * 500 for number in range(10))
    assert store.stats()["errors"] == 0
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_in_the_middle_of_a_read_keeps_off_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.caching.stores.disk.FORK_WAIT_S", 0)
    store = DiskStore(tmp_path, near_bytes=0)
    store.set(key_of("k"), b"v")
    store.flush()
    store.get(key_of("k"))
    readers = store._file._readers
    lent = readers.idle.pop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            for use in (lambda: store.get(key_of("k")), lambda: store.delete(key_of("k"))):
                with pytest.raises(StoreError, match="forked in the middle of a read"):
                    use()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    readers.idle.append(lent)
    readers.drain()

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.get(key_of("k")) == b"v"
    store.close()


def _check_in_child(store: DiskStore, number: int) -> None:
    code = 1
    try:
        signal.alarm(20)
        for name in range(200):
            found = store.get(key_of((0, name)))
            assert found in {None, repr((0, name)).encode() * 50}
        store.set(key_of(("child", number)), b"c" * 500)
        store.flush()
        store.close()
        code = 0
    finally:
        os._exit(code)
