"""Paid once, answered after: what a miss and its hit are to the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from ostinato import (
    Cache,
    completion,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, MODEL


def test_same_call_is_paid_once(ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        first, second = ask(MODEL, HELLO), ask(MODEL, HELLO)

    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert first == second
    assert first._hidden_params["cache_key"] == second._hidden_params["cache_key"]
    assert len(emulator.calls) == 1


def test_without_a_cache_every_call_is_paid(ask: Callable[..., Any], emulator: Emulator) -> None:
    ask(MODEL, HELLO)
    ask(MODEL, HELLO)

    assert len(emulator.calls) == 2


def test_an_answer_behind_a_byte_order_mark_is_read_and_kept(ask: Callable[..., Any], emulator: Emulator) -> None:
    body = {"id": "c", "choices": [{"index": 0, "message": {"content": "ö"}, "finish_reason": "stop"}]}
    emulator.script(Reply(raw_body=b"\xef\xbb\xbf" + msgspec.json.encode(body)))
    with Cache.memory():
        first, second = ask(MODEL, HELLO), ask(MODEL, HELLO)

    assert (first.choices[0].message.content, second.cache_hit, second) == ("ö", True, first)


def test_caller_who_changes_a_hit_changes_nothing_else(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        first = ask(MODEL, HELLO)
        spoilt = ask(MODEL, HELLO)
        spoilt.choices[0].message.content = "spoilt"
        spoilt.usage.prompt_tokens = 10**9
        third = ask(MODEL, HELLO)

    assert third == first


def test_message_of_ours_goes_back_as_it_is(ask: Callable[..., Any], emulator: Emulator) -> None:
    messages: list[Any] = [*HELLO]
    messages.append(ask(MODEL, messages).choices[0].message)
    messages.append({"role": "user", "content": "and?"})
    ask(MODEL, messages)

    assert emulator.calls[1].body["messages"][1] == messages[1].model_dump()


def test_message_whose_content_is_an_object_goes_back_as_its_json(ask: Callable[..., Any], emulator: Emulator) -> None:
    said = {"role": "assistant", "content": {"a": 1}}
    body = {"id": "c", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
    emulator.script(Reply(raw_body=msgspec.json.encode(body)))
    message = ask(MODEL, HELLO).choices[0].message
    ask(MODEL, [*HELLO, message, *HELLO])
    claude = {"api_base": emulator.anthropic_url, "api_key": "k"}
    ask("anthropic/claude-sonnet-4-5", [*HELLO, message, *HELLO], **claude)

    assert message.content == '{"a":1}'
    assert [call.body["messages"][1]["content"] for call in emulator.calls[1:]] == ['{"a":1}'] * 2


def test_message_from_a_hit_makes_the_same_key_as_from_the_miss(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        conversations = []
        for _ in range(2):
            answer = ask(MODEL, HELLO)
            conversations.append([*HELLO, answer.choices[0].message, {"role": "user", "content": "and?"}])
        ask(MODEL, conversations[0])

        assert ask(MODEL, conversations[1]).cache_hit


@pytest.fixture
def disk_cache(tmp_path: Any) -> Iterator[Cache]:
    cache = Cache.disk(cache_path_root=tmp_path)
    yield cache
    cache.close()


def test_disk_answers_another_cache_on_the_same_folder(
    ask: Callable[..., Any], disk_cache: Cache, tmp_path: Any
) -> None:
    first = ask(MODEL, HELLO, cache=disk_cache)
    disk_cache.close()
    with Cache.disk(cache_path_root=tmp_path):
        again = ask(MODEL, HELLO)

    assert again.cache_hit
    assert again == first


def test_values_of_ones_own_can_be_kept_beside(disk_cache: Cache) -> None:
    disk_cache.set("a", {"b": [1, None]})
    disk_cache.set("c", 5, ttl=100)

    assert disk_cache.get("a") == {"b": [1, None]}
    assert disk_cache.get("missing", 7) == 7
    assert disk_cache.delete("a")
    assert disk_cache.get("a") is None
    assert disk_cache.clear() == 1


def test_entry_can_be_deleted_by_its_key() -> None:
    with Cache.memory() as cache:
        key = completion(MODEL, HELLO)._hidden_params["cache_key"]
        assert cache.delete(key)
        assert not completion(MODEL, HELLO).cache_hit
