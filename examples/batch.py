"""Ask many questions at once, and pay only for those that were not asked before.

Stop it half-way and start it again: what was answered is in `.cache` and is not asked a second time. The last line says
what was paid, and what the kept answers would have cost.

    OPENAI_API_KEY=… python examples/batch.py
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ostinato import Cache, acompletion

if TYPE_CHECKING:
    from ostinato.records import Completion

RIVERS = ["Danube", "Elbe", "Loire", "Po", "Rhine", "Thames", "Vistula", "Volga"]


async def length_of(river: str, turns: asyncio.Semaphore) -> Completion:
    """Return the answer for one river."""
    async with turns:
        return await acompletion(
            "openai/gpt-4o",
            [{"role": "user", "content": f"How long is the {river}? One number, in kilometres."}],
            temperature=0,
        )


async def main() -> None:
    """Ask about every river, four at a time."""
    turns = asyncio.Semaphore(4)
    async with Cache.disk(cache_path_root=".cache"), asyncio.TaskGroup() as group:
        tasks = [group.create_task(length_of(river, turns)) for river in RIVERS]
    answers = [task.result() for task in tasks]
    for river, answer in zip(RIVERS, answers, strict=True):
        print("kept " if answer.cache_hit else "asked", f"{river}: {answer.choices[0].message.content}")
    paid, saved = (sum(getattr(answer, name) or 0 for answer in answers) for name in ("cost", "saved_cost"))
    print(f"paid ${paid:.6f}, saved ${saved:.6f}")


if __name__ == "__main__":
    asyncio.run(main())
