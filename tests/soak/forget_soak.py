"""Many processes on one cache that delete, clear, invalidate and shred what the others read.

    python -m tests.soak.forget_soak --processes 4 --operations 25000
    python -m tests.soak.forget_soak --redis redis://localhost --tiers

The cache is on disk; or in a Redis, with a near cache, or with a memory tier of each process in front.

Every value carries a version. Who forgets an entry has read it first, and notes its version and the time on a
board that all processes share; who reads a version that was forgotten longer ago than the stated bound has been
served what it should not. Exit status 0 when nobody was.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ostinato import Cache
from ostinato.caching.register import HOLD_S
from ostinato.caching.stores.contract import Store
from ostinato.caching.stores.disk import LOOK_S, DiskStore
from ostinato.caching.stores.memory import MemoryStore
from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_near import BOUND_S as NEAR_S
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.caching.stores.tiered import LOOK_S as TIER_S
from ostinato.caching.stores.tiered import TieredStore

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = 600
GROUPS = 8
TAGS = 120
BOUND_S = HOLD_S + max(LOOK_S, NEAR_S, TIER_S)
SLACK_S = 0.25
"""What may pass between the reading of a clock and the next step of a process that others hold up."""
KEY = "correct horse battery staple 1"


class Board:
    """For each name the version that was set last, the version that was forgotten, and when that was done."""

    def __init__(self, memory: memoryview) -> None:
        third = NAMES * 8
        self.versions = memory[:third].cast("q")
        self.forgotten = memory[third : 2 * third].cast("q")
        self.done = memory[2 * third :].cast("d")

    def release(self) -> None:
        for column in (self.versions, self.forgotten, self.done):
            column.release()

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Board]:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), NAMES * 24) as memory:
            view = memoryview(memory)
            board = cls(view)
            try:
                yield board
            finally:
                board.release()
                view.release()


class Worker:
    """One process: the only one that sets its share of the names, one of many that read all of them.

    Every other one forgets them, too; the rest hear of it in no way but through the store.
    """

    def __init__(self, store: Store, board: Board, number: int, processes: int) -> None:
        self.store = store
        self.board = board
        self.number, self.processes = number, processes
        self.forgets = number % 2 == 0
        self.dice = random.Random(number)
        self.seen: Counter[str] = Counter()
        self.caches = [
            Cache(store=self.store, namespace=f"group {group}", encryption_key=KEY if group % 2 else None)
            for group in range(GROUPS)
        ]

    def work(self, operations: int, seconds: float) -> None:
        """Do `operations` spread over `seconds`: what is served too long is seen only after the bound."""
        pause = threading.Event()
        for name in range(self.number, NAMES, self.processes):
            self.set(name)
        began = time.monotonic()
        for number in range(operations):
            chance = self.dice.random()
            if chance < 0.03:
                self.set(self.dice.randrange(self.number, NAMES, self.processes))
            else:
                self.read(self.dice.randrange(NAMES), forget=self.forgets and chance > 0.96)
            self.seen["operations"] += 1
            early = began + seconds * number / operations - time.monotonic()
            if early > 0.01:
                pause.wait(early)
        self.store.close()

    def set(self, name: int) -> None:
        version = self.board.versions[name] = self.board.versions[name] + 1
        self.caches[name % GROUPS].set(str(name), version, tags=[f"tag {name % TAGS}"])
        self.seen["sets"] += 1

    def read(self, name: int, *, forget: bool) -> None:
        board, cache = self.board, self.caches[name % GROUPS]
        began = time.monotonic()
        forgotten, done = board.forgotten[name], board.done[name]
        version = cache.get(str(name))
        if version is None:
            self.seen["misses"] += 1
            return
        self.seen["hits"] += 1
        if version <= forgotten:
            self.seen["stale" if began > done + BOUND_S + SLACK_S else "late"] += 1
        if forget:
            self.forget(cache, name)
            if cache.get(str(name)) == version:
                self.seen["stale at once"] += 1
            board.done[name] = time.monotonic()
            board.forgotten[name] = max(version, board.forgotten[name])

    def forget(self, cache: Cache, name: int) -> None:
        chance = self.dice.random()
        if chance < 0.6:
            how = "deleted"
            cache.delete(str(name))
        elif chance < 0.97:
            how = "invalidated"
            cache.invalidate(f"tag {name % TAGS}")
        elif chance > 0.99:
            how = "forgotten"
            cache.forget("")  # the model of values
        elif name % GROUPS % 2:
            how = "shredded"
            cache.shred()
        else:
            how = "cleared"
            cache.clear()
        self.seen[how] += 1


def store_of(folder: Path, redis_url: str | None, *, tiers: bool) -> Store:
    """Return the store of one process."""
    if redis_url is None:
        return DiskStore(folder)
    near = {} if tiers else {"near_bytes": 2**20}
    store = RedisStore(read_settings({"redis_url": redis_url, "timeout_ms": 10_000, **near}))
    return TieredStore(MemoryStore(), store) if tiers else store


def soak(
    folder: Path, *, processes: int, operations: int, seconds: float, redis_url: str | None = None, tiers: bool = False
) -> Counter[str]:
    """Run `processes` workers of `operations` each, and return what all of them saw."""
    board = folder / "board"
    board.write_bytes(bytes(NAMES * 24))
    command = [sys.executable, "-m", "tests.soak.forget_soak", "--folder", str(folder), "--worker"]
    shared = ["--processes", str(processes), "--operations", str(operations), "--seconds", str(seconds)]
    shared += (["--redis", redis_url] if redis_url else []) + (["--tiers"] if tiers else [])
    running = [
        subprocess.Popen(
            [*command, str(number), *shared],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    total: Counter[str] = Counter()
    for process in running:
        said, _ = process.communicate()
        total += Counter(json.loads(said)) if process.returncode == 0 else Counter(crashes=1)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--operations", type=int, default=25_000, help="of each process")
    parser.add_argument("--seconds", type=float, default=20.0, help="over which they are spread")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--redis", help="the URL of a Redis to use in place of a folder")
    parser.add_argument("--tiers", action="store_true", help="a memory tier in front of it, in place of a near cache")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker is not None:
        with Board.opened(asked.folder / "board") as board:
            store = store_of(asked.folder / "cache", asked.redis, tiers=asked.tiers)
            worker = Worker(store, board, asked.worker, asked.processes)
            worker.work(asked.operations, asked.seconds)
        sys.stdout.write(json.dumps(worker.seen))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        given = {"processes": asked.processes, "operations": asked.operations, "seconds": asked.seconds}
        seen = soak(folder, **given, redis_url=asked.redis, tiers=asked.tiers)
    sys.stdout.write(f"{dict(seen)}\n")
    return 1 if seen["stale"] or seen["stale at once"] or seen["crashes"] else 0


if __name__ == "__main__":
    sys.exit(main())
