"""Group chats: who hears, who speaks next, and that all of it is repeated for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, GroupChat, GroupChatManager, IOStream, UserProxyAgent
from ostinato.agents.group_manager import cleared
from ostinato.agents.selection import mentioned
from ostinato.caching import Cache
from ostinato.errors import ConfigurationError, ReplayMissError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, contents, ends, speakers

Chat = Callable[..., Any]
NAMES = ("alice", "bob", "carol")


def group(method: Any = "round_robin", **settings: Any) -> tuple[UserProxyAgent, GroupChatManager]:
    user = UserProxyAgent("user", human_input_mode="NEVER")
    chat = GroupChat([user, *speakers(*NAMES)], speaker_selection_method=method, **{"max_round": 5, **settings})
    return user, GroupChatManager(chat, llm_config=LLM, is_termination_msg=ends)


def members(manager: GroupChatManager) -> Any:
    """Return the members with a model."""
    return manager.groupchat.agents[1:]


def spoken(manager: GroupChatManager) -> list[str]:
    return [message["name"] for message in manager.groupchat.messages]


def test_everybody_hears_everything_and_speaks_in_turn(chat: Chat, emulator: Emulator) -> None:
    user, manager = group()
    result = chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "alice", "bob", "carol", "user"]
    alice, bob, carol = members(manager)
    for member in (alice, bob, carol):
        assert [message["name"] for message in member.chat_messages[manager]] == spoken(manager)
    assert contents(result) == [message["content"] for message in manager.groupchat.messages]
    assert [message["name"] for message in emulator.calls[2].body["messages"][1:]] == ["user", "alice", "bob"]
    assert manager.last_speaker is user


METHODS: list[Any] = ["round_robin", "random", "auto", lambda last, group: group.next_agent(last)]


@pytest.mark.parametrize("method", METHODS, ids=["round_robin", "random", "auto", "function"])
def test_second_run_is_the_same_and_asks_nobody(chat: Chat, emulator: Emulator, method: Any) -> None:
    if method == "auto":
        for name in ("bob", "carol", "alice", "bob"):
            emulator.script(Reply(text=name), when=is_selection)
    cache = Cache.memory()
    runs = []
    for _ in range(2):
        user, manager = group(method)
        result = chat(user, manager, message="hello", cache=cache)
        runs.append((result, spoken(manager)))
    (cold, first), (warm, second) = runs
    (model,) = (name for name in cold.cost["usage_including_cached_inference"] if name != "total_cost")
    paid = sum(call.outcome.usage["total_tokens"] for call in emulator.calls if call.outcome.usage)

    assert cold.chat_history == warm.chat_history
    assert first == second
    assert cold.cost["usage_excluding_cached_inference"][model]["total_tokens"] == paid
    assert warm.cost["usage_excluding_cached_inference"] == {"total_cost": 0}
    if method == "auto":
        assert first == ["user", "bob", "carol", "alice", "bob"]
        assert len(emulator.calls) == 8


def is_selection(call: Any) -> bool:
    return "speak next" in call.body["messages"][0]["content"]


def test_whole_group_replays(chat: Chat, emulator: Emulator) -> None:
    store = Cache.memory().store

    def hold(message: str, mode: Any) -> Any:
        user, manager = group("random")
        return chat(user, manager, message=message, cache=Cache(store=store, mode=mode))

    recorded, calls = hold("hello", "record"), len(emulator.calls)

    assert hold("hello", "replay").chat_history == recorded.chat_history
    with pytest.raises(ReplayMissError):
        hold("good day", "replay")
    assert len(emulator.calls) == calls


def test_draw_differs_with_the_sample_alone_and_is_repeated(chat: Chat) -> None:
    cache = Cache.memory()

    def way(index: int) -> tuple[str, ...]:
        mute = [ConversableAgent(name, human_input_mode="NEVER", default_auto_reply="yes") for name in NAMES]
        manager = GroupChatManager(GroupChat(mute, max_round=6, speaker_selection_method="random"))
        chat(mute[0], manager, message="hello", cache=cache, sample_index=index)
        return tuple(spoken(manager))

    ways = [way(index) for index in range(12)]

    assert len(set(ways)) > 1
    assert [way(index) for index in range(12)] == ways


# Who may speak.


def test_model_that_names_nobody_or_several_is_asked_again(chat: Chat, emulator: Emulator, capsys: Any) -> None:
    for text in ("I do not know", "alice or bob", "bob"):
        emulator.script(Reply(text=text), when=is_selection)
    user, manager = group("auto", max_round=2, select_speaker_auto_verbose=True)
    chat(user, manager, message="hello", silent=False)
    asked = [call.body["messages"] for call in emulator.calls if is_selection(call)]

    assert spoken(manager) == ["user", "bob"]
    assert [message["role"] for message in asked[2]] == [
        "system", "user", "system", "assistant", "system", "assistant", "system",
    ]  # fmt: skip
    assert "You named nobody" in asked[2][4]["content"]
    assert "You named more than one" in asked[2][6]["content"]
    assert ">>>>>>>> alice or bob" in capsys.readouterr().out


def test_model_that_never_decides_is_overruled(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="who knows"), times=None, when=is_selection)
    user, manager = group("auto", max_round=2, max_retries_for_selecting_speaker=1)
    chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "alice"]
    assert sum(map(is_selection, emulator.calls)) == 2


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("alice", ["alice"]),
        ("Alice", []),
        ("alice, bob", ["alice", "bob"]),
        ("malice", []),
        ("ask: 'big dog'!", ["big_dog"]),
    ],
)
def test_names_are_found_as_words(text: str, names: list[str]) -> None:
    agents = speakers("alice", "bob", "big_dog")

    assert [agent.name for agent in mentioned(text, agents)] == names


def test_person_chooses_by_number(chat: Chat) -> None:
    class Person(IOStream):
        lines = ["7", "3", "q", ""]  # noqa: RUF012

        def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
            pass

        def input(self, prompt: str = "", *, password: bool = False) -> str:
            return self.lines.pop(0)

    user, manager = group("manual", max_round=4)
    before = IOStream.get_default()
    IOStream.set_global_default(Person())
    try:
        result = chat(user, manager, message="hello")
    finally:
        IOStream.set_global_default(before)

    assert spoken(manager) == ["user", "bob", "carol", "user"]
    assert result.human_input == ["7", "3", "q", ""]


def test_function_may_name_an_agent_a_method_or_nobody(chat: Chat) -> None:
    said: list[Any] = []

    def choose(last: Any, chat: Any) -> Any:
        said.append(last.name)
        return {1: chat.agent_by_name("carol"), 2: "round_robin", 3: None}[len(said)]

    user, manager = group(choose)
    chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "carol", "user"]


@pytest.mark.parametrize("chosen", ["haiku", 3, ConversableAgent("stranger")])
def test_function_that_chooses_what_cannot_be_is_an_error(chat: Chat, chosen: Any) -> None:
    user, manager = group(lambda last, chat: chosen)

    with pytest.raises(ConfigurationError):
        chat(user, manager, message="hello")


def test_transitions_say_who_may_follow() -> None:
    alice, bob, carol = speakers(*NAMES)
    allowed = GroupChat(
        [alice, bob, carol],
        allowed_or_disallowed_speaker_transitions={alice: [bob], bob: [alice, carol]},
        speaker_transitions_type="allowed",
    )
    disallowed = GroupChat(
        [alice, bob, carol],
        allowed_or_disallowed_speaker_transitions={alice: [bob]},
        speaker_transitions_type="disallowed",
    )

    assert allowed.may_follow(alice) == [bob]
    assert allowed.may_follow(bob) == [alice, carol]
    assert disallowed.may_follow(alice) == [alice, carol]
    assert disallowed.may_follow(bob) == [alice, bob, carol]
    assert allowed.may_follow(ConversableAgent("outside")) == [alice, bob, carol]


def test_chat_ends_where_nobody_may_follow(chat: Chat) -> None:
    user = UserProxyAgent("user", human_input_mode="NEVER")
    (alice,) = speakers("alice")
    groupchat = GroupChat(
        [user, alice], allowed_or_disallowed_speaker_transitions={user: [alice]}, speaker_transitions_type="allowed"
    )
    manager = GroupChatManager(groupchat, llm_config=LLM)
    chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "alice"]


@pytest.mark.parametrize(("repeat", "expected"), [(None, 3), (True, 3), (False, 2), (["alice"], 3), (["bob"], 2)])
def test_who_may_speak_twice_in_a_row(repeat: Any, expected: int) -> None:
    three = speakers(*NAMES)
    who = [agent for agent in three if agent.name in repeat] if isinstance(repeat, list) else repeat

    assert len(GroupChat(three, allow_repeat_speaker=who).may_follow(three[0])) == expected


def test_tool_s_call_is_answered_by_who_can_carry_it_out(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=({"name": "add", "arguments": '{"a": 1}'},)), Reply(text="two"))
    user, manager = group(max_round=4)
    alice, _, carol = members(manager)

    def add(a: int) -> int:
        return a + 1

    alice.register_for_llm(description="Add one")(add)
    carol.register_for_execution()(add)
    chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "alice", "carol", "user"]
    assert manager.groupchat.messages[2]["content"] == "2"


def test_selection_is_not_shown_calls_that_nobody_has_answered(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="alice"), when=is_selection)
    emulator.script(Reply(tool_calls=({"name": "add", "arguments": '{"a": 1}'},)))
    emulator.script(Reply(text="bob"), when=is_selection)
    user, manager = group("auto", max_round=3, func_call_filter=False)
    members(manager)[0].register_for_llm(description="Add one")(len_of)
    chat(user, manager, message="hello")
    asked = [call.body["messages"] for call in emulator.calls if is_selection(call)]

    assert all("tool_calls" not in message for message in asked[1])


def len_of(text: str) -> int:
    return len(text)


def test_call_that_nobody_can_carry_out_is_an_error(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(tool_calls=({"name": "len_of", "arguments": "{}"},)))
    user, manager = group()
    members(manager)[0].register_for_llm(description="Length")(len_of)

    with pytest.raises(ConfigurationError, match="no agent of the group can execute len_of"):
        chat(user, manager, message="hello")


# What else a group does.


def test_group_ends_at_its_last_round_or_on_a_word(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="go on"), Reply(text="TERMINATE"))
    user, manager = group(max_round=20)
    chat(user, manager, message="hello")

    assert spoken(manager) == ["user", "alice", "bob"]


def test_group_begins_anew_unless_its_history_is_kept(chat: Chat) -> None:
    user, manager = group(max_round=2)
    chat(user, manager, message="hello")
    chat(user, manager, message="hello again", clear_history=False)
    assert len(manager.groupchat.messages) == 4
    chat(user, manager, message="anew")

    assert manager.groupchat.messages[0]["content"] == "anew"
    assert len(manager.groupchat.messages) == 2
    manager.reset()
    assert manager.groupchat.messages == []


def test_everybody_is_introduced_where_that_is_wished(chat: Chat, emulator: Emulator) -> None:
    user, manager = group(max_round=2, send_introductions=True)
    chat(user, manager, message="hello")

    assert "alice: You are a helpful AI Assistant." in emulator.calls[0].body["messages"][1]["content"]
    assert spoken(manager) == ["user", "alice"]


def test_next_speaker_is_printed(chat: Chat, capsys: Any) -> None:
    user, manager = group(max_round=2)
    chat(user, manager, message="hello", silent=False)

    assert "\nNext speaker: alice\n" in capsys.readouterr().out


def test_admin_speaks_when_a_speaker_is_interrupted() -> None:
    class Interrupted(ConversableAgent):
        def generate_reply(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

    admin = ConversableAgent("Admin", human_input_mode="NEVER", default_auto_reply="I am here")
    pair = [admin, Interrupted("worker")]
    manager = GroupChatManager(GroupChat(pair, max_round=2, speaker_selection_method="round_robin"))
    admin.initiate_chat(manager, message="hello", silent=True)

    assert [message["content"] for message in manager.groupchat.messages] == ["hello", "I am here"]
    manager.groupchat.admin_name = "nobody"
    with pytest.raises(KeyboardInterrupt):
        admin.initiate_chat(manager, message="hello", silent=True)


@pytest.mark.parametrize(
    ("said", "rest", "left"),
    [
        ("Let us go on", "Let us go on", (3, 3)),
        ("Good. CLEAR HISTORY", "Good.", (0, 0)),
        ("clear history. Now go", "Now go", (0, 0)),
        ("CLEAR HISTORY 2 now", "now", (2, 2)),
        ("CLEAR HISTORY alice", "", (0, 3)),
        ({"content": "CLEAR HISTORY alice 1, please"}, {"content": "please"}, (1, 3)),
    ],
)
def test_history_is_cleared_on_a_word(said: Any, rest: Any, left: tuple[int, int]) -> None:
    _, manager = group()
    alice, bob = members(manager)[:2]
    for number in range(3):
        for agent in (alice, bob):
            manager.send(f"message {number}", agent, request_reply=False, silent=True)

    assert cleared(said, manager.groupchat) == rest
    assert (len(alice.chat_messages[manager]), len(bob.chat_messages[manager])) == left


def test_history_is_cleared_in_a_chat_where_that_is_allowed(chat: Chat, emulator: Emulator) -> None:
    emulator.script(Reply(text="CLEAR HISTORY now go on"))
    user, manager = group(max_round=3, enable_clear_history=True)
    chat(user, manager, message="hello")

    assert [message["content"][:9] for message in manager.groupchat.messages] == ["now go on", "Answer 2:"]


@pytest.mark.parametrize(
    "settings",
    [
        {"speaker_selection_method": "haiku"},
        {"max_round": 0},
        {"allowed_or_disallowed_speaker_transitions": {}},
        {
            "allowed_or_disallowed_speaker_transitions": {},
            "speaker_transitions_type": "allowed",
            "allow_repeat_speaker": True,
        },
        {
            "allowed_or_disallowed_speaker_transitions": {ConversableAgent("stranger"): []},
            "speaker_transitions_type": "allowed",
        },
    ],
)
def test_group_that_cannot_be_is_refused(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        GroupChat(speakers(*NAMES), **settings)


def test_groups_of_one_or_of_namesakes_or_without_a_model_are_refused(chat: Chat) -> None:
    with pytest.raises(ConfigurationError, match="names of their own"):
        GroupChat([*speakers("a"), *speakers("a")])
    user = UserProxyAgent("user", human_input_mode="NEVER")
    with pytest.raises(ConfigurationError, match="two agents or more"):
        chat(user, GroupChatManager(GroupChat([user])), message="hello")
    with pytest.raises(ConfigurationError, match="who has none"):
        chat(user, GroupChatManager(GroupChat([user, *speakers("a")])), message="hello")
    with pytest.raises(ConfigurationError, match="calls no tools"):
        GroupChatManager(GroupChat([user]), llm_config={**LLM, "tools": [{}]})
