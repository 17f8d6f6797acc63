"""What the package promises by name, and what importing it costs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ostinato import agents
from ostinato.agents import AssistantAgent, ConversableAgent, UserProxyAgent
from tests.test_imports import HEAVY, loaded_by, roots, third_party


def test_every_name_is_there_and_no_other() -> None:
    for name in agents.__all__:
        assert getattr(agents, name) is not None
    assert set(agents.__all__) <= set(dir(agents))
    with pytest.raises(AttributeError):
        _ = agents.Teachability


def test_import_alone_loads_nothing() -> None:
    loaded = loaded_by("import ostinato.agents")

    assert third_party(loaded) == {"ostinato"}
    assert roots(loaded) & HEAVY == set()


AUTOGEN: dict[Any, list[str]] = {
    ConversableAgent.__init__: [
        "name", "system_message", "is_termination_msg", "max_consecutive_auto_reply", "human_input_mode",
        "function_map", "code_execution_config", "llm_config", "default_auto_reply", "description", "chat_messages",
        "silent",
    ],
    AssistantAgent.__init__: [
        "name", "system_message", "llm_config", "is_termination_msg", "max_consecutive_auto_reply", "human_input_mode",
        "description",
    ],
    UserProxyAgent.__init__: [
        "name", "is_termination_msg", "max_consecutive_auto_reply", "human_input_mode", "function_map",
        "code_execution_config", "default_auto_reply", "llm_config", "system_message", "description",
    ],
    ConversableAgent.initiate_chat: [
        "recipient", "clear_history", "silent", "cache", "max_turns", "summary_method", "summary_args", "message",
    ],
    ConversableAgent.send: ["message", "recipient", "request_reply", "silent"],
    ConversableAgent.receive: ["message", "sender", "request_reply", "silent"],
    ConversableAgent.generate_reply: ["messages", "sender"],
    ConversableAgent.register_reply: ["trigger", "reply_func", "position", "config", "reset_config"],
    ConversableAgent.clear_history: ["recipient", "nr_messages_to_preserve"],
    ConversableAgent.last_message: ["agent"],
}  # fmt: skip
"""AutoGen's parameters, in its order."""


@pytest.mark.parametrize("function", AUTOGEN, ids=lambda function: function.__qualname__)
def test_parameters_stand_in_autogen_s_order(function: Any) -> None:
    names = [name for name in inspect.signature(function).parameters if name != "self"]

    assert names[: len(AUTOGEN[function])] == AUTOGEN[function]


DEFAULTS: list[tuple[type[ConversableAgent], dict[str, Any]]] = [
    (ConversableAgent, {"human_input_mode": "TERMINATE", "code_execution_config": False, "llm_config": None}),
    (AssistantAgent, {"human_input_mode": "NEVER"}),
    (UserProxyAgent, {"human_input_mode": "ALWAYS", "llm_config": False, "system_message": ""}),
]


@pytest.mark.parametrize(("kind", "expected"), DEFAULTS)
def test_defaults_are_autogen_s_but_for_running_code(kind: Any, expected: dict[str, Any]) -> None:
    parameters = inspect.signature(kind.__init__).parameters

    assert {name: parameters[name].default for name in expected} == expected
    assert kind.MAX_CONSECUTIVE_AUTO_REPLY == 100
    assert kind.DEFAULT_SUMMARY_METHOD == "last_msg"


def test_what_waits_and_what_awaits_take_the_same() -> None:
    for name, member in inspect.getmembers(ConversableAgent, inspect.iscoroutinefunction):
        twin = getattr(ConversableAgent, name.removeprefix("a_"))
        assert inspect.signature(member).parameters == inspect.signature(twin).parameters, name


def test_no_class_has_more_to_it_than_a_reader_can_hold() -> None:
    for kind in (agents.Agent, agents.ConversableAgent, agents.OpenAIWrapper):
        own = [name for name, member in vars(kind).items() if callable(member) or isinstance(member, property)]
        assert len(own) <= 40, (kind, len(own))
