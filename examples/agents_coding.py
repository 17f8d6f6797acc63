"""A model writes a program, and a user who runs it says what came out: twice, and the second time for nothing.

Runs offline, against the shipped stand-in for the vendors: python examples/agents_coding.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ostinato.agents import AssistantAgent, Cache, ChatResult, UserProxyAgent
from ostinato.testing.emulator import Emulator, Reply

PROGRAM = """Let me count.
```python
from math import comb
print(sum(comb(10, k) for k in range(0, 11, 2)))
```"""


def done(message: Any) -> bool:
    """Return whether a message ends the conversation."""
    return "TERMINATE" in str(message.get("content"))


def hold(folder: Path, config: dict[str, Any]) -> ChatResult:
    """Let the pair talk, on the cache in `folder`."""
    coder = AssistantAgent("coder", llm_config=config)
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        is_termination_msg=done,
        code_execution_config={"use_docker": False, "work_dir": str(folder / "work")},
    )
    with Cache.disk(cache_path_root=folder) as cache:
        return user.initiate_chat(coder, message="How many subsets of ten things have an even size?", cache=cache)


def main() -> None:
    """Hold the conversation twice, and show what the second saved."""
    with tempfile.TemporaryDirectory() as folder, Emulator() as vendor:
        vendor.script(Reply(text=PROGRAM), Reply(text="There are 512. TERMINATE"))
        config = {"config_list": [{"model": "gpt-4o", "base_url": vendor.base_url, "api_key": "any"}]}
        first, second = (hold(Path(folder), config) for _ in range(2))
        asked = len(vendor.calls)

    assert "512" in first.chat_history[2]["content"]
    assert replace(second, cost=first.cost) == first
    assert asked == 2
    saved = second.cost["usage_including_cached_inference"]["total_cost"]
    assert second.cost["usage_excluding_cached_inference"]["total_cost"] == 0
    assert saved == first.cost["usage_excluding_cached_inference"]["total_cost"] > 0
    print(f"\nthe second run asked no model and saved ${saved:.6f}")


if __name__ == "__main__":
    main()
