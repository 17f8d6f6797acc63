"""Ask many questions at once, and pay only for those that were not asked before.

Stop it half-way and start it again: what was answered is in `.cache` and is not asked a second time.

    OPENAI_API_KEY=… python examples/batch.py
"""

from __future__ import annotations

import asyncio

from ostinato import Cache, acompletion

RIVERS = ["Danube", "Elbe", "Loire", "Po", "Rhine", "Thames", "Vistula", "Volga"]


async def length_of(river: str, turns: asyncio.Semaphore) -> str:
    """Return one line: who answered, and what."""
    async with turns:
        answer = await acompletion(
            "openai/gpt-4o",
            [{"role": "user", "content": f"How long is the {river}? One number, in kilometres."}],
            temperature=0,
        )
    return f"{'kept ' if answer.cache_hit else 'asked'} {river}: {answer.choices[0].message.content}"


async def main() -> None:
    """Ask about every river, four at a time."""
    turns = asyncio.Semaphore(4)
    async with Cache.disk(cache_path_root=".cache"), asyncio.TaskGroup() as group:
        lines = [group.create_task(length_of(river, turns)) for river in RIVERS]
    for line in lines:
        print(line.result())


if __name__ == "__main__":
    asyncio.run(main())
