"""Test code that asks a model, without a model: record once, then replay from the folder `recorded`.

OPENAI_API_KEY=… python examples/replay.py record
python examples/replay.py
"""

from __future__ import annotations

import sys

from ostinato import Cache, completion
from ostinato.errors import ReplayMissError


def title_of(text: str) -> str:
    """Return a title for `text`: the code that is to be tested."""
    answer = completion("openai/gpt-4o", [{"role": "user", "content": f"A title for this text, please: {text}"}])
    return str(answer.choices[0].message.content)


def main() -> None:
    """Record, or replay and show that nothing else is asked."""
    text = "Herons stand still for hours."
    if sys.argv[1:] == ["record"]:
        with Cache.disk(cache_path_root="recorded", mode="record"):
            print("recorded:", title_of(text))
        return
    with Cache.disk(cache_path_root="recorded", mode="replay"):
        print("replayed:", title_of(text))
        try:
            title_of("Storks do not.")
        except ReplayMissError as error:
            print("not recorded, not asked:", error)


if __name__ == "__main__":
    main()
