"""A process that asks: `python -m tests.client.asker '{"type": "disk", …}'`, told on stdin, answering on stdout.

A line `{"question": "…", "calls": 50, "asynchronous": false, "streams": true}` makes so many identical calls at
once. It answers with a line of what each of them got; before that, with one when all are on their way, and one when
the first stream begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ostinato
from ostinato import Cache, acompletion, completion
from ostinato.errors import OstinatoError

_saying = threading.Lock()
_began = threading.Event()


class Got:
    """What one call got."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.first_at: float | None = None
        self.error: str | None = None
        self.cost: float | None = None

    def take(self, chunk: Any) -> None:
        if chunk.choices and chunk.choices[0].delta.content:
            if self.first_at is None:
                self.first_at = time.monotonic()
                if not _began.is_set():
                    _began.set()
                    say({"began": True})
            self.pieces.append(chunk.choices[0].delta.content)

    def take_whole(self, answer: Any) -> None:
        self.pieces.append(answer.choices[0].message.content)
        self.cost = answer.cost

    def as_json(self) -> dict[str, Any]:
        return {"text": "".join(self.pieces), "first_at": self.first_at, "error": self.error, "cost": self.cost}


def call(cache: Cache, question: str, *, streams: bool) -> dict[str, Any]:
    got = Got()
    try:
        if not streams:
            got.take_whole(completion(**asked(question), cache=cache))
            return got.as_json()
        with completion(**asked(question), stream=True, cache=cache) as stream:
            for chunk in stream:
                got.take(chunk)
            got.cost = stream.cost
    except OstinatoError as error:
        got.error = f"{type(error).__name__}: {error}"
    return got.as_json()


async def acall(cache: Cache, question: str, *, streams: bool) -> dict[str, Any]:
    got = Got()
    try:
        if not streams:
            got.take_whole(await acompletion(**asked(question), cache=cache))
            return got.as_json()
        async with await acompletion(**asked(question), stream=True, cache=cache) as stream:
            async for chunk in stream:
                got.take(chunk)
            got.cost = stream.cost
    except OstinatoError as error:
        got.error = f"{type(error).__name__}: {error}"
    return got.as_json()


def asked(question: str) -> dict[str, Any]:
    """Return a call; `user` stands in no key, and says which process asks."""
    messages = [{"role": "user", "content": question}]
    return {
        "model": "openai/gpt-4o",
        "messages": messages,
        "user": str(os.getpid()),
        "num_retries": 0,
    }


def ask(cache: Cache, question: str, calls: int, *, asynchronous: bool, streams: bool) -> list[dict[str, Any]]:
    _began.clear()
    before = cache.stats()["joins"]
    on_the_way = threading.Event()

    def tell() -> None:
        while cache.stats()["joins"] - before < calls - 1 and not on_the_way.wait(0.002):
            pass
        say({"on_the_way": True})

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        if asynchronous:
            return asyncio.run(gathered(cache, question, calls, streams=streams))
        with ThreadPoolExecutor(calls) as pool:
            return list(pool.map(lambda _: call(cache, question, streams=streams), range(calls)))
    finally:
        on_the_way.set()
        teller.join()


async def gathered(cache: Cache, question: str, calls: int, *, streams: bool) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(acall(cache, question, streams=streams) for _ in range(calls))))


def say(value: Any) -> None:
    with _saying:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def main() -> None:
    settings = json.loads(sys.argv[1])
    with Cache(**settings) as cache:
        say({"ready": ostinato.__name__})
        for line in sys.stdin:
            wanted = json.loads(line)
            got = ask(cache, **wanted)
            say({"got": got, "store_errors": cache.stats()["store_errors"]})


if __name__ == "__main__":
    main()
