"""What a call and a cache can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ostinato import (
    Cache,
    ConfigurationError,
    completion,
)
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator
from tests.client.calls import HELLO, MODEL


def test_caching_false_neither_reads_nor_stores(ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory() as cache:
        ask(MODEL, HELLO, caching=False)
        assert cache.stats()["stored"] == 0
        ask(MODEL, HELLO)
        assert not ask(MODEL, HELLO, caching=False).cache_hit
    assert len(emulator.calls) == 3


def test_no_cache_skips_the_read_and_stores(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        first = ask(MODEL, HELLO)
        second = ask(MODEL, HELLO, cache={"no-cache": True})
        third = ask(MODEL, HELLO)

    assert not second.cache_hit
    assert second != first
    assert third == second


def test_no_store_reads_and_does_not_store(ask: Callable[..., Any]) -> None:
    with Cache.memory() as cache:
        ask(MODEL, HELLO, cache={"no-store": True})
        assert cache.stats()["stored"] == 0
        ask(MODEL, HELLO)
        assert ask(MODEL, HELLO, cache={"no-store": True}).cache_hit


def test_ttl_of_the_call_goes_before_the_caches(ask: Callable[..., Any]) -> None:
    clock = ManualClock()
    with Cache.memory(ttl=100, clock=clock):
        ask(MODEL, HELLO, cache={"ttl": 10})
        clock.advance(9)
        assert ask(MODEL, HELLO).cache_hit
        clock.advance(2)
        assert not ask(MODEL, HELLO).cache_hit
        clock.advance(99)
        assert ask(MODEL, HELLO).cache_hit
        clock.advance(2)
        assert not ask(MODEL, HELLO).cache_hit


def test_s_maxage_takes_only_young_entries(ask: Callable[..., Any]) -> None:
    clock = ManualClock()
    with Cache.memory(clock=clock):
        ask(MODEL, HELLO)
        clock.advance(5)
        assert ask(MODEL, HELLO, cache={"s-maxage": 5}).cache_hit
        assert not ask(MODEL, HELLO, cache={"s-maxage": 4}).cache_hit
        assert ask(MODEL, HELLO, cache={"s-maxage": 0}).cache_hit


def test_default_off_is_opted_in(ask: Callable[..., Any]) -> None:
    with Cache.memory(mode="default_off"):
        assert not ask(MODEL, HELLO).cache_hit
        assert not ask(MODEL, HELLO, cache={"use-cache": True}).cache_hit
        assert not ask(MODEL, HELLO).cache_hit
        assert ask(MODEL, HELLO, cache={"use-cache": True}).cache_hit


def test_namespaces_are_apart(ask: Callable[..., Any]) -> None:
    with Cache.memory(namespace="a"):
        ask(MODEL, HELLO)
        assert not ask(MODEL, HELLO, cache={"namespace": "b"}).cache_hit
        assert ask(MODEL, HELLO, cache={"namespace": "a"}).cache_hit


@pytest.mark.parametrize(
    ("controls", "complaint"),
    [
        ({"ttl": -1}, "'ttl'"),
        ({"ttl": 0}, "'ttl'"),
        ({"ttl": "5"}, "'ttl'"),
        ({"ttl": True}, "'ttl'"),
        ({"ttl": float("nan")}, "'ttl'"),
        ({"s-maxage": -1}, "'s-maxage'"),
        ({"no-cache": "yes"}, "'no-cache'"),
        ({"namespace": 5}, "'namespace'"),
        ({"no_cache": True}, "did you mean 'no-cache'"),
        ([1], "a Cache or a dict"),
        ("redis", "a Cache or a dict"),
    ],
)
def test_wrong_control_is_an_error_that_says_so(controls: Any, complaint: str, emulator: Emulator) -> None:
    with Cache.memory(), pytest.raises(ConfigurationError, match=complaint):
        completion(MODEL, HELLO, cache=controls)
    assert not emulator.calls


@pytest.mark.parametrize(
    "settings",
    [
        {"ttl": -1},
        {"ttl": 0},
        {"max_bytes": 0},
        {"max_bytes": -5},
        {"mode": "sometimes"},
        {"supported_call_types": ["x"]},
    ],
    ids=str,
)
def test_wrong_setting_is_an_error(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        Cache.memory(**settings)


def test_unknown_cache_type_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="memory, disk"):
        Cache(type="floppy")


def test_a_mapping_of_settings_is_no_cache_type_and_is_not_told() -> None:
    with pytest.raises(ConfigurationError, match="settings go by keyword") as caught:
        Cache({"cache_seed": 42, "redis_url": "redis://:planted@there"})  # type: ignore[arg-type]
    assert "planted" not in str(caught.value)


def test_supported_call_types_limit_what_is_cached() -> None:
    with Cache.memory(supported_call_types=["embedding"]) as cache:
        completion(MODEL, HELLO)

    assert cache.stats()["stored"] == 0


def test_custom_key_sees_the_calls_own_arguments_and_is_used(ask: Callable[..., Any]) -> None:
    seen: list[dict[str, Any]] = []

    def key(*args: Any, **kwargs: Any) -> str:
        seen.append(kwargs)
        return str(kwargs["model"]) + str(kwargs.get("temperature", ""))

    cache = Cache.memory()
    cache.get_cache_key = key
    with cache:
        ask(MODEL, HELLO, temperature=0.5)
        hit = ask(MODEL, [{"role": "user", "content": "something else"}], temperature=0.5)
        other = ask(MODEL, HELLO, temperature=0.6)

    assert hit.cache_hit
    assert not other.cache_hit
    assert seen[0] == {"model": MODEL, "messages": HELLO, "temperature": 0.5}


def test_custom_key_stays_within_the_namespace() -> None:
    cache = Cache.memory()
    cache.get_cache_key = lambda **_: "one"
    with cache:
        completion(MODEL, HELLO)
        assert not completion(MODEL, HELLO, cache={"namespace": "other"}).cache_hit
        assert completion(MODEL, HELLO).cache_hit


def test_custom_key_that_is_no_string_is_an_error() -> None:
    cache = Cache.memory()
    cache.get_cache_key = lambda **_: 5  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="must return a string"):
        completion(MODEL, HELLO, cache=cache)


def test_hosted_tools_bypass_the_cache_unless_the_call_asks() -> None:
    search = "openai/gpt-4o-search-preview"
    with Cache.memory() as cache:
        completion(search, HELLO)
        completion(search, HELLO)
        assert cache.stats()["stored"] == 0
        completion(search, HELLO, cache={"ttl": 60})
        assert completion(search, HELLO, cache={"ttl": 60}).cache_hit
        assert not completion(search, HELLO).cache_hit
