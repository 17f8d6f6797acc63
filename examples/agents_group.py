"""A planner, a researcher with a tool and a writer in one group: twice, and the second time for nothing.

Runs offline, against the shipped stand-in for the vendors: python examples/agents_group.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Annotated, Any

from ostinato.agents import (
    Cache,
    ChatResult,
    ConversableAgent,
    GroupChat,
    GroupChatManager,
    UserProxyAgent,
    register_function,
)
from ostinato.testing.emulator import Emulator, Reply

WINGSPAN_CM = {"heron": 185, "stork": 200}


def wingspan(bird: Annotated[str, "which bird"]) -> int:
    """Return the wingspan of a bird, in centimetres."""
    return WINGSPAN_CM[bird]


def done(message: Any) -> bool:
    """Return whether a message ends the conversation."""
    return "TERMINATE" in str(message.get("content"))


def hold(folder: str, config: dict[str, Any]) -> ChatResult:
    """Let the group talk, on the cache in `folder`."""
    names = ("planner", "researcher", "writer")
    planner, researcher, writer = (
        ConversableAgent(name, llm_config=config, human_input_mode="NEVER", is_termination_msg=done) for name in names
    )
    user = UserProxyAgent("user", human_input_mode="NEVER", is_termination_msg=done)
    register_function(wingspan, caller=researcher, executor=user, description="The wingspan of a bird in centimetres")
    order = [user, planner, researcher, user, researcher, writer]
    chat = GroupChat(
        [user, planner, researcher, writer],
        max_round=len(order),
        speaker_selection_method=lambda _, group: (
            order[len(group.messages)] if len(group.messages) < len(order) else None
        ),
    )
    manager = GroupChatManager(chat, llm_config=config, is_termination_msg=done)
    with Cache.disk(cache_path_root=folder) as cache:
        return user.initiate_chat(manager, message="Is a heron's or a stork's wing the wider?", cache=cache)


def main() -> None:
    """Hold the conversation twice, and show what the second saved."""
    with tempfile.TemporaryDirectory() as folder, Emulator() as vendor:
        vendor.script(
            Reply(text="Look both up, then compare."),
            Reply(tool_calls=tuple({"name": "wingspan", "arguments": {"bird": bird}} for bird in WINGSPAN_CM)),
            Reply(text="185 and 200 centimetres."),
            Reply(text="The stork's, by 15 centimetres. TERMINATE"),
        )
        config = {"config_list": [{"model": "gpt-4o", "base_url": vendor.base_url, "api_key": "any"}]}
        first, second = (hold(folder, config) for _ in range(2))
        asked = len(vendor.calls)

    assert replace(second, cost=first.cost) == first
    assert "15 centimetres" in first.summary
    assert asked == 4
    saved = second.cost["usage_including_cached_inference"]["total_cost"]
    assert second.cost["usage_excluding_cached_inference"]["total_cost"] == 0
    assert saved == first.cost["usage_excluding_cached_inference"]["total_cost"] > 0
    print(f"\nthe second run asked no model and saved ${saved:.6f}")


if __name__ == "__main__":
    main()
