"""Many processes on one disk cache, one of them killed every so often.

    python -m tests.soak.disk_soak --processes 8 --operations 50000

Every value carries its key and a digest, so a reader knows a wrong one when it sees it. Exit status 0 when
nothing was corrupt, lost or locked, and the file is whole at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ostinato.caching.stores.disk import DiskStore
from ostinato.errors import StoreError
from ostinato.testing.store_face import key_of

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = 6000
LARGEST_BYTES = 6000
MAX_BYTES = 12 * 2**20
NEAR_BYTES = 2**18
REPORT_EVERY = 200


def value_of(key: bytes, chance: random.Random) -> bytes:
    """Return a value that tells which key it belongs to and whether it is whole."""
    body = key + chance.randbytes(chance.randrange(LARGEST_BYTES))
    return hashlib.sha256(body).digest() + body


def is_whole(key: bytes, value: bytes) -> bool:
    return value[32:72] == key and hashlib.sha256(value[32:]).digest() == value[:32]


def work(folder: Path, operations: int, seed: int) -> None:
    """Do `operations` operations; print what happened every so often, the sum of it each time."""
    store = DiskStore(folder, max_bytes=MAX_BYTES, near_bytes=NEAR_BYTES)
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    for number in range(1, operations + 1):
        try:
            operate(store, chance, number, seen)
        except StoreError as exc:
            seen["locked" if "locked" in str(exc) else "errors"] += 1
            sys.stderr.write(f"error: {exc}\n")
        seen["operations"] += 1
        if number % REPORT_EVERY == 0:
            report(seen)
    store.close()
    seen["errors"] += store.stats()["errors"]
    seen["dropped"] += store.stats()["dropped"]
    store.close()
    report(seen)


def operate(store: DiskStore, chance: random.Random, number: int, seen: Counter[str]) -> None:
    """Do one operation: mostly gets, many sets, some deletes, now and then a key of this process alone."""
    key = key_of(chance.randrange(NAMES))
    kind = chance.random()
    if kind < 0.6:
        value = store.get(key)
        seen["hits" if value is not None else "misses"] += 1
        if value is not None and not is_whole(key, value):
            seen["corrupt"] += 1
    elif kind < 0.93:
        store.set(key, value_of(key, chance), 60 if kind < 0.65 else None)
    elif kind < 0.96:
        store.delete(key)
    elif kind < 0.99:
        mine = key_of((os.getpid(), number))
        answer = value_of(mine, chance)
        store.set(mine, answer)
        seen["lost"] += store.get(mine) != answer
    elif kind > 0.9995:
        store.clear(key[:8] if kind > 0.9999 else b"another-")
    else:
        store.flush()


def report(seen: Counter[str]) -> None:
    sys.stdout.write(" ".join(f"{name}={count}" for name, count in seen.items()) + "\n")
    sys.stdout.flush()


@dataclass
class Worker:
    """One process and what it has reported so far."""

    process: subprocess.Popen[str]
    operations: int
    seen: Counter[str] = field(default_factory=Counter)
    listener: threading.Thread = field(default_factory=threading.Thread)

    def listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                # A killed process may leave half a line.
                if line.endswith("\n"):
                    counts = (part.split("=") for part in line.split())
                    self.seen = Counter({name: int(count) for name, count in counts})

    @classmethod
    def start(cls, folder: Path, operations: int, seed: int) -> Worker:
        command = [sys.executable, "-m", "tests.soak.disk_soak", "--worker", "--folder", str(folder)]
        process = subprocess.Popen(
            [*command, "--operations", str(operations), "--seed", str(seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        worker = cls(process, operations)
        worker.listener = threading.Thread(target=worker.listen, daemon=True)
        worker.listener.start()
        return worker


@dataclass
class Outcome:
    """What all processes together saw."""

    seen: Counter[str]
    kills: int
    failures: list[int]
    """Exit codes that were neither 0 nor a kill of ours."""
    integrity: str
    file_bytes: int
    seconds: float

    @property
    def ok(self) -> bool:
        bad = ("corrupt", "lost", "locked", "errors", "dropped")
        return self.integrity == "ok" and not self.failures and not any(self.seen[name] for name in bad)

    def __str__(self) -> str:
        names = ("operations", "hits", "misses", "corrupt", "lost", "locked", "errors", "dropped")
        counts = ", ".join(f"{self.seen[name]:,} {name}" for name in names)
        return (
            f"disk soak {'ok' if self.ok else 'FAILED'}: {counts}, {self.kills} kills, {len(self.failures)} crashes,"
            f" integrity {self.integrity}, {self.file_bytes / 1e6:.1f} MB, {self.seconds:.0f} s"
        )


def soak(
    folder: Path,
    *,
    processes: int,
    operations: int,
    kill_every_s: float,
    most_kills: float = float("inf"),
    seed: int = 1,
) -> Outcome:
    """Run `processes` workers of `operations` each; kill one every `kill_every_s` and let another finish its work.

    Only one that has reported something is killed, so that the work comes to an end on a slow machine, too.
    """
    chance = random.Random(seed)
    started = time.monotonic()
    pause = threading.Event()
    total: Counter[str] = Counter()
    failures: list[int] = []
    kills = 0
    running = [Worker.start(folder, operations, chance.randrange(2**32)) for _ in range(processes)]
    next_kill = started + kill_every_s
    while running:
        pause.wait(0.02)
        at_work = [worker for worker in running if worker.seen["operations"]]
        if at_work and kills < most_kills and time.monotonic() >= next_kill:
            next_kill = time.monotonic() + kill_every_s
            chance.choice(at_work).process.send_signal(signal.SIGKILL)
        for worker in [worker for worker in running if worker.process.poll() is not None]:
            running.remove(worker)
            worker.listener.join()
            total += worker.seen
            if worker.process.returncode == -signal.SIGKILL:
                kills += 1
                left = worker.operations - worker.seen["operations"]
                if left:
                    running.append(Worker.start(folder, left, chance.randrange(2**32)))
            elif worker.process.returncode != 0:
                failures.append(worker.process.returncode)
    connection = sqlite3.connect(folder / "cache.db")
    integrity = str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    connection.close()
    file_bytes = sum(path.stat().st_size for path in folder.glob("cache.db*"))
    return Outcome(total, kills, failures, integrity, file_bytes, time.monotonic() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--operations", type=int, default=50_000, help="of each process")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        work(asked.folder, asked.operations, asked.seed)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        outcome = soak(
            asked.folder or Path(temporary, "cache"),
            processes=asked.processes,
            operations=asked.operations,
            kill_every_s=asked.kill_every,
            seed=asked.seed,
        )
    sys.stdout.write(f"{outcome}\n")
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
