"""The agents that the tests let talk."""

from __future__ import annotations

from typing import Any

from ostinato.agents import AssistantAgent, ConversableAgent, UserProxyAgent

HELLO = [{"role": "user", "content": "hello"}]
LLM: dict[str, Any] = {"config_list": [{"model": "gpt-4o"}]}


def ends(message: Any) -> bool:
    return str(message.get("content", "")).rstrip().endswith("TERMINATE")


def pair(**llm: Any) -> tuple[UserProxyAgent, AssistantAgent]:
    """Return a user who never asks a person, and an assistant with a model."""
    user = UserProxyAgent("user", human_input_mode="NEVER", is_termination_msg=ends, max_consecutive_auto_reply=5)
    return user, AssistantAgent("assistant", system_message="Be brief.", llm_config={**LLM, **llm})


def speakers(*names: str, **llm: Any) -> list[ConversableAgent]:
    """Return agents with a model each, who never ask a person."""
    return [ConversableAgent(name, llm_config={**LLM, **llm}, human_input_mode="NEVER") for name in names]


def contents(result: Any) -> list[Any]:
    return [message["content"] for message in result.chat_history]
