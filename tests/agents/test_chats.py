"""Chats one after another, side by side, and inside others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, UserProxyAgent, a_initiate_chats, initiate_chats
from ostinato.agents.chats import order_of
from ostinato.caching import Cache
from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import Emulator
from tests.agents.casts import LLM, contents, speakers

Chat = Callable[..., Any]


def queue(count: int = 3, **settings: Any) -> list[dict[str, Any]]:
    (sender,) = speakers("sender")
    return [
        {
            "sender": sender,
            "recipient": speakers(f"expert{number}")[0],
            "message": f"task {number}",
            "max_turns": 1,
            "silent": True,
            **settings,
        }
        for number in range(count)
    ]


def test_what_each_chat_leaves_is_carried_on() -> None:
    chats = queue()
    chats[2]["carryover"] = "of old"
    chats[2]["finished_chat_indexes_to_exclude_from_carryover"] = [0]
    first, second, third = initiate_chats(chats)

    assert contents(first)[0] == "task 0"
    assert contents(second)[0] == f"task 1\nContext: \n{first.summary}"
    assert contents(third)[0] == f"task 2\nContext: \nof old\n{second.summary}"


def test_agent_holds_chats_of_its_own(emulator: Emulator) -> None:
    chats = [{name: value for name, value in chat.items() if name != "sender"} for chat in queue(2)]
    (sender,) = speakers("sender")
    first, second = sender.initiate_chats(chats)

    assert contents(second)[0].endswith(first.summary)
    assert len(emulator.calls) == 2


def test_second_run_asks_nobody(emulator: Emulator) -> None:
    cold, warm = initiate_chats(queue()), initiate_chats(queue())

    assert [result.chat_history for result in cold] == [result.chat_history for result in warm]
    assert len(emulator.calls) == 3


def test_block_or_a_chat_s_own_cache_reaches_the_chats() -> None:
    block, own = Cache.memory(), Cache.memory()
    chats = queue(2)
    chats[1]["cache"] = own
    with block:
        initiate_chats(chats)

    assert [cache.stats()["stored"] for cache in (block, own)] == [1, 1]


def test_chats_that_wait_for_nobody_run_side_by_side() -> None:
    both = []

    async def run() -> Any:
        barrier = asyncio.Barrier(2)

        async def meet(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
            await barrier.wait()
            both.append(recipient.name)
            return True, f"by {recipient.name}"

        chats = queue(3)
        for number, chat in enumerate(chats):
            chat["chat_id"] = number
        for chat in chats[:2]:
            chat["recipient"].register_reply(ConversableAgent, meet)
        chats[2]["prerequisites"] = [1, 0]
        return await a_initiate_chats(chats)

    results = asyncio.run(run())
    assert sorted(both) == ["expert0", "expert1"]
    assert list(results) == [0, 1, 2]
    assert contents(results[2])[0] == "task 2\nContext: \nby expert1\nby expert0"
    assert [result.chat_id for result in results.values()] == [0, 1, 2]


def test_failure_of_one_chat_is_raised_as_it_is() -> None:
    chats = queue(2)
    chats[1]["message"] = 3

    with pytest.raises(ConfigurationError, match="takes a text"):
        asyncio.run(a_initiate_chats(chats))


def test_order_keeps_each_behind_those_it_waits_for() -> None:
    assert order_of({1: {"prerequisites": [2]}, 2: {"prerequisites": [3]}, 3: {}}) == [3, 2, 1]
    with pytest.raises(ConfigurationError, match="circle"):
        order_of({1: {"prerequisites": [2]}, 2: {"prerequisites": [1]}})
    with pytest.raises(ConfigurationError, match="no chat has the chat_id 9"):
        order_of({1: {"prerequisites": [9]}})


def test_queue_without_a_recipient_or_with_one_twice_is_told() -> None:
    (sender,) = speakers("sender")
    with pytest.raises(ConfigurationError, match="names no recipient"):
        initiate_chats([{"sender": sender}])
    chats = queue(2)
    chats[1]["recipient"] = chats[0]["recipient"]
    with pytest.warns(UserWarning, match="repetitive recipients"):
        initiate_chats(chats)


def test_beginning_of_each_chat_is_printed(capsys: Any) -> None:
    initiate_chats(queue(1, silent=False, verbose=True))
    out = capsys.readouterr().out

    assert "Starting a new chat...." in out
    assert "Message:\ntask 0" in out


# Nested.


def nested(**settings: Any) -> tuple[UserProxyAgent, ConversableAgent, list[ConversableAgent]]:
    """Return a user, a writer, and two whom the writer asks before it answers."""
    writer, critic, editor = speakers("writer", "critic", "editor")
    user = UserProxyAgent("user", human_input_mode="NEVER", max_consecutive_auto_reply=1)
    chats = [
        {"recipient": critic, "max_turns": 1, "summary_method": "last_msg"},
        {"recipient": editor, "message": "Mend it.", "max_turns": 1},
    ]
    writer.register_nested_chats(chats, trigger=UserProxyAgent, **settings)
    return user, writer, [critic, editor]


def test_what_nested_chats_leave_is_the_answer(chat: Chat, emulator: Emulator) -> None:
    user, writer, (critic, editor) = nested()
    result = chat(user, writer, message="Write.", max_turns=1)
    asked = [call.body["messages"][-1]["content"] for call in emulator.calls]
    said = [agent.last_message(writer) for agent in (critic, editor)]

    assert asked == ["Write.", f"Mend it.\nContext: \n{said[0] and said[0]['content']}"]
    assert contents(result)[1] == (said[1] and said[1]["content"])


def test_nested_chats_share_the_cache_and_count_for_the_outer_one(chat: Chat, emulator: Emulator) -> None:
    cache = Cache.memory()
    results = []
    for _ in range(2):
        user, writer, _ = nested()
        results.append(chat(user, writer, message="Write.", max_turns=1, cache=cache))
    cold, warm = results
    (model,) = (name for name in cold.cost["usage_including_cached_inference"] if name != "total_cost")
    paid = sum(call.outcome.usage["total_tokens"] for call in emulator.calls if call.outcome.usage)

    assert cold.chat_history == warm.chat_history
    assert len(emulator.calls) == cache.stats()["stored"] == 2
    assert cold.cost["usage_excluding_cached_inference"][model]["total_tokens"] == paid
    assert warm.cost["usage_excluding_cached_inference"] == {"total_cost": 0}


def test_nested_chats_of_a_silent_chat_are_silent(capsys: Any, chat: Chat) -> None:
    user, writer, _ = nested()
    chat(user, writer, message="Write.", max_turns=1)

    assert capsys.readouterr().out == ""


def test_nested_chats_may_be_held_side_by_side(emulator: Emulator) -> None:
    user, writer, _ = nested()
    critic, editor = speakers("critic", "editor")
    chats = [
        {"recipient": critic, "chat_id": "a", "max_turns": 1},
        {"recipient": editor, "chat_id": "b", "message": "Mend it.", "max_turns": 1, "prerequisites": ["a"]},
    ]
    writer.register_nested_chats(chats, UserProxyAgent, use_async=True, position=0)

    with pytest.raises(RuntimeError, match="nested_reply"):
        user.initiate_chat(writer, message="Write.", max_turns=1, silent=True)
    result = asyncio.run(user.a_initiate_chat(writer, message="Write.", max_turns=1, silent=True))
    assert contents(result)[1] == (editor.last_message(writer) or {})["content"]
    assert len(emulator.calls) == 2


def test_answer_from_nested_chats_may_be_a_function_s(chat: Chat) -> None:
    def answer(chat_queue: Any, recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        return True, f"{len(chat_queue)} chats for {sender.name}"

    user, writer, _ = nested(reply_func_from_nested_chats=answer)

    assert contents(chat(user, writer, message="Write.", max_turns=1))[1] == "2 chats for user"


def test_nested_chat_s_message_may_be_a_function(chat: Chat, emulator: Emulator) -> None:
    def begin(recipient: Any, messages: Any, sender: Any, config: Any) -> str:
        return f"{recipient.name} on {messages[-1]['content']}"

    user, writer, _ = nested()
    (critic,) = speakers("critic")
    writer.register_nested_chats([{"recipient": critic, "message": begin, "max_turns": 1}], UserProxyAgent, position=0)
    chat(user, writer, message="herons", max_turns=1)

    assert emulator.calls[0].body["messages"][-1]["content"] == "writer on herons"


def test_nested_chat_without_a_message_is_held_only_in_the_first_place(chat: Chat, emulator: Emulator) -> None:
    user, writer, (critic, editor) = nested()
    chats = [{"recipient": agent, "max_turns": 1} for agent in (critic, editor)]
    writer.register_nested_chats(chats, UserProxyAgent, position=0)
    result = chat(user, writer, message="Write.", max_turns=1)

    assert len(emulator.calls) == 1
    assert contents(result)[1] == (critic.last_message(writer) or {})["content"]


def test_nested_chats_that_cannot_be_are_refused() -> None:
    agent = ConversableAgent("a", llm_config=LLM)
    with pytest.raises(ConfigurationError, match="chat_id"):
        agent.register_nested_chats([{"recipient": agent}], UserProxyAgent, use_async=True)
    with pytest.raises(ConfigurationError, match="summary_from_nested_chats"):
        agent.register_nested_chats([], UserProxyAgent, "haiku")
