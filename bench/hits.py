"""What a hit costs, beside the least that a hit can cost: `python -m bench.hits`.

The floor is what any exact cache must do: encode the request as JSON with sorted keys, hash it with SHA-256,
look the digest up in a dict, decode the answer. Every row of ours is the public call and the reading of
`.choices[0].message.content`. Rows and floors alternate within each round; figures are medians of rounds.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
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
        {"type": "function", "function": {"name": f"tool_{n}", "description": "does a thing " * 8, "parameters": schema}}
        for n in range(20)
    ]
    return {"messages": messages, "tools": tools}


def rebuilt(call: Call) -> Call:
    """Return an equal call that shares no object with `call`."""
    return json.loads(json.dumps(call))


class Floor:
    """The least a cache must do."""

    def __init__(self, answer: bytes) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.answer = answer

    def key(self, call: Call) -> bytes:
        return hashlib.sha256(_sorted_json({"model": "gpt-4o", **call})).digest()

    def put(self, call: Call) -> None:
        self.answers[self.key(call)] = self.answer

    def get(self, call: Call) -> Any:
        return msgspec.json.decode(self.answers[self.key(call)])["choices"][0]["message"]["content"]


def microseconds(run: Callable[[Any], object], arguments: list[Any]) -> float:
    """Return the CPU time of one call, of this thread: other work on the machine does not count."""
    began = time.thread_time()
    for argument in arguments:
        run(argument)
    return (time.thread_time() - began) / len(arguments) * 1e6


def ask(call: Call) -> Any:
    return ostinato.completion(MODEL, **call).choices[0].message.content


def ask_async(calls: list[Call]) -> float:
    async def run() -> float:
        began = time.thread_time()
        for call in calls:
            answer = await ostinato.acompletion(MODEL, **call)
            answer.choices[0].message.content  # noqa: B018  # the reading is what is timed
        return (time.thread_time() - began) / len(calls) * 1e6

    return asyncio.run(run())


class Row:
    """One line of the table: what is asked, of which cache, beside which floor."""

    def __init__(self, name: str, goal: float, calls: Callable[[], list[Call]], cache: Cache, *, asynchronous: bool = False) -> None:
        self.name, self.goal, self.calls, self.cache, self.asynchronous = name, goal, calls, cache, asynchronous
        self.ours: list[float] = []
        self.floors: list[float] = []

    def round(self, floor: Floor) -> None:
        ostinato.cache = self.cache
        calls = self.calls()
        self.ours.append(ask_async(calls) if self.asynchronous else microseconds(ask, calls))
        calls = self.calls()
        for call in calls:
            floor.put(call)
        self.floors.append(microseconds(floor.get, calls))

    def report(self) -> dict[str, Any]:
        ours, floor = statistics.median(self.ours), statistics.median(self.floors)
        ratio = statistics.median(a / b for a, b in zip(self.ours, self.floors, strict=True))
        return {"row": self.name, "ours_us": round(ours, 2), "floor_us": round(floor, 2), "ratio": round(ratio, 3), "goal": self.goal}


def rows(folder: str, emulator: Emulator) -> tuple[list[Row], Floor]:
    memory = Cache.memory()
    disk = Cache.disk(cache_path_root=folder)
    s, big, loop = small(), large(), agent_loop()
    fresh = itertools.count(1)
    news = [large(n) for n in range(400)]
    answers = {}
    for cache, call in [(memory, s), (disk, s), (memory, big), (memory, loop), *((memory, n) for n in news)]:
        answers = ostinato.completion(MODEL, **call, cache=cache)
    floor = Floor(msgspec.json.encode(answers))

    def unseen() -> list[Call]:
        forget_digests()
        return [rebuilt(large(next(fresh) % 400)) for _ in range(20)]

    def grown() -> list[Call]:
        return [rebuilt(loop) for _ in range(20)]

    return [
        Row("memory, 300 B", 3.0, lambda: [s] * 2000, memory),
        Row("memory, 300 B, acompletion", 3.4, lambda: [s] * 2000, memory, asynchronous=True),
        Row("disk, 300 B", 1.5, lambda: [s] * 2000, disk),
        Row("memory, 100 KB, seen", 0.15, lambda: [big] * 300, memory),
        Row("memory, 100 KB, equal but rebuilt", 0.4, lambda: [rebuilt(big) for _ in range(100)], memory),
        Row("memory, 100 KB, new", 0.75, unseen, memory),
        Row("memory, 90 messages and 20 tools", 1.0, lambda: [loop] * 100, memory),
        Row("memory, 90 messages and 20 tools, rebuilt", 1.0, grown, memory),
    ], floor


def forget_digests() -> None:
    """Make every text new to the process again."""
    from ostinato.caching import key

    key._text_digests._held.clear()
    key._message_digests._held.clear()


def main() -> None:
    with Emulator() as emulator, tempfile.TemporaryDirectory() as folder:
        import os

        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        table, floor = rows(folder, emulator)
        rounds = 9 if len(sys.argv) < 2 else int(sys.argv[1])
        for _ in range(rounds):
            for row in table:
                row.round(floor)
        stop = threading.Event()
        busy = threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(lambda: stop.is_set(), True)])
        quiet = table[0]
        loud = Row("memory, 300 B, beside a CPU-busy thread (per call, CPU of this thread)", 2.0, quiet.calls, quiet.cache)
        busy.start()
        for _ in range(3):
            loud.round(floor)
        stop.set()
        busy.join()
        for row in [*table, loud]:
            print(row.report())


if __name__ == "__main__":
    main()
