"""A writer whose every draft is reviewed in a chat inside the chat: twice, and the second time for nothing.

Runs offline, against the shipped stand-in for the vendors: python examples/agents_review.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

from ostinato.agents import AssistantAgent, Cache, ChatResult, UserProxyAgent
from ostinato.testing.emulator import Emulator


def hold(folder: str, config: dict[str, Any]) -> ChatResult:
    """Let the writer write and the reviewers review, on the cache in `folder`."""
    writer = AssistantAgent("writer", system_message="You write one paragraph.", llm_config=config)
    style = AssistantAgent("style", system_message="You review style, in one sentence.", llm_config=config)
    facts = AssistantAgent("facts", system_message="You check facts, in one sentence.", llm_config=config)
    editor = UserProxyAgent("editor", human_input_mode="NEVER", max_consecutive_auto_reply=1)
    reviews = [
        {"recipient": style, "message": draft, "max_turns": 1, "summary_method": "last_msg"},
        {"recipient": facts, "message": draft, "max_turns": 1, "summary_method": "last_msg"},
    ]
    editor.register_nested_chats(reviews, trigger=writer)
    with Cache.disk(cache_path_root=folder) as cache:
        return editor.initiate_chat(
            writer, message="A paragraph about herons.", max_turns=2, cache=cache, summary_method="reflection_with_llm"
        )


def draft(_recipient: Any, messages: list[dict[str, Any]], _sender: Any, _config: Any) -> str:
    """Return what the reviewers are to read: the writer's last word."""
    return f"Please review: {messages[-1]['content']}"


def main() -> None:
    """Hold the conversation twice, and show what the second saved."""
    with tempfile.TemporaryDirectory() as folder, Emulator() as vendor:
        claude = {
            "model": "claude-sonnet-4-5",
            "api_type": "anthropic",
            "base_url": vendor.anthropic_url,
            "api_key": "any",
        }
        config = {"config_list": [claude]}
        first, second = (hold(folder, config) for _ in range(2))
        asked = len(vendor.calls)

    assert replace(second, cost=first.cost) == first
    assert asked == 5, "two drafts, two reviews between them, and the summary"
    saved = second.cost["usage_including_cached_inference"]["total_cost"]
    assert second.cost["usage_excluding_cached_inference"]["total_cost"] == 0
    assert saved == first.cost["usage_excluding_cached_inference"]["total_cost"] > 0
    print(f"\nthe second run asked no model and saved ${saved:.6f}")


if __name__ == "__main__":
    main()
