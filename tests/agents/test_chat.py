"""A chat from its first message to its summary, in both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import AssistantAgent, ConversableAgent, UserProxyAgent
from ostinato.caching import Cache, ambient
from ostinato.errors import ConfigurationError, InternalServerError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, contents, pair, speakers

Chat = Callable[..., Any]


def test_agents_answer_each_other_until_one_says_terminate(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="one"), Reply(text="two TERMINATE"))
    user, assistant = pair()
    result = chat(user, assistant, message="count")

    assert contents(result) == ["count", "one", "", "two TERMINATE"]
    assert [message["name"] for message in result.chat_history] == ["user", "assistant", "user", "assistant"]
    assert [message["role"] for message in result.chat_history] == ["assistant", "user", "assistant", "user"]
    assert result.summary == "two "
    assert assistant.chat_messages[user][-1] == {"content": "two TERMINATE", "role": "assistant", "name": "assistant"}


def test_second_run_with_new_agents_asks_nobody_and_is_the_same(chat: Chat, emulator: Emulator) -> None:
    results = []
    for _ in range(2):
        first, second = speakers("first", "second")
        results.append(chat(first, second, message="hello", max_turns=3, summary_method="reflection_with_llm"))
    cold, warm = results

    assert warm.chat_history == cold.chat_history
    assert (warm.summary, warm.human_input) == (cold.summary, cold.human_input)
    assert len(cold.chat_history) == 6
    assert len(emulator.calls) == 6  # the first message is given, and the reflection asked
    assert warm.cost["usage_including_cached_inference"] == cold.cost["usage_including_cached_inference"]
    assert warm.cost["usage_excluding_cached_inference"] == {"total_cost": 0}


def test_both_worlds_ask_the_same(emulator: Emulator) -> None:
    first, second = speakers("first", "second")
    waited = first.initiate_chat(second, message="hello", max_turns=3, silent=True)
    awaited = asyncio.run(first.a_initiate_chat(second, message="hello", max_turns=3, silent=True))

    assert waited.chat_history == awaited.chat_history
    assert len(emulator.calls) == 5


def test_another_seed_is_another_conversation(chat: Chat) -> None:
    histories = []
    for seed in (1, 2, 1):
        first, second = speakers("first", "second", cache_seed=seed)
        histories.append(contents(chat(first, second, message="hello", max_turns=2)))

    assert histories[0] == histories[2] != histories[1]


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_max_turns_is_a_number_of_round_trips(chat: Chat, turns: int) -> None:
    first, second = speakers("first", "second")

    assert len(chat(first, second, message="hello", max_turns=turns).chat_history) == 2 * turns


def test_history_goes_on_where_it_is_not_cleared(chat: Chat) -> None:
    first, second = speakers("first", "second")
    chat(first, second, message="hello", max_turns=1)
    result = chat(first, second, message="and?", max_turns=1, clear_history=False)

    assert contents(result)[0::2] == ["hello", "and?"]
    assert len(chat(first, second, message="anew", max_turns=1).chat_history) == 2


def test_result_of_a_chat_does_not_grow_with_the_next(chat: Chat) -> None:
    first, second = speakers("first", "second")
    result = chat(first, second, message="hello", max_turns=1)
    chat(first, second, message="and?", max_turns=1, clear_history=False)

    assert len(result.chat_history) == 2


# The first message.


def test_first_message_may_be_a_function_of_what_is_known(chat: Chat) -> None:
    def begin(sender: Any, recipient: Any, context: Any) -> str:
        return f"{sender.name} to {recipient.name}: {context['carryover']} {context['topic']}"

    first, second = speakers("first", "second")
    result = chat(first, second, message=begin, max_turns=1, carryover="as before", topic="herons")

    assert contents(result)[0] == "first to second: as before herons"


@pytest.mark.parametrize(
    ("message", "carryover", "expected"),
    [
        ("go", "one", "go\nContext: \none"),
        ("go", ["one", {"content": "two"}, 3], "go\nContext: \none\ntwo\n3"),
        ({"content": "go"}, "one", "go\nContext: \none"),
        ("go", [], "go"),
        ({"content": [{"type": "text", "text": "go"}]}, "one", [
            {"type": "text", "text": "go"}, {"type": "text", "text": "\nContext: \none"}
        ]),
    ],
)  # fmt: skip
def test_carryover_is_added_to_the_first_message(chat: Chat, message: Any, carryover: Any, expected: Any) -> None:
    first, second = speakers("first", "second")

    assert contents(chat(first, second, message=message, carryover=carryover, max_turns=1))[0] == expected


def test_carryover_or_message_of_another_kind_is_refused(chat: Chat) -> None:
    first, second = speakers("first", "second")

    with pytest.raises(ConfigurationError):
        chat(first, second, message="go", carryover=3)
    with pytest.raises(ConfigurationError):
        chat(first, second, message=3)
    with pytest.raises(ValueError, match="must have content"):
        chat(first, second, message={"role": "user"})


# Summaries.


def test_summary_by_reflection_takes_a_prompt_and_a_role(chat: Chat, emulator: Emulator) -> None:
    first, second = speakers("first", "second")
    args = {"summary_prompt": "In one word.", "summary_role": "user"}
    result = chat(first, second, message="hello", max_turns=1, summary_method="reflection_with_llm", summary_args=args)

    assert emulator.calls[-1].body["messages"][-1] == {"role": "user", "content": "In one word."}
    assert emulator.calls[-1].body["messages"][0]["content"] == "hello"
    assert result.summary.startswith("Answer 2: ")


def test_summary_by_reflection_may_have_a_cache_of_its_own_and_leaves_it_to_nobody(chat: Chat) -> None:
    own = Cache.memory()
    first, second = speakers("first", "second")
    settings: dict[str, Any] = {"message": "hello", "max_turns": 1, "summary_method": "reflection_with_llm"}
    chat(first, second, summary_args={"cache": own}, **settings)
    chat(first, second, **settings)

    assert own.stats()["stored"] == 1
    assert own.stats()["hits"] == 0


@pytest.mark.parametrize("asynchronous", [False, True])
def test_summary_may_be_a_function(chat: Chat, asynchronous: bool) -> None:
    def plain(sender: Any, recipient: Any, args: Any) -> str:
        return f"{recipient.last_message(sender)['role']} {args['a']}"

    async def awaited(sender: Any, recipient: Any, args: Any) -> str:
        await asyncio.sleep(0)
        return plain(sender, recipient, args)

    first, second = speakers("first", "second")
    method = awaited if asynchronous else plain
    result = chat(first, second, message="hello", max_turns=1, summary_method=method, summary_args={"a": 1})

    assert result.summary == "assistant 1"


def test_summary_that_nobody_can_make_is_an_error(chat: Chat) -> None:
    user, other = UserProxyAgent("user", human_input_mode="NEVER"), UserProxyAgent("other", human_input_mode="NEVER")

    with pytest.raises(ConfigurationError, match="neither agent"):
        chat(user, other, message="hello", max_turns=1, summary_method="reflection_with_llm")
    with pytest.raises(ConfigurationError, match="summary_method"):
        chat(user, other, message="hello", max_turns=1, summary_method="haiku")


# What it costs.


def test_cost_is_this_chat_s_alone(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="the same"), times=None)
    first, second = speakers("first", "second", cache_seed=None)
    costs = [chat(first, second, message="hello", max_turns=2).cost for _ in range(2)]
    (model,) = (name for name in costs[0]["usage_including_cached_inference"] if name != "total_cost")
    tokens = [cost["usage_including_cached_inference"][model]["prompt_tokens"] for cost in costs]

    assert tokens[0] == tokens[1] > 0
    assert costs[0]["usage_including_cached_inference"] == costs[0]["usage_excluding_cached_inference"]


# What it leaves behind.


def test_after_an_error_nothing_is_left_behind(chat: Chat, emulator: Emulator) -> None:
    from ostinato.agents.session import current

    emulator.script(Reply(status=500), times=None)
    first, second = speakers("first", "second", max_retries=0)
    with pytest.raises(InternalServerError):
        chat(first, second, message="hello", max_turns=1, cache=Cache.memory())

    assert ambient.blocks() == ()
    assert current() is None


def test_cache_of_a_chat_stays_open_for_its_owner(chat: Chat) -> None:
    with Cache.disk(cache_path_root="own") as cache:
        for _ in range(2):
            first, second = speakers("first", "second")
            chat(first, second, message="hello", max_turns=1, cache=cache)
        assert cache.stats()["hits"] == 1


def test_chat_that_is_cut_off_by_its_caller_leaves_nothing_behind(emulator: Emulator) -> None:
    from ostinato.agents.session import current

    emulator.script(Reply(delay_s=30), times=None)
    first, second = speakers("first", "second")

    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await first.a_initiate_chat(second, message="hello", max_turns=1, silent=True, cache=Cache.memory())
        assert ambient.innermost() is None
        assert current() is None

    asyncio.run(run())


# What it prints.


def test_conversation_is_printed_in_autogen_s_words(chat: Chat, emulator: Emulator, capsys: Any) -> None:
    emulator.script(Reply(text="Done. TERMINATE"))
    user, assistant = pair()
    chat(user, assistant, message="count", silent=False)

    rule = "-" * 80
    assert capsys.readouterr().out == (
        f"user (to assistant):\n\ncount\n\n{rule}\nassistant (to user):\n\nDone. TERMINATE\n\n{rule}\n"
    )


def test_results_of_tools_are_printed_as_autogen_prints_them(capsys: Any) -> None:
    first, second = speakers("first", "second")
    results = [{"tool_call_id": f"t{number}", "role": "tool", "content": str(number)} for number in (1, 2)]
    first.send({"role": "tool", "content": "1\n\n2", "tool_responses": results}, second, request_reply=False)

    rule = "-" * 80
    head = "***** Response from calling tool (t{}) *****"
    told = [f"first (to second):\n\n{head.format(n)}\n{n}\n{'*' * len(head.format(n))}\n\n{rule}\n" for n in (1, 2)]
    assert capsys.readouterr().out == "first (to second):\n\n" + "".join(told)


def test_silent_chat_prints_nothing(chat: Chat, capsys: Any) -> None:
    asker = UserProxyAgent("asker", human_input_mode="TERMINATE", max_consecutive_auto_reply=3)
    chat(asker, AssistantAgent("assistant", llm_config={**LLM, "stream": True}), message="count", max_turns=2)

    assert capsys.readouterr().out == ""


def test_agent_says_itself_whether_it_is_silent(chat: Chat, capsys: Any) -> None:
    loud = ConversableAgent("loud", llm_config=LLM, human_input_mode="NEVER", silent=False)
    still = ConversableAgent("still", llm_config=LLM, human_input_mode="NEVER", silent=True)
    chat(loud, still, message="hello", max_turns=1)
    out = capsys.readouterr().out

    assert "still (to loud):" in out
    assert "loud (to still):" not in out


def test_printing_goes_through_one_object_that_can_be_replaced(chat: Chat, capsys: Any) -> None:
    from ostinato.agents import IOStream

    class Collected(IOStream):
        def __init__(self) -> None:
            self.lines: list[str] = []

        def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
            self.lines.append(sep.join(map(str, objects)) + end)

    first, second = speakers("first", "second")
    here, everywhere = Collected(), Collected()
    before = IOStream.get_default()
    IOStream.set_global_default(everywhere)
    try:
        with IOStream.set_default(here):
            chat(first, second, message="hello", max_turns=1, silent=False)
        chat(first, second, message="hello", max_turns=1, silent=False)
    finally:
        IOStream.set_global_default(before)

    assert here.lines == everywhere.lines != []
    assert capsys.readouterr().out == ""


# By hand.


def test_send_without_a_chat_remembers_and_answers_as_asked(emulator: Emulator) -> None:
    first, second = speakers("first", "second")
    first.send("hello", second, silent=True)
    first.send("and now?", second, request_reply=True, silent=True)

    assert [message["content"][:6] for message in second.chat_messages[first]] == ["hello", "and no", "Answer"]
    assert first.last_message(second) == first.last_message()
    assert len(emulator.calls) == 1


def test_long_conversation_needs_no_deep_stack() -> None:
    talkers = [
        ConversableAgent(name, human_input_mode="NEVER", max_consecutive_auto_reply=2000, default_auto_reply="go on")
        for name in ("first", "second")
    ]
    result = talkers[0].initiate_chat(talkers[1], message="hello", silent=True)

    assert len(result.chat_history) == 4001


def test_subclass_that_speaks_and_hears_in_its_own_way_is_asked_to(chat: Chat) -> None:
    heard: list[str] = []

    class Own(ConversableAgent):
        def receive(self, message: Any, sender: Any, request_reply: Any = None, silent: Any = False) -> Any:
            heard.append(f"heard {message['content']}")
            return super().receive(message, sender, request_reply, silent)

        async def a_receive(self, message: Any, sender: Any, request_reply: Any = None, silent: Any = False) -> Any:
            heard.append(f"heard {message['content']}")
            return await super().a_receive(message, sender, request_reply, silent)

        def send(self, message: Any, recipient: Any, request_reply: Any = None, silent: Any = False) -> Any:
            heard.append(f"said {message}")
            return super().send(message, recipient, request_reply, silent)

        async def a_send(self, message: Any, recipient: Any, request_reply: Any = None, silent: Any = False) -> Any:
            heard.append(f"said {message}")
            return await super().a_send(message, recipient, request_reply, silent)

    own = Own("own", human_input_mode="NEVER", default_auto_reply="yes", max_consecutive_auto_reply=2)
    other = ConversableAgent("other", human_input_mode="NEVER", default_auto_reply="really?")
    chat(other, own, message="hello")

    assert heard == ["heard hello", "said yes", "heard really?", "said yes", "heard really?"]


def test_clearing_keeps_the_last_messages_and_no_answer_without_its_call() -> None:
    first, second = speakers("first", "second")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[Any] = ["a", "b", {"tool_calls": [call]}, {"role": "tool", "content": "c", "tool_call_id": "1"}]
    for message in messages:
        first.send(message, second, silent=True)
    first.clear_history(second, nr_messages_to_preserve=1)

    assert [message["content"] for message in first.chat_messages[second]] == [None, "c"]
    first.clear_history()
    assert first.last_message() is None
    with pytest.raises(KeyError):
        first.last_message(second)
