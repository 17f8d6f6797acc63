"""What a hit costs, beside the least that a hit can cost: `python -m bench.hits [rounds]`.

The floor is what any exact cache must do: encode the request as JSON with sorted keys, hash it with SHA-256,
look the digest up (in a dict, or in an SQLite file), decode the answer. Every row of ours is the public call and
the reading of `.choices[0].message.content`. Rows and floors alternate within each round; figures are CPU time of
this thread, medians of the rounds, and ratios the medians of the paired rounds.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import ostinato
from ostinato import Cache
from ostinato.caching import key as keys
from ostinato.testing.emulator import Emulator

MODEL = "openai/gpt-4o"
_sorted_json = msgspec.json.Encoder(order="sorted").encode

Call = dict[str, Any]


def small() -> Call:
    return {"messages": [{"role": "user", "content": "why " * 75}], "temperature": 0.2}


def large(tag: int = 0) -> Call:
    return {"messages": [{"role": "user", "content": f"{tag:08d}" + "lorem ipsum " * 8533}]}


def agent_loop() -> Call:
    """A system prompt, a task, 44 tool calls with their results (90 messages, 64 KB), and 20 tools (18 KB)."""
    messages: list[Call] = [
        {"role": "system", "content": "You are a careful agent. " * 40},
        {"role": "user", "content": "Find out, and report. " * 10},
    ]
    for turn in range(44):
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "tool_1", "arguments": '{"p0": "x"}'}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": f"result {turn} " + "row " * 300},
        ]
    parameter = {"type": "string", "description": "what it is for, said in one sentence"}
    schema = {"type": "object", "properties": {f"p{n}": parameter for n in range(6)}, "required": ["p0"]}
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{n}", "description": "does a thing " * 8, "parameters": schema},
        }
        for n in range(20)
    ]
    return {"messages": messages, "tools": tools}


def rebuilt(call: Call) -> Call:
    """Return an equal call that shares no object with `call`."""
    return json.loads(json.dumps(call))  # type: ignore[no-any-return]  # it was a Call


class DictFloor:
    """The least that a cache in memory must do."""

    def __init__(self, answer: bytes) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.answer = answer

    def key(self, call: Call) -> bytes:
        return hashlib.sha256(_sorted_json({"model": "gpt-4o", **call})).digest()

    def put(self, call: Call) -> None:
        self.answers[self.key(call)] = self.answer

    def get(self, call: Call) -> Any:
        return msgspec.json.decode(self.answers[self.key(call)])["choices"][0]["message"]["content"]


class SqliteFloor(DictFloor):
    """The least that a cache in an SQLite file must do."""

    def __init__(self, answer: bytes, folder: Path) -> None:
        super().__init__(answer)
        self.file = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self.file.execute("PRAGMA journal_mode = WAL")
        self.file.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")

    def put(self, call: Call) -> None:
        self.file.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (self.key(call), self.answer))

    def get(self, call: Call) -> Any:
        row = self.file.execute("SELECT value FROM entries WHERE key = ?", (self.key(call),)).fetchone()
        return msgspec.json.decode(row[0])["choices"][0]["message"]["content"]


def ask(call: Call) -> Any:
    return ostinato.completion(MODEL, **call).choices[0].message.content


def cpu_us(run: Callable[[Call], object], calls: list[Call]) -> float:
    """Return the microseconds of CPU that one call takes: other work on the machine does not count."""
    began = time.thread_time()
    for call in calls:
        run(call)
    return (time.thread_time() - began) / len(calls) * 1e6


def async_cpu_us(calls: list[Call]) -> float:
    async def run() -> float:
        began = time.thread_time()
        for call in calls:
            answer = await ostinato.acompletion(MODEL, **call)
            answer.choices[0].message.content  # noqa: B018  # the reading is what is timed
        return (time.thread_time() - began) / len(calls) * 1e6

    return asyncio.run(run())


class Row:
    """One line of the table: what is asked, of which cache, beside which floor."""

    def __init__(self, name: str, goal: float, cache: Cache, calls: Callable[[], list[Call]], floor: DictFloor) -> None:
        self.name, self.goal, self.cache, self.calls, self.floor = name, goal, cache, calls, floor
        self.pairs: list[tuple[float, float]] = []

    def round(self) -> None:
        ostinato.cache = self.cache
        ours = self.measure(self.calls())
        calls = self.calls()
        for call in calls:
            self.floor.put(call)
        self.pairs.append((ours, cpu_us(self.floor.get, calls)))

    def measure(self, calls: list[Call]) -> float:
        return cpu_us(ask, calls)

    def report(self) -> str:
        ours, floor = (statistics.median(column) for column in zip(*self.pairs, strict=True))
        ratio = statistics.median(a / b for a, b in self.pairs)
        return f"{self.name:44} {ours:8.2f} us  floor {floor:8.2f} us  ratio {ratio:6.3f}  goal {self.goal:.2f}"


class AsyncRow(Row):
    """The same row, awaited."""

    def measure(self, calls: list[Call]) -> float:
        return async_cpu_us(calls)


def forget_digests() -> None:
    """Make every text new to the process again."""
    keys._text_digests.clear()
    keys._message_digests.clear()


def rows(folder: Path) -> list[Row]:
    memory, disk = Cache.memory(), Cache.disk(cache_path_root=folder)
    short, big, loop = small(), large(), agent_loop()
    fresh = itertools.count(1)
    news = [large(n) for n in range(100)]
    answer = None
    for cache, call in [(memory, short), (disk, short), (memory, big), (memory, loop), *((memory, n) for n in news)]:
        answer = ostinato.completion(MODEL, **call, cache=cache)
    body = msgspec.json.encode(answer)
    floor, file_floor = DictFloor(body), SqliteFloor(body, folder)

    def unseen() -> list[Call]:
        forget_digests()
        return [rebuilt(large(next(fresh) % 100)) for _ in range(20)]

    return [
        Row("memory, 300 B", 3.0, memory, lambda: [short] * 2000, floor),
        AsyncRow("memory, 300 B, acompletion", 3.4, memory, lambda: [short] * 2000, floor),
        Row("disk, 300 B", 1.5, disk, lambda: [short] * 2000, file_floor),
        Row("memory, 100 KB, seen", 0.15, memory, lambda: [big] * 300, floor),
        Row("memory, 100 KB, equal but rebuilt", 0.4, memory, lambda: [rebuilt(big) for _ in range(100)], floor),
        Row("memory, 100 KB, new", 0.75, memory, unseen, floor),
        Row("memory, 90 messages and 20 tools", 1.0, memory, lambda: [loop] * 100, floor),
        Row("memory, the same, rebuilt", 1.0, memory, lambda: [rebuilt(loop) for _ in range(20)], floor),
    ]


def beside_a_busy_thread(row: Row) -> str:
    """Return what a call takes by the clock, quiet and beside a thread that never rests: medians of single calls."""

    def wall_us() -> float:
        times = []
        for call in row.calls():
            began = time.perf_counter()
            ask(call)
            times.append(time.perf_counter() - began)
        return statistics.median(times) * 1e6

    def burn() -> None:
        while not stop.is_set():
            sum(range(1000))

    ostinato.cache = row.cache
    quiet = wall_us()
    stop = threading.Event()
    busy = threading.Thread(target=burn)
    busy.start()
    loud = wall_us()
    stop.set()
    busy.join()
    name = "memory, 300 B, beside a CPU-busy thread"
    return f"{name:44} {loud:8.2f} us  quiet {quiet:8.2f} us  ratio {loud / quiet:6.3f}  goal 2.00"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with Emulator() as emulator, tempfile.TemporaryDirectory() as folder:
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        table = rows(Path(folder))
        for _ in range(rounds):
            for row in table:
                row.round()
        for row in table:
            print(row.report())
        print(beside_a_busy_thread(table[0]))
        table[2].cache.close()


if __name__ == "__main__":
    main()
