"""A process that leads ends or forks in the middle of a call; and whose call nobody else may follow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache, completion
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, LONG_S, MODEL, ask_stream, ask_whole, joined, text, until
from tests.stores.redis_cases import ended_well, fork

FOREVER: dict[str, Any] = {"lease_s": 3600, "stall_timeout_s": 3600}
"""Then nobody takes a leader for dead, and nobody tires of waiting."""
LEADERS = {
    "a script": """
stream = completion(MODEL, HELLO, cache=cache, stream=True)
next(stream)
print("leads", flush=True)
sys.stdin.readline()
""",
    "an event loop": """
async def lead():
    async for _ in await acompletion(MODEL, HELLO, cache=cache, stream=True):
        print("leads", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        sys.exit(0)

asyncio.run(lead())
""",
    "a worker": """
def work():
    stream = completion(MODEL, HELLO, cache=cache, stream=True)
    next(stream)
    print("leads", flush=True)
    sys.stdin = open(0)
    sys.stdin.readline()

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
""",
}


@pytest.mark.parametrize("leader", LEADERS)
def test_a_process_that_ends_in_mid_flight_leaves_its_calls_to_who_follows(
    emulator: Emulator, tmp_path: Path, leader: str, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(pieces=("one ", "two"), gates={2: gate}))
    emulator.script(Reply(pieces=("uno ", "dos")))
    code = f"""
import asyncio, multiprocessing, sys
from ostinato import Cache, acompletion, completion
from tests.client.calls import HELLO, MODEL
cache = Cache.disk(cache_path_root={str(tmp_path)!r}, lease_s=3600)
{LEADERS[leader]}
"""
    with (
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
        Cache.disk(cache_path_root=tmp_path, **FOREVER) as cache,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "leads\n"
        follower = pool.submit(ask_whole, cache)
        until(joined(cache, 1))
        process.communicate("end\n", LONG_S)

        assert follower.result(LONG_S) == "uno dos"
    assert len(emulator.calls) == 2


def test_a_forked_child_follows_the_call_of_its_parent(emulator: Emulator, tmp_path: Path) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=("one ", "two"), gates={2: gate}))
    with Cache.disk(cache_path_root=tmp_path, **FOREVER) as cache:
        leader = completion(MODEL, HELLO, cache=cache, stream=True)
        first = [next(leader), next(leader)]
        child = fork(lambda: ask_stream(cache) == "one two" and cache.stats()["joins"] == 1)
        read, write = os.pipe()
        other = fork(lambda: os.read(read, 1) == b"x" and ask_stream(cache) == "one two")
        gate.set()
        rest = list(leader)
        os.write(write, b"x")

        assert ended_well(child)
        assert ended_well(other)
        assert text([*first, *rest]) == "one two"
        os.close(read)
        os.close(write)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize(("keys", "calls"), [(("one", "one"), 1), (("one", "other"), 2)])
def test_nobody_follows_the_call_of_another_account_where_accounts_are_kept_apart(
    emulator: Emulator,
    tmp_path: Path,
    keys: tuple[str, str],
    calls: int,
    gate: threading.Event,
    pool: ThreadPoolExecutor,
) -> None:
    emulator.script(Reply(gate=gate), times=None)
    caches = [Cache.disk(cache_path_root=tmp_path, scope="credential") for _ in keys]
    asked = [
        pool.submit(completion, MODEL, HELLO, cache=cache, api_key=key, num_retries=0)
        for cache, key in zip(caches, keys, strict=True)
    ]
    until(lambda: len(emulator.calls) == calls and (calls == 2 or sum(cache.stats()["joins"] for cache in caches) == 1))
    gate.set()
    for answer in asked:
        assert answer.result(LONG_S).choices
    for cache in caches:
        cache.close()

    assert len(emulator.calls) == calls
