"""Embeddings: one entry an input, whatever else was asked for beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostinato import (
    APIResponseError,
    BadRequestError,
    Cache,
    ConfigurationError,
    RateLimitError,
    aembedding,
    embedding,
)
from ostinato.testing.emulator import Emulator, Reply

MODEL = "openai/text-embedding-3-small"


def embed_async(*args: Any, **kwargs: Any) -> Any:
    return asyncio.run(aembedding(*args, **kwargs))


@pytest.fixture(params=[embedding, embed_async], ids=["sync", "async"])
def embed(request: pytest.FixtureRequest) -> Any:
    return request.param


def vectors(answer: Any) -> list[Any]:
    return [item.embedding for item in answer.data]


def test_each_input_is_an_entry_and_only_the_new_are_asked_for(embed: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        first = embed(MODEL, ["a", "b"])
        second = embed(MODEL, ["c", "b", "a", "c"])
        third = embed(MODEL, "c")

    assert [call.body["input"] for call in emulator.calls] == [["a", "b"], ["c"]]
    assert vectors(second) == [vectors(third)[0], vectors(first)[1], vectors(first)[0], vectors(third)[0]]
    assert [item.index for item in second.data] == [0, 1, 2, 3]
    assert (first.cache_hit, second.cache_hit, third.cache_hit) == (False, False, True)


def test_duplicates_are_asked_for_once(embed: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        answer = embed(MODEL, ["a", "a", "a"])

    assert emulator.calls[0].body["input"] == ["a"]
    assert len({str(vector) for vector in vectors(answer)}) == 1
    assert len(answer.data) == 3


def test_hit_is_equal_to_its_miss(embed: Callable[..., Any]) -> None:
    with Cache.memory():
        first, second = embed(MODEL, ["a", "bc"]), embed(MODEL, ["a", "bc"])

    assert first == second
    assert second.cache_hit
    assert second.usage.prompt_tokens == second.usage.total_tokens > 0
    assert (first.cost > 0, second.cost, second.saved_cost == first.cost) == (True, 0.0, True)


def test_without_a_cache_the_vendors_answer_comes_as_it_is(embed: Callable[..., Any], emulator: Emulator) -> None:
    answer = embed(MODEL, ["a", "a"])

    assert emulator.calls[0].body["input"] == ["a", "a"]
    assert len(answer.data) == 2
    assert not answer.cache_hit


def test_changed_hit_changes_nothing_else(embed: Callable[..., Any]) -> None:
    with Cache.memory():
        first = embed(MODEL, "a")
        embed(MODEL, "a").data[0].embedding.clear()

        assert embed(MODEL, "a") == first


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"input": [1, 2, 3]}, {"input": [[1, 2, 3]]}, True),
        ({"input": "a"}, {"input": ["a"]}, True),
        ({"input": "a", "user": "x"}, {"input": "a", "user": "y"}, True),
        ({"input": "a", "dimensions": 8}, {"input": "a", "dimensions": 16}, False),
        ({"input": "a"}, {"input": "a", "encoding_format": "base64"}, False),
        ({"input": "a"}, {"input": "a "}, False),
        ({"input": "1"}, {"input": [1]}, False),
    ],
    ids=str,
)
def test_what_is_the_same_input(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    with Cache.memory():
        embedding(MODEL, **one)

        assert embedding(MODEL, **other).cache_hit is same


@pytest.mark.parametrize("value", [None, [], [1, "a"], [[]], [["a"]], 5, {"a": 1}, [None], [True]], ids=repr)
def test_input_that_is_none_is_refused_before_it_is_sent(
    value: Any, embed: Callable[..., Any], emulator: Emulator
) -> None:
    for cache in (None, Cache.memory()):
        with pytest.raises(BadRequestError, match="input"):
            embed(MODEL, value, cache=cache)
    assert not emulator.calls


@pytest.mark.parametrize("data", [[], [{"index": 0, "embedding": [0.5]}], "none"], ids=str)
def test_vendor_that_gives_too_few_is_an_error_and_nothing_is_stored(
    data: Any, embed: Callable[..., Any], emulator: Emulator
) -> None:
    import msgspec

    emulator.script(Reply(raw_body=msgspec.json.encode({"object": "list", "data": data})), times=None)
    cache = Cache.memory()
    with pytest.raises(APIResponseError):
        embed(MODEL, ["a", "b"], cache=cache, num_retries=0)

    assert cache.stats()["stored"] == 0
    assert cache.stats()["in_flight"] == 0


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "bedrock/amazon.titan-embed-text-v2:0"])
def test_vendor_without_embeddings_here_is_an_error(model: str, embed: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="no embeddings"):
        embed(model, "a")


def test_error_of_the_vendor_is_raised(embed: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=429), times=None)
    with Cache.memory(), pytest.raises(RateLimitError):
        embed(MODEL, ["a"], num_retries=0)


def test_custom_key_and_supported_call_types_hold_here_too(emulator: Emulator) -> None:
    cache = Cache.memory()
    cache.get_cache_key = lambda **arguments: str(arguments["input"]).lower()
    embedding(MODEL, ["A"], cache=cache)

    assert embedding(MODEL, ["a"], cache=cache).cache_hit
    assert not embedding(MODEL, ["a"], cache=Cache.memory(supported_call_types=["completion"])).cache_hit
