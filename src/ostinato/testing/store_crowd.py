"""The behaviours that every store has towards many: threads, tasks, event loops and forked children."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ostinato.caching.stores.contract import Store
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import key_of

MEBIBYTE = 2**20


class CrowdSuite:
    """What a suite says of its store, and the half of `StoreSuite` that needs more than one caller."""

    max_bytes = 16 * MEBIBYTE
    bounded = True
    """Whether the store itself keeps within `max_bytes`; else its `stats` say None there."""
    shared_between_processes = False
    """Whether a forked child and its parent see each other's entries after a flush."""

    oldest_leaves_first = True
    """Whether a full store makes room with what is oldest; one that only samples may find another."""

    numbers: Iterator[int] = itertools.count()
    """A new number each time, to tell the places of several stores apart."""
    clock = ManualClock()

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> Store:
        """Return a new, empty store."""
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """Let that much time pass for the store. One with a clock elsewhere has it passed there, too."""
        self.clock.advance(seconds)

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """Make a store on a clock of its own, `self.clock`, and close it afterwards."""
        self.clock = ManualClock()
        store = self.make_store(max_bytes=self.max_bytes, clock=self.clock)
        try:
            yield store
        finally:
            store.close()

    def test_many_threads_see_whole_values_of_their_keys(self) -> None:
        with self.opened() as store:
            ready = threading.Barrier(8)

            def hammer(worker: int) -> int:
                ready.wait()
                wrong = 0
                for step in range(300):
                    name = (worker * 7 + step) % 40
                    value = f"{name}:".encode() * (1 + name * 5)
                    if step % 3 == 0:
                        store.set(key_of(name), value)
                    elif step % 50 == 1:
                        store.delete(key_of(name))
                    else:
                        wrong += store.get(key_of(name)) not in {None, value}
                return wrong

            with ThreadPoolExecutor(8) as pool:
                assert sum(pool.map(hammer, range(8))) == 0
            store.flush()

    def test_a_key_that_is_only_ever_replaced_is_never_missed(self) -> None:
        with self.opened() as store:
            store.set(key_of("k"), b"0")
            done = threading.Event()

            def replace() -> None:
                for number in range(400):
                    store.set(key_of("k"), str(number).encode())
                    if number % 100 == 0:
                        store.flush()
                done.set()

            thread = threading.Thread(target=replace)
            thread.start()
            misses = 0
            while not done.is_set():
                misses += store.get(key_of("k")) is None
            thread.join()

            assert misses == 0
            assert store.get(key_of("k")) == b"399"

    def test_many_tasks_share_a_store(self) -> None:
        with self.opened() as store:

            async def visit(name: int) -> bool:
                await store.aset(key_of(name), str(name).encode())
                await asyncio.sleep(0)
                kept = await store.aget(key_of(name)) == str(name).encode()
                return kept and (name % 10 != 0 or await store.adelete(key_of(name)))

            async def visit_all() -> list[bool]:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(visit(name)) for name in range(100)]
                return [task.result() for task in tasks]

            assert all(asyncio.run(visit_all()))

    def test_event_loops_one_after_another_and_side_by_side_share_a_store(self) -> None:
        with self.opened() as store:
            for number in range(3):
                asyncio.run(store.aset(key_of(number), str(number).encode()))
            with ThreadPoolExecutor(3) as pool:
                found = list(pool.map(lambda number: asyncio.run(store.aget(key_of(number))), range(3)))

            assert found == [b"0", b"1", b"2"]

    def test_a_forked_child_reads_and_writes_and_the_parent_is_unharmed(self) -> None:
        if not hasattr(os, "fork"):
            return
        with self.opened() as store:
            store.set(key_of("before"), b"1")
            store.flush()
            store.get(key_of("absent"))
            store.set(key_of("waiting"), b"2")
            with warnings.catch_warnings():
                # A store with a thread of its own forks with it, which is what is tested.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                self._exit_as_child(store)
            _, status = os.waitpid(child, 0)
            self.pass_time(60)

            assert os.waitstatus_to_exitcode(status) == 0
            assert store.get(key_of("before")) == b"1"
            assert store.get(key_of("waiting")) == b"2"
            store.set(key_of("after"), b"4")
            store.flush()
            assert store.get(key_of("after")) == b"4"
            assert store.get(key_of("child")) == (b"3" if self.shared_between_processes else None)

    def _exit_as_child(self, store: Store) -> None:
        code = 1
        try:
            assert store.get(key_of("before")) == b"1"
            store.set(key_of("child"), b"3")
            # In another thread: a lock that was only inherited would let the forking thread in again.
            pool = ThreadPoolExecutor(1)
            pool.submit(store.set, key_of("other"), b"4").result(10)
            pool.submit(store.flush).result(10)
            assert pool.submit(store.get, key_of("child")).result(10) == b"3"
            store.close()
            code = 0
        finally:
            os._exit(code)
