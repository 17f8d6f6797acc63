"""What encryption adds to a hit: `python -m bench.sealed [rounds]`.

A value of 2 KB is read from the same store in memory, plain and encrypted, in turns within each round; and so
is an answer of 2 KB by the public call. The floor is what AES-256-GCM itself takes for those bytes with a key
that is ready. Figures are CPU time of this thread, medians of the rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import ostinato
from ostinato import Cache
from ostinato.testing.emulator import Emulator, Reply

KEY = "correct horse battery staple 1"
MODEL = "openai/gpt-4o"
QUESTION = [{"role": "user", "content": "why " * 75}]
CALLS = 2000
GOAL_US = 15.0


def cpu_us(run: Callable[[], object]) -> float:
    began = time.thread_time()
    for _ in range(CALLS):
        run()
    return (time.thread_time() - began) / CALLS * 1e6


def floor() -> Callable[[], object]:
    cipher, nonce, about = AESGCM(os.urandom(32)), os.urandom(12), os.urandom(49)
    sealed = cipher.encrypt(nonce, os.urandom(2048), about)
    return lambda: cipher.decrypt(nonce, sealed, about)


def hit(cache: Cache) -> Callable[[], object]:
    def ask() -> object:
        return ostinato.completion(MODEL, QUESTION, cache=cache).choices[0].message.content

    ask()
    return ask


def value(cache: Cache) -> Callable[[], object]:
    cache.set("k", "v" * 2046)
    return lambda: cache.get("k")


def store(cache: Cache) -> Callable[[], object]:
    return lambda: cache.set("stored", "v" * 2046)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with Emulator() as emulator:
        emulator.script(Reply(text="word " * 330), times=None)
        os.environ["OPENAI_API_KEY"] = "bench"
        os.environ["OPENAI_BASE_URL"] = emulator.base_url
        plain, sealed = Cache.memory(), Cache.memory(encryption_key=KEY)
        rows = {
            "completion, memory, answer of 2 KB": (hit(plain), hit(sealed)),
            "cache.get, memory, value of 2 KB": (value(plain), value(sealed)),
            "cache.set, memory, value of 2 KB": (store(plain), store(sealed)),
        }
        bare = floor()
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
        floors = []
        for _ in range(rounds):
            for name, (ours, theirs) in rows.items():
                times[name].append((cpu_us(ours), cpu_us(theirs)))
            floors.append(cpu_us(bare))
    for name, pairs in times.items():
        without, with_key = (statistics.median(column) for column in zip(*pairs, strict=True))
        added = statistics.median(b - a for a, b in pairs)
        print(f"{name:36} plain {without:6.2f} us  encrypted {with_key:6.2f} us  adds {added:5.2f} us  goal {GOAL_US}")
    print(f"{'AES-256-GCM alone, 2 KB':36} {statistics.median(floors):12.2f} us")


if __name__ == "__main__":
    main()
