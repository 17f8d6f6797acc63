"""The calls that the tests make."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from ostinato import Cache, acompletion, completion

MODEL = "openai/gpt-4o"
HELLO = [{"role": "user", "content": "hello"}]
LONG_S = 30
"""Far longer than anything here takes; only a fault waits for it."""


def text(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def until(true: Callable[[], bool]) -> None:
    """Return when `true()` is; fail after a long time."""
    never = threading.Event()
    for _ in range(LONG_S * 1000):
        if true():
            return
        never.wait(0.001)
    raise AssertionError("it never came to that")


def joined(cache: Cache, count: int) -> Callable[[], bool]:
    return lambda: bool(cache.stats()["joins"] == count)


def ask_whole(cache: Cache, question: str = "hello") -> str:
    messages = [{"role": "user", "content": question}]
    return str(completion(MODEL, messages, cache=cache).choices[0].message.content)


def ask_stream(cache: Cache) -> str:
    return text(completion(MODEL, HELLO, cache=cache, stream=True))


async def aask_whole(cache: Cache) -> str:
    return str((await acompletion(MODEL, HELLO, cache=cache)).choices[0].message.content)


async def aask_stream(cache: Cache) -> str:
    return text([chunk async for chunk in await acompletion(MODEL, HELLO, cache=cache, stream=True)])


def in_tasks(*calls: Callable[[Cache], Any], cache: Cache) -> list[str]:
    async def run() -> list[str]:
        return list(await asyncio.gather(*(call(cache) for call in calls)))

    return asyncio.run(run())
