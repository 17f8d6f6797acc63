"""What people are asked, and when; kept and repeated with the conversation where that is wished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, IOStream, UserProxyAgent
from ostinato.agents.turns import Question, question
from ostinato.caching import Cache
from ostinato.errors import ReplayMissError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, contents

Chat = Callable[..., Any]


class Person(IOStream):
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        pass

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        self.prompts.append(prompt)
        return self.lines.pop(0)


@pytest.fixture
def person() -> Iterator[Callable[..., Person]]:
    """Put a person at the terminal."""
    before = IOStream.get_default()

    def sit(*lines: str) -> Person:
        somebody = Person(*lines)
        IOStream.set_global_default(somebody)
        return somebody

    yield sit
    IOStream.set_global_default(before)


def agents(mode: Any = "ALWAYS", **settings: Any) -> tuple[UserProxyAgent, ConversableAgent]:
    user = UserProxyAgent("user", human_input_mode=mode, **settings)
    return user, ConversableAgent("helper", llm_config=LLM, human_input_mode="NEVER")


@pytest.mark.parametrize(
    ("mode", "spent", "terminal", "expected"),
    [
        ("NEVER", False, False, None),
        ("NEVER", True, False, "exit"),
        ("NEVER", False, True, "exit"),
        ("TERMINATE", False, False, None),
        ("TERMINATE", True, False, False),
        ("TERMINATE", False, True, True),
        ("TERMINATE", True, True, True),
        ("ALWAYS", False, False, False),
        ("ALWAYS", True, False, False),
        ("ALWAYS", False, True, True),
    ],
)
def test_when_a_person_is_asked_and_whether_silence_ends_it(
    mode: Any, spent: bool, terminal: bool, expected: Any
) -> None:
    asked = question(mode, spent=spent, terminal=terminal, name="user", sender="helper")

    assert (asked.ends if isinstance(asked, Question) else asked) == expected


def test_person_answers_lets_the_agent_answer_and_ends(chat: Chat, person: Any) -> None:
    somebody = person("what else?", "", "exit")
    user, helper = agents(default_auto_reply="go on")
    result = chat(user, helper, message="hello")

    assert contents(result)[0::2] == ["hello", "what else?", "go on"]
    assert result.human_input == ["what else?", "", "exit"]
    skip = "Press enter to skip and use auto-reply, or type 'exit' to end the conversation: "
    assert somebody.prompts == [f"Replying as user. Provide feedback to helper. {skip}"] * 3


def test_person_is_asked_at_the_end_and_silence_ends_it(chat: Chat, person: Any, emulator: Emulator) -> None:
    emulator.script(Reply(text="TERMINATE"), Reply(text="TERMINATE"))
    somebody = person("more", "")
    user, helper = agents("TERMINATE")
    result = chat(user, helper, message="hello")

    assert contents(result) == ["hello", "TERMINATE", "more", "TERMINATE"]
    assert len(somebody.prompts) == 2


def test_person_is_asked_when_the_agent_has_answered_often_enough(chat: Chat, person: Any) -> None:
    person("exit")
    user, helper = agents("TERMINATE", max_consecutive_auto_reply=2, default_auto_reply="go on")

    assert contents(chat(user, helper, message="hello"))[0::2] == ["hello", "go on", "go on"]


def test_limit_counts_anew_in_every_chat_and_may_differ_by_peer(chat: Chat) -> None:
    user, helper = agents("NEVER", max_consecutive_auto_reply=1, default_auto_reply="go on")
    lengths = [len(chat(user, helper, message="hello").chat_history) for _ in range(2)]
    user.update_max_consecutive_auto_reply(2, helper)

    assert lengths == [4, 4]
    assert len(chat(user, helper, message="hello").chat_history) == 6
    assert (user.max_consecutive_auto_reply(helper), user.max_consecutive_auto_reply()) == (2, 1)


def test_person_who_comes_between_answers_open_calls(chat: Chat, person: Any, emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=({"name": "add", "arguments": "{}", "id": "c1"},)))
    person("stop that", "exit")
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    user = UserProxyAgent("user")
    helper = ConversableAgent("helper", llm_config={**LLM, "tools": [tool]}, human_input_mode="NEVER")
    chat(user, helper, message="hello")

    assert emulator.calls[1].body["messages"][-2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "USER INTERRUPTED"},
        {"role": "user", "content": "stop that", "name": "user"},
    ]


def test_person_begins_where_no_message_does(chat: Chat, person: Any) -> None:
    somebody = person("from a person")
    user, helper = agents("NEVER")
    result = chat(user, helper, max_turns=1)

    assert contents(result)[0] == "from a person"
    assert (somebody.prompts, result.human_input) == ([">"], ["from a person"])


def test_way_of_asking_can_be_overridden(chat: Chat) -> None:
    class Asks(UserProxyAgent):
        def get_human_input(self, prompt: str) -> str:
            return "exit"

    _, helper = agents()

    assert chat(Asks("user"), helper, message="hello").human_input == ["exit"]


def test_termination_test_that_trips_over_empty_content_does_not(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=({"name": "nothing", "arguments": "{}"},)))
    user, helper = agents(
        "NEVER", max_consecutive_auto_reply=1, is_termination_msg=lambda x: x["content"].endswith(".")
    )
    chat(user, helper, message="hello")

    assert user.chat_messages[helper][1]["content"] is None


def test_waiting_for_a_person_holds_up_nobody_else(person: Any) -> None:
    import threading

    answered = threading.Event()

    class Slow(UserProxyAgent):
        def get_human_input(self, prompt: str) -> str:
            assert answered.wait(30)
            return "exit"

    async def run() -> Any:
        _, helper = agents()
        talk = asyncio.create_task(Slow("user").a_initiate_chat(helper, message="hello", silent=True))
        await asyncio.sleep(0)
        answered.set()
        return await talk

    assert asyncio.run(run()).human_input == ["exit"]


# Recorded.


@pytest.mark.parametrize("where", ["chat", "agent"])
def test_recorded_input_is_repeated_with_the_conversation(chat: Chat, person: Any, where: str) -> None:
    cache = Cache.memory()

    def hold() -> Any:
        user, helper = agents(default_auto_reply="go on", record_human_input=where == "agent")
        settings = {"record_human_input": True} if where == "chat" else {}
        return chat(user, helper, message="hello", cache=cache, **settings)

    person("what else?", "", "exit")
    cold = hold()
    nobody = person()
    warm = hold()

    assert warm.chat_history == cold.chat_history
    assert warm.human_input == cold.human_input == ["what else?", "", "exit"]
    assert nobody.prompts == []


def test_input_is_not_recorded_unless_asked(chat: Chat, person: Any) -> None:
    cache = Cache.memory()
    person("exit", "exit")
    for _ in range(2):
        user, helper = agents()
        chat(user, helper, message="hello", cache=cache)

    assert cache.stats()["stored"] == 1  # the helper's answer


def test_recorded_input_belongs_to_what_led_to_it(chat: Chat, person: Any) -> None:
    cache = Cache.memory()
    settings: dict[str, Any] = {"cache": cache, "record_human_input": True}
    somebody = person("exit", "exit", "exit")
    for message, sample in (("hello", 0), ("good day", 0), ("hello", 1), ("hello", 0)):
        user, helper = agents()
        chat(user, helper, message=message, sample_index=sample, **settings)

    assert len(somebody.prompts) == 3


def test_recorded_input_of_another_draw_is_another(chat: Chat, person: Any) -> None:
    cache = Cache.memory()
    somebody = person("one", "two")
    begun = []
    for sample in (0, 1, 0, 1):
        user, helper = agents("NEVER")
        result = chat(user, helper, max_turns=1, cache=cache, record_human_input=True, sample_index=sample)
        begun.append(contents(result)[0])

    assert begun == ["one", "two", "one", "two"]
    assert len(somebody.prompts) == 2


def test_two_equal_questions_get_each_its_answer(chat: Chat, person: Any) -> None:
    """Nothing was said between them, so only their order tells them apart."""
    cache = Cache.memory()

    class Asked(UserProxyAgent):
        pass

    def ask(recipient: Any, messages: Any, sender: Any, config: Any) -> Any:
        from ostinato.agents.human import ask_person
        from ostinato.agents.steps import run

        return True, " ".join(run(ask_person(recipient, "which?")) for _ in range(2))

    person("one", "two")
    for _ in range(2):
        user, helper = agents("NEVER")
        helper.register_reply(None, ask)
        helper.register_reply(UserProxyAgent, ask)
        result = chat(user, helper, message="hello", max_turns=1, cache=cache, record_human_input=True)

        assert contents(result) == ["hello", "one two"]


def test_replay_asks_nobody(chat: Chat, person: Any) -> None:
    store = Cache.memory().store
    somebody = person("exit", "exit")

    def hold(message: str, mode: Any) -> Any:
        user, helper = agents()
        return chat(user, helper, message=message, cache=Cache(store=store, mode=mode), record_human_input=True)

    hold("hello", "record")
    hold("hello", "record")
    assert hold("hello", "replay").human_input == ["exit"]
    with pytest.raises(ReplayMissError):
        hold("good day", "replay")
    assert len(somebody.prompts) == 2  # recorded twice, replayed without


def test_replay_without_a_record_of_what_a_person_said_is_an_error(chat: Chat, person: Any) -> None:
    store = Cache.memory().store
    person("exit")
    user, helper = agents()
    chat(user, helper, message="hello", cache=Cache(store=store))
    user, helper = agents()

    with pytest.raises(ReplayMissError, match="nobody is asked in replay mode"):
        chat(user, helper, message="hello", cache=Cache(store=store, mode="replay"), record_human_input=True)


def test_recording_without_a_cache_is_said(chat: Chat, person: Any, caplog: pytest.LogCaptureFixture) -> None:
    person("exit")
    user = UserProxyAgent("user", llm_config={**LLM, "cache_seed": None})
    _, helper = agents()
    chat(user, helper, message="hello", record_human_input=True)

    assert "has no cache" in caplog.text
