"""Conversations over every store: the agents do not know which it is, and go on when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import GroupChat, GroupChatManager, OpenAIWrapper, UserProxyAgent
from ostinato.caching import Cache
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import HELLO, LLM, contents, speakers
from tests.stores.cosmos_emulator import CosmosEmulator
from tests.stores.redis_server import RedisServer, binaries, free_port

Chat = Callable[..., Any]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0]) as running:
        yield running


@pytest.fixture(scope="module")
def account() -> Iterator[CosmosEmulator]:
    with CosmosEmulator() as running:
        yield running


@pytest.fixture(params=["memory", "disk", "redis", "cosmos_db", "tiered"])
def open_cache(request: pytest.FixtureRequest, folder: Path) -> Callable[[], Cache]:
    """Return what opens one cache of each kind again and again, as one process after another does."""
    seed = f"{request.node.name}"
    match request.param:
        case "memory":
            store = Cache.memory().store
            return lambda: Cache(store=store)
        case "disk":
            return lambda: Cache.disk(cache_path_root=folder / "own")
        case "redis":
            url = request.getfixturevalue("redis_server").url
            return lambda: Cache.redis(redis_url=url, cache_seed=seed)
        case "cosmos_db":
            connection = request.getfixturevalue("account").connection_string
            return lambda: Cache.cosmos_db(connection_string=connection, cache_seed=seed)
        case _:
            url = request.getfixturevalue("redis_server").url
            return lambda: Cache.tiered(Cache.memory(), Cache.redis(redis_url=url, cache_seed=seed))


class Person(UserProxyAgent):
    asked = 0

    def get_human_input(self, prompt: str) -> str:
        type(self).asked += 1
        return f"said {self.asked}"


def test_group_with_chance_tools_streams_and_people_is_repeated_from_every_store(
    chat: Chat, emulator: Emulator, open_cache: Callable[[], Cache]
) -> None:
    emulator.script(Reply(tool_calls=({"name": "double", "arguments": '{"a": 4}'},)))
    Person.asked = 0

    def double(a: int) -> int:
        return 2 * a

    def hold() -> Any:
        user = Person("user", llm_config=LLM)
        members = speakers("alice", "bob", "carol", stream=True)
        for member in members:
            member.register_for_llm(description="Double")(double)
        members[0].register_for_execution()(double)
        group = GroupChat([user, *members], max_round=8, speaker_selection_method="random")
        with open_cache() as cache:
            manager = GroupChatManager(group, llm_config=LLM)
            return chat(user, manager, message="hello", cache=cache, record_human_input=True)

    cold = hold()
    asked, calls = Person.asked, len(emulator.calls)
    warm = hold()

    assert warm.chat_history == cold.chat_history
    assert warm.human_input == cold.human_input
    assert (Person.asked, len(emulator.calls)) == (asked, calls)


def test_store_that_is_down_is_no_reason_to_fail(chat: Chat, emulator: Emulator) -> None:
    first, second = speakers("first", "second")
    with Cache.redis(redis_url=f"redis://127.0.0.1:{free_port()}") as cache:
        result = chat(first, second, message="hello", max_turns=2, cache=cache)

        assert len(contents(result)) == 4
        assert cache.stats()["store_errors"] > 0


def test_file_that_was_spoiled_is_no_reason_to_fail(chat: Chat, folder: Path) -> None:
    def hold() -> Any:
        first, second = speakers("first", "second")
        with Cache.disk(cache_path_root=folder / "own") as cache:
            return chat(first, second, message="hello", max_turns=1, cache=cache)

    hold()
    with sqlite3.connect(next(folder.glob("own/42/cache.db"))) as connection:
        (table,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%value%'"
        ).fetchone()
        connection.execute(f"UPDATE {table} SET value = x'00'")
    connection.close()

    assert len(contents(hold())) == 2


def test_same_model_at_two_addresses_is_two_entries(emulator: Emulator) -> None:
    with Emulator() as other:
        answers = [
            OpenAIWrapper(config_list=[{"model": "gpt-4o", "base_url": url}]).create(messages=HELLO)
            for url in (emulator.base_url, other.base_url)
        ]

        assert [answer.cache_hit for answer in answers] == [False, False]
        assert (len(emulator.calls), len(other.calls)) == (1, 1)


def test_order_of_settings_and_the_kind_of_a_number_make_no_difference() -> None:
    asked = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    asked.create(messages=HELLO, temperature=1, top_p=0.5, stream=False)

    assert asked.create(top_p=0.5, messages=[{"content": "hello", "role": "user"}], temperature=1.0).cache_hit


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SENT: list[dict[str, Any]] = [
    {"temperature": 0.5},
    {"top_p": 0.5},
    {"max_tokens": 5},
    {"seed": 3},
    {"stop": "x"},
    {"n": 2},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "required"},
    {"logprobs": True},
    {"messages": [*HELLO, *HELLO]},
    {"messages": [{**HELLO[0], "name": "somebody"}]},
    {"extra_body": {"custom": 1}},
]


@pytest.mark.parametrize("changed", SENT)
def test_everything_that_is_sent_makes_another_entry(changed: dict[str, Any]) -> None:
    asked = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    asked.create(messages=HELLO)

    assert not asked.create(**{"messages": HELLO, **changed}).cache_hit
    assert asked.create(**{"messages": HELLO, **changed}).cache_hit


def test_changing_an_answer_changes_no_entry() -> None:
    asked = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    first = asked.create(messages=HELLO)
    text = first.choices[0].message.content
    first.choices[0].message["content"] = "changed"
    second = asked.create(messages=HELLO)

    assert second.choices[0].message.content == text
    assert not first.cache_hit
