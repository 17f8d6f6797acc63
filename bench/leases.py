"""Calls that processes share, in numbers: `python -m bench.leases`.

How far the first token of three processes that follow lies behind the leader's, with one call and with fifty in each of
the four; with fifty also how far that of their n-th call lies behind the leader's n-th; and what a miss that nobody
shares takes, beside the same cache without leases. (How often a store is asked is a test:
`tests/stores/test_redis_leases.py`, `test_cosmos_leases.py`.)
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ostinato
from ostinato import Cache
from ostinato.testing.emulator import Emulator, Reply
from tests.client.askers import asking
from tests.stores.cosmos_emulator import CosmosEmulator
from tests.stores.redis_server import RedisServer, binaries

MODEL = "openai/gpt-4o"
GOALS = {"disk": 50, "redis": 10}


@contextmanager
def places() -> Iterator[dict[str, dict[str, Any]]]:
    """Give the settings of a cache of each kind."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(binaries()[0]))
        cosmos = stack.enter_context(CosmosEmulator())
        yield {
            "disk": {"type": "disk", "cache_path_root": stack.enter_context(tempfile.TemporaryDirectory())},
            "redis": {"type": "redis", "host": "127.0.0.1", "port": redis.port, "timeout_ms": 2000},
            "cosmos": {"type": "cosmos_db", "connection_string": cosmos.connection_string, "timeout_ms": 5000},
        }


def lags_ms(
    emulator: Emulator, settings: dict[str, Any], *, calls: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Return how long after the leader's process three others saw a token, in their first call and in each."""
    first, each = [], []
    with asking(emulator, settings, 4) as askers:
        for number in range(rounds):
            gate = threading.Event()
            emulator.script(Reply(gates={1: gate}, pieces=("one", "two")))
            for asker in askers:
                asker.asks(f"lag {calls} {number}", calls=calls, asynchronous=True)
            for asker in askers:
                asker.is_on_the_way()
            emulator.wait_for_calls(number + 1, 30)
            time.sleep(0.5)  # a benchmark may wait: until the others follow
            assert len(emulator.calls) == number + 1, "the calls were not shared"
            leader = emulator.calls[-1].body["user"]
            gate.set()
            at = {str(asker.pid): sorted(got["first_at"] for got in asker.got()) for asker in askers}
            own = at.pop(leader)
            lags = [
                [max(late - early, 0.0) * 1e3 for late, early in zip(theirs, own, strict=True)]
                for theirs in at.values()
            ]
            first += [lag[0] for lag in lags]
            each += [one for lag in lags for one in lag]
    return first, each


def miss_ms(settings: dict[str, Any], name: str, calls: int = 200) -> list[float]:
    """Return what each of so many different calls took, in milliseconds."""
    times = []
    with Cache(**settings) as cache:
        for number in range(calls):
            messages = [{"role": "user", "content": f"{name} {number}"}]
            began = time.perf_counter()
            ostinato.completion(MODEL, messages, cache=cache)
            times.append((time.perf_counter() - began) * 1e3)
    return times


def percentiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=20)
    return f"p50 {cuts[9]:7.2f}  p95 {cuts[18]:7.2f}  most {max(values):7.2f}"


def main() -> None:
    with Emulator() as emulator, places() as kinds:
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        for kind, settings in kinds.items():
            goal = f"  goal {GOALS[kind]}" if kind in GOALS else "  polled"
            for calls, rounds in ((1, 20), (50, 10)):
                emulator.reset()
                first, each = lags_ms(emulator, settings, calls=calls, rounds=rounds)
                print(f"{kind:7} 4 x {calls:2} calls, first token behind the leader's  {percentiles(first)} ms{goal}")
            print(f"{kind:7} 4 x {calls:2} calls, n-th behind the leader's n-th    {percentiles(each)} ms")
        for kind, settings in kinds.items():
            shared, alone = [], []
            for block in range(3):  # interleaved, so that both see the same machine
                alone += miss_ms({**settings, "lease_s": None}, f"alone {block}")
                shared += miss_ms(settings, f"shared {block}")
            more = statistics.median(shared) - statistics.median(alone)
            print(f"{kind:7} a miss that nobody shares  {percentiles(shared)} ms  {more:+.2f} beside no leases")


if __name__ == "__main__":
    main()
