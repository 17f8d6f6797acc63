"""Agents whose conversations replay exactly, under the names of AutoGen 0.2.

    from ostinato.agents import AssistantAgent, Cache, UserProxyAgent

    with Cache.disk() as cache:
        user.initiate_chat(assistant, message="Plot a chart of the year.", cache=cache)

Importing does no work: every name is bound when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent
    from ostinato.agents.chat import ChatResult
    from ostinato.agents.chats import a_initiate_chats, initiate_chats
    from ostinato.agents.clients import ModelClient
    from ostinato.agents.configs import config_list_from_json, filter_config
    from ostinato.agents.conversable import ConversableAgent
    from ostinato.agents.group import GroupChat
    from ostinato.agents.group_manager import GroupChatManager
    from ostinato.agents.roles import AssistantAgent, UserProxyAgent
    from ostinato.agents.seeds import LEGACY_CACHE_DIR, LEGACY_DEFAULT_CACHE_SEED
    from ostinato.agents.stream import IOConsole, IOStream
    from ostinato.agents.tool_user import register_function
    from ostinato.agents.usage import gather_usage_summary
    from ostinato.agents.wrapper import OpenAIWrapper
    from ostinato.caching.cache import Cache

__all__ = [
    "LEGACY_CACHE_DIR",
    "LEGACY_DEFAULT_CACHE_SEED",
    "Agent",
    "AssistantAgent",
    "Cache",
    "ChatResult",
    "ConversableAgent",
    "GroupChat",
    "GroupChatManager",
    "IOConsole",
    "IOStream",
    "ModelClient",
    "OpenAIWrapper",
    "UserProxyAgent",
    "a_initiate_chats",
    "config_list_from_json",
    "filter_config",
    "gather_usage_summary",
    "initiate_chats",
    "register_function",
]

_HOMES = {
    "Agent": "agent",
    "ChatResult": "chat",
    "ConversableAgent": "conversable",
    "GroupChat": "group",
    "GroupChatManager": "group_manager",
    "ModelClient": "clients",
    "OpenAIWrapper": "wrapper",
    "gather_usage_summary": "usage",
    "register_function": "tool_user",
    **dict.fromkeys(("a_initiate_chats", "initiate_chats"), "chats"),
    **dict.fromkeys(("config_list_from_json", "filter_config"), "configs"),
    **dict.fromkeys(("AssistantAgent", "UserProxyAgent"), "roles"),
    **dict.fromkeys(("LEGACY_CACHE_DIR", "LEGACY_DEFAULT_CACHE_SEED"), "seeds"),
    **dict.fromkeys(("IOConsole", "IOStream"), "stream"),
}
"""Which module of this package each name lives in; `Cache` lives in `ostinato.caching`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ostinato.agents' has no attribute {name!r}")
    home = "ostinato.caching.cache" if name == "Cache" else f"ostinato.agents.{_HOMES[name]}"
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
