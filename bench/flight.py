"""One flight in numbers: `python -m bench.flight`.

How far a follower's first token lies behind the leader's; what a hundred identical calls cost the vendor; how the
slowest hit fares while a hot entry is refreshed under 32 readers; how long replay takes to name the nearest of a
hundred thousand records.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ostinato
from ostinato import Cache
from ostinato.caching.key import request_parts
from ostinato.caching.nearest import Index, fingerprint
from ostinato.caching.record import Entry
from ostinato.testing.emulator import Emulator, Reply

MODEL = "openai/gpt-4o"


def question(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def follower_lag_ms(emulator: Emulator, rounds: int = 20) -> list[float]:
    """Return how long after the leader's first token each of 20 followers saw its own, in milliseconds."""
    lags = []
    for number in range(rounds):
        gate = threading.Event()
        emulator.script(Reply(gates={1: gate}, pieces=("one", "two")))
        cache = Cache.memory()

        def first_token(asked: int = number, of: Cache = cache) -> float:
            with ostinato.completion(MODEL, question(str(asked)), stream=True, cache=of) as stream:
                for chunk in stream:
                    if chunk.choices and chunk.choices[0].delta.content:
                        return time.perf_counter()
            raise AssertionError("there was no token")

        with ThreadPoolExecutor(21) as pool:
            leader = pool.submit(first_token)
            emulator.wait_for_calls(number + 1, 30)
            followers = [pool.submit(first_token) for _ in range(20)]
            while cache.stats()["joins"] < 20:
                time.sleep(0.001)  # a benchmark may wait
            gate.set()
            lags += [(follower.result() - leader.result()) * 1e3 for follower in followers]
    return lags


def hot_key_us(emulator: Emulator, soft_ttl: float | None) -> tuple[list[float], int]:
    """Return what every hit of 32 readers took over one second, in microseconds, and how often the vendor was asked."""
    cache = Cache.memory(soft_ttl=soft_ttl)
    before = len(emulator.calls)
    ostinato.completion(MODEL, question(f"hot {soft_ttl}"), cache=cache)
    emulator.script(Reply(delay_s=0.2), times=None)
    stop = time.perf_counter() + 1.0

    def read() -> list[float]:
        times = []
        while (began := time.perf_counter()) < stop:
            ostinato.completion(MODEL, question(f"hot {soft_ttl}"), cache=cache)
            times.append((time.perf_counter() - began) * 1e6)
            time.sleep(0.002)  # 32 readers that never rest would measure the interpreter's lock
        return times

    with ThreadPoolExecutor(32) as pool:
        times = [took for reader in [pool.submit(read) for _ in range(32)] for took in reader.result()]
    emulator.reset()
    return times, len(emulator.calls) - before if soft_ttl is None else cache.stats()["refreshes"]


def replay_ms(records: int = 100_000) -> tuple[float, float]:
    """Return the time to index `records` records once, and to explain one miss, in milliseconds."""

    def body(number: int) -> dict[str, object]:
        turns = [{"role": "user", "content": f"{number} {turn}"} for turn in range(number % 4 + 1)]
        return {"model": "gpt-4o", "messages": [{"role": "system", "content": "be brief"}, *turns], "temperature": 0.5}

    entries = [
        Entry(
            number.to_bytes(32, "big"), "chat", "openai_chat", 0.0, b"", None, MODEL,
            {"parts": fingerprint(request_parts("POST openai x", {}, body(number)))},
        )
        for number in range(records)
    ]  # fmt: skip
    began = time.perf_counter()
    index = Index(entries)
    built = (time.perf_counter() - began) * 1e3
    times = []
    for number in range(500):
        changed = {**body(number * 97), "temperature": 0.75}
        parts = fingerprint(request_parts("POST openai x", {}, changed))
        began = time.perf_counter()
        sentence = index.explain(parts)
        times.append((time.perf_counter() - began) * 1e3)
        assert "temperature" in sentence, sentence
    return built, statistics.median(times)


def percentiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:8.2f}  p99 {cuts[98]:8.2f}  most {max(values):8.2f}"


def main() -> None:
    with Emulator() as emulator:
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        lags = follower_lag_ms(emulator)
        print(f"first token behind the leader's, 20 followers   {percentiles([abs(lag) for lag in lags])} ms  goal 5")
        quiet, _ = hot_key_us(emulator, None)
        print(f"hits of 32 readers                              {percentiles(quiet)} us")
        stale, refreshes = hot_key_us(emulator, 0.4)
        print(f"the same while a hot entry is refreshed         {percentiles(stale)} us  refreshes {refreshes}")
    built, explained = replay_ms()
    print(f"nearest of 100,000 records                      {explained:.3f} ms (index, once: {built:.0f} ms)  goal 1")


if __name__ == "__main__":
    main()
