"""Who answers for an agent, in which order, and what may change what passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import Agent, AssistantAgent, ConversableAgent, UserProxyAgent
from ostinato.agents.replies import SenderRequiredError, triggers
from ostinato.testing.emulator import Emulator
from tests.agents.casts import LLM, contents, speakers

Chat = Callable[..., Any]


def agent(name: str = "agent", **settings: Any) -> ConversableAgent:
    return ConversableAgent(name, human_input_mode="NEVER", **settings)


def says(text: str, *, final: bool = True) -> Any:
    return lambda recipient, messages, sender, config: (final, text)


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (Agent, True),
        (UserProxyAgent, True),
        (AssistantAgent, False),
        ("user", True),
        ("other", False),
        (None, False),
        ([None, "user"], True),
        ([None, AssistantAgent], False),
        (lambda sender: sender.name.startswith("u"), True),
        (lambda sender: False, False),
    ],
)
def test_trigger_names_a_sender(trigger: Any, expected: bool) -> None:
    user = UserProxyAgent("user")

    assert triggers(trigger, user) is expected
    assert triggers(user, user)
    assert not triggers(agent(), user)


def test_nobody_is_named_by_none_and_asked_for_by_a_name() -> None:
    assert triggers(None, None)
    assert triggers([Agent, None], None)
    with pytest.raises(SenderRequiredError):
        triggers("user", None)
    with pytest.raises(ValueError, match="trigger must be"):
        agent().register_reply(3, says("never"))


def test_what_is_registered_later_is_asked_earlier(chat: Chat) -> None:
    one = agent()
    one.register_reply(Agent, says("first"))
    one.register_reply(Agent, says("second"))
    one.register_reply(Agent, says("third", final=False))

    assert contents(chat(agent("other"), one, message="hello", max_turns=1)) == ["hello", "second"]
    assert one.generate_reply(messages=[{"content": "a"}], sender=agent(), exclude=[]) == "second"


def test_position_counts_as_in_autogen_where_each_of_ours_stands_twice() -> None:
    """Nested chats stand at 2: behind the two that end conversations."""
    names = [reply.function.__name__ for reply in agent().replies.chain]

    assert names == [
        "a_check_termination_and_human_reply",
        "check_termination_and_human_reply",
        "a_generate_function_call_reply",
        "generate_function_call_reply",
        "a_generate_tool_calls_reply",
        "generate_tool_calls_reply",
        "a_generate_code_execution_reply",
        "generate_code_execution_reply",
        "a_generate_oai_reply",
        "generate_oai_reply",
    ]


def test_description_that_stands_there_twice_is_asked_once() -> None:
    one = agent(max_consecutive_auto_reply=5)
    one.generate_reply(messages=[{"content": "a"}], sender=None)

    assert one.turns.taken[None] == 1


def test_asynchronous_function_is_refused_where_nothing_awaits() -> None:
    async def answer(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        await asyncio.sleep(0)
        return True, "awaited"

    one, other = agent(), agent("other")
    one.register_reply(Agent, answer)

    with pytest.raises(RuntimeError, match="answer"):
        other.initiate_chat(one, message="hello", max_turns=1, silent=True)
    awaited = asyncio.run(other.a_initiate_chat(one, message="hello", max_turns=1, silent=True))
    assert contents(awaited) == ["hello", "awaited"]


def test_asynchronous_function_may_be_passed_over_where_nothing_awaits() -> None:
    async def answer(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        await asyncio.sleep(0)
        return True, "awaited"

    one, other = agent(default_auto_reply="waited"), agent("other")
    one.register_reply(Agent, answer, ignore_async_in_sync_chat=True)

    assert contents(other.initiate_chat(one, message="hello", max_turns=1, silent=True)) == ["hello", "waited"]


def test_function_keeps_what_it_is_configured_with_until_reset() -> None:
    def count(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        config["times"] += 1
        return True, str(config["times"])

    given = {"times": 0}
    one = agent()
    one.register_reply(None, count, config=given)
    said = [one.generate_reply(messages=[{"content": "a"}]) for _ in range(2)]
    one.reset()

    assert [*said, one.generate_reply(messages=[{"content": "a"}])] == ["1", "2", "1"]
    assert given == {"times": 0}


def test_function_may_say_how_it_is_reset() -> None:
    one = agent()
    seen: list[Any] = []
    one.register_reply(None, says("x"), config={"a": 1}, reset_config=seen.append)
    one.reset()

    assert seen == [{"a": 1}]


def test_others_can_be_removed_and_one_of_ours_replaced(chat: Chat, emulator: Emulator) -> None:
    one = agent(llm_config=LLM)
    one.replace_reply_func(ConversableAgent.generate_oai_reply, says("mine"))
    one.replace_reply_func(ConversableAgent.a_generate_oai_reply, says("mine"))
    assert contents(chat(agent("other"), one, message="hello", max_turns=1)) == ["hello", "mine"]
    one.register_reply(Agent, says("alone"), remove_other_reply_funcs=True)

    assert len(one.replies.chain) == 1
    assert emulator.calls == ()


def test_one_of_ours_can_be_excluded_and_called_by_hand(create: Any, emulator: Emulator) -> None:
    one = agent(llm_config=LLM, default_auto_reply="nothing")
    messages = [{"role": "user", "content": "hello"}]
    final, answer = one.generate_oai_reply(messages=messages)

    assert (final, answer) == asyncio.run(one.a_generate_oai_reply(messages=messages))
    assert one.generate_reply(messages=messages, exclude=[ConversableAgent.generate_oai_reply]) == "nothing"


# Hooks.


@pytest.mark.parametrize("asynchronous", [False, True])
def test_hooks_change_what_passes(chat: Chat, emulator: Emulator, asynchronous: bool) -> None:
    def send(sender: Any, message: Any, recipient: Any, silent: bool) -> Any:
        return f"{message}, said"

    def heard(messages: list[Any]) -> list[Any]:
        return [*messages[:-1], {**messages[-1], "content": f"{messages[-1]['content']}, heard"}]

    def last(content: str) -> str:
        return f"{content}, last"

    async def awaited(content: str) -> str:
        await asyncio.sleep(0)
        return last(content)

    first, second = speakers("first", "second")
    first.register_hook("process_message_before_send", send)
    second.register_hook("process_all_messages_before_reply", heard)
    second.register_hook("process_last_received_message", awaited if asynchronous else last)
    result = chat(first, second, message="hello", max_turns=1)

    assert emulator.calls[0].body["messages"][-1]["content"] == "hello, said, heard, last"
    assert contents(result)[0] == "hello, said"
    with pytest.raises(ValueError, match="not hookable"):
        first.register_hook("process_everything", last)


def test_what_is_remembered_is_not_changed_by_a_hook(chat: Chat) -> None:
    first, second = speakers("first", "second")
    second.register_hook("process_last_received_message", lambda content: f"{content}!")
    chat(first, second, message="hello", max_turns=1)

    assert second.chat_messages[first][0]["content"] == "hello"


def test_context_of_a_message_is_not_sent_and_stays_with_its_owner(emulator: Emulator) -> None:
    one = agent(llm_config={**LLM, "allow_format_str_template": True})
    message = {"role": "user", "content": "Tell me of {what}.", "context": {"what": "herons"}}
    one.generate_oai_reply(messages=[message])

    assert emulator.calls[0].body["messages"][-1] == {"role": "user", "content": "Tell me of herons."}
    assert message["context"] == {"what": "herons"}


def test_system_message_can_be_changed(emulator: Emulator) -> None:
    one = agent(llm_config=LLM, system_message="Be brief.")
    one.update_system_message("Be long.")
    one.generate_oai_reply(messages=[{"role": "user", "content": "hello"}])

    assert one.system_message == "Be long."
    assert emulator.calls[0].body["messages"][0] == {"role": "system", "content": "Be long."}


@pytest.mark.parametrize("llm_config", [{}, {"config_list": []}, {"config_list": [{"model": ""}]}, [1]])
def test_agent_without_a_model_in_its_settings_is_refused(llm_config: Any) -> None:
    with pytest.raises(ValueError, match=r"model|must be a dict"):
        ConversableAgent("a", llm_config=llm_config)


def test_what_stands_in_the_settings_is_shared_not_copied() -> None:
    class Uncopied:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError

    def keep(**_: Any) -> bool:
        return True

    kept = Uncopied()
    one = ConversableAgent("a", llm_config={**LLM, "filter_func": keep, "tags": [kept]})

    assert isinstance(one.llm_config, dict)
    assert one.llm_config["tags"][0] is kept
