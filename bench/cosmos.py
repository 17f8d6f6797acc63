"""What a hit in Cosmos DB costs, beside a bare read of the SDK: `python -m bench.cosmos [rounds]`.

The floor hashes the request (JSON with sorted keys, SHA-256) and reads the same item with azure-cosmos from the same
emulator; it neither decodes nor checks what is in it. Every row of ours is the public call and the reading of
`.choices[0].message.content`. Rows and floors alternate within each round; figures are medians of the rounds, of the
clock and of this thread's CPU time; ratios are the medians of the paired rounds. The emulator answers in 1 to 2 ms,
which a real account does not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from azure.cosmos import CosmosClient
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient

import ostinato
from bench.hits import MODEL, DictFloor, small
from bench.redis import Timing, atimed, report, timed
from ostinato import Cache
from ostinato.testing.emulator import Emulator
from tests.stores.cosmos_emulator import KEY, CosmosEmulator

DATABASE, CONTAINER = "bench", "entries"


class Bench:
    """The rows of one emulator, and their floors."""

    def __init__(self, emulator: CosmosEmulator) -> None:
        self.call = small()
        self.url = emulator.url
        self.cache = Cache.cosmos_db(emulator.connection_string, database_id=DATABASE, container_id=CONTAINER)
        self.hash = DictFloor(b"").key
        ostinato.completion(MODEL, **self.call, cache=self.cache)
        self.cache.flush()
        ((self.key, self.entry),) = self.cache.store.scan()
        self.place = (self.key[8:].hex(), self.key[:8].hex())
        self.client = CosmosClient(self.url, KEY, enable_endpoint_discovery=False)
        self.container = self.client.get_database_client(DATABASE).get_container_client(CONTAINER)

    def ask(self) -> Any:
        return ostinato.completion(MODEL, **self.call, cache=self.cache).choices[0].message.content

    async def aask(self) -> Any:
        return (await ostinato.acompletion(MODEL, **self.call, cache=self.cache)).choices[0].message.content

    def bare(self) -> Any:
        self.hash(self.call)
        return self.container.read_item(*self.place)["data"]

    def sync(self) -> tuple[Timing, Timing]:
        return timed(self.ask), timed(self.bare)

    def awaited(self) -> tuple[Timing, Timing]:
        async def run() -> tuple[Timing, Timing]:
            async with AsyncCosmosClient(self.url, KEY, enable_endpoint_discovery=False) as client:
                container = client.get_database_client(DATABASE).get_container_client(CONTAINER)

                async def bare() -> Any:
                    self.hash(self.call)
                    return (await container.read_item(*self.place))["data"]

                return await atimed(self.aask), await atimed(bare)

        return asyncio.run(run())


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with Emulator() as emulator, CosmosEmulator() as server:
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        bench = Bench(server)
        rows: list[tuple[str, float, Callable[[], tuple[Timing, Timing]]]] = [
            ("hit", 1.1, bench.sync),
            ("hit, awaited", 1.1, bench.awaited),
        ]
        print(f"an entry of {len(bench.entry)} bytes")
        pairs: dict[str, list[tuple[Timing, Timing]]] = {name: [] for name, _, _ in rows}
        for _ in range(rounds):
            for name, _, measure in rows:
                pairs[name].append(measure())
        for name, goal, _ in rows:
            report(name, goal, pairs[name])
        bench.client.close()
        bench.cache.close()


if __name__ == "__main__":
    try:
        main()
    except pytest.skip.Exception as reason:
        print(reason)
