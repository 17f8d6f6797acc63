"""Embeddings: one entry an input, whatever else was asked for beside it, in any order and form."""

from __future__ import annotations

import asyncio
import base64
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostinato import (
    APIResponseError,
    AsyncClient,
    AuthenticationError,
    BadRequestError,
    Cache,
    Client,
    ConfigurationError,
    RateLimitError,
    aembedding,
    completion_cost,
    embedding,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import LONG_S, joined, until

MODEL = "openai/text-embedding-3-small"


def embed_async(*args: Any, **kwargs: Any) -> Any:
    return asyncio.run(aembedding(*args, **kwargs))


@pytest.fixture(params=[embedding, embed_async], ids=["sync", "async"])
def embed(request: pytest.FixtureRequest) -> Any:
    """Ask for embeddings, in either world."""
    return request.param


def vectors(answer: Any) -> list[Any]:
    return [item.embedding for item in answer.data]


def reply(*items: Any, **rest: Any) -> Reply:
    body = {
        "object": "list",
        "model": "m",
        "data": list(items),
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        **rest,
    }
    return Reply(raw_body=msgspec.json.encode(body))


def item(index: int, value: float) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": [value]}


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


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_form_that_was_asked_for_is_the_form_that_a_hit_has(
    encoding_format: str, embed: Callable[..., Any], emulator: Emulator
) -> None:
    with Cache.memory():
        embed(MODEL, ["a"], encoding_format=encoding_format, dimensions=8)
        answer = embed(MODEL, ["b", "a"], encoding_format=encoding_format, dimensions=8)
    plain = embed(MODEL, ["b", "a"], dimensions=8)
    given = vectors(answer)
    if encoding_format == "base64":
        given = [list(struct.unpack("<8f", base64.b64decode(text))) for text in given]

    assert [len(vector) for vector in given] == [8, 8]
    assert [pytest.approx(vector) for vector in vectors(plain)] == given
    assert emulator.calls[1].body == {
        "model": "text-embedding-3-small",
        "input": ["b"],
        "encoding_format": encoding_format,
        "dimensions": 8,
    }


def test_token_arrays_are_inputs_of_their_own(embed: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        one = embed(MODEL, [1, 2, 3])
        several = embed(MODEL, [[4, 5], [1, 2, 3], [4, 5]])

    assert [call.body["input"] for call in emulator.calls] == [[[1, 2, 3]], [[4, 5]]]
    assert vectors(several)[1] == vectors(one)[0]
    assert vectors(several)[0] == vectors(several)[2] != vectors(one)[0]


def test_items_out_of_order_reach_their_inputs(embed: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(reply(item(2, 0.25), item(0, 0.5), item(1, 0.75)))
    with Cache.memory():
        first = embed(MODEL, ["a", "b", "c"])
        again = embed(MODEL, ["c", "b", "a"])

    assert vectors(first) == [[0.5], [0.75], [0.25]]
    assert vectors(again) == [[0.25], [0.75], [0.5]]
    assert again.cache_hit


@pytest.mark.parametrize(
    "items",
    [
        [item(0, 0.5)],
        [item(0, 0.5), item(1, 0.5), item(2, 0.5)],
        [item(0, 0.5), item(0, 0.5)],
        [item(0, 0.5), item(5, 0.5)],
        [item(0, 0.5), {"index": 1}],
        [item(0, 0.5), {"index": 1, "embedding": []}],
        [item(0, 0.5), None],
    ],
    ids=["too few", "too many", "one twice", "another's", "none", "empty", "null"],
)
def test_answer_that_does_not_fit_its_inputs_is_an_error_and_nothing_is_kept(
    items: list[Any], embed: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.script(reply(*items))
    with Cache.memory() as cache:
        with pytest.raises(APIResponseError):
            embed(MODEL, ["a", "b"], num_retries=0)
        assert cache.stats()["stored"] == 0
        fine = embed(MODEL, ["a", "b"])

    assert len(fine.data) == 2
    assert len(emulator.calls) == 2


def test_error_of_one_call_leaves_what_was_there(embed: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        first = embed(MODEL, ["a"])
        emulator.script(Reply(status=401))
        with pytest.raises(AuthenticationError):
            embed(MODEL, ["a", "b"], num_retries=0)
        again = embed(MODEL, ["a"])

    assert again == first
    assert again.cache_hit


def test_passing_error_is_tried_again(embed: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=503, headers={"retry-after": "0.001"}), times=2)
    with Cache.memory():
        embed(MODEL, ["a", "b"])
        assert embed(MODEL, ["b"]).cache_hit
    assert len(emulator.calls) == 3


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_tokens_of_a_request_are_shared_out_without_a_remainder(
    count: int, embed: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.script(reply(*(item(index, 0.5) for index in range(count))))
    inputs = [str(index) for index in range(count)]
    with Cache.memory():
        paid, hit = embed(MODEL, inputs), embed(MODEL, inputs)
        alone = [embed(MODEL, value).usage.prompt_tokens for value in inputs]

    assert paid.usage.prompt_tokens == hit.usage.prompt_tokens == sum(alone) == 7
    assert max(alone) - min(alone) <= 1


def test_answer_without_usage_has_none_with_and_without_a_cache(embed: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(
        Reply(raw_body=msgspec.json.encode({"object": "list", "model": "m", "data": [item(0, 0.5)]})), times=2
    )
    with Cache.memory():
        answers = [embed(MODEL, "a"), embed(MODEL, "a"), embed(MODEL, "a", caching=False)]

    assert [answer.usage for answer in answers] == [None, None, None]
    assert [answer.cost for answer in answers] == [None, 0, None]


def test_what_a_vendor_counts_and_states_beside_tokens_is_kept_and_shared_out(
    embed: Callable[..., Any], emulator: Emulator
) -> None:
    usage = {"prompt_tokens": 7, "total_tokens": 7, "cost": 0.1, "is_byok": False, "cost_details": {"upstream": 1e-7}}
    emulator.script(
        Reply(raw_body=msgspec.json.encode({"data": [item(place, 0.5) for place in range(3)], "usage": usage}))
    )
    more = {"data": [item(0, 0.5)], "usage": {**usage, "cost": 0.25}}
    emulator.script(Reply(raw_body=msgspec.json.encode(more)))
    there = {"api_base": emulator.base_url, "api_key": "k"}
    with Cache.memory():
        first = embed("openrouter/some/model", ["a", "b", "c"], **there)
        mixed = embed("openrouter/some/model", ["b", "c", "a", "d"], **there)
        again = embed("openrouter/some/model", ["a", "b", "c"], **there)

    assert first.usage == again.usage == usage
    assert (first.cost, again.cost, again.saved_cost) == (0.1, 0, 0.1)
    assert (mixed.usage["cost"], mixed.cost, mixed.saved_cost) == (0.35, 0.25, 0.1)


def test_usage_and_price_without_a_cache_are_the_vendor_s(embed: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(reply(item(0, 0.5), item(1, 0.5), model="text-embedding-3-small", more={"kept": 1}))
    answer = embed(MODEL, ["a", "b"])

    assert answer["more"] == {"kept": 1}
    assert answer.usage == {"prompt_tokens": 7, "total_tokens": 7}
    assert answer.cost == completion_cost(answer) == 1.4e-07  # 7 at 0.02 a million


def test_what_the_vendor_says_beside_the_items_survives_a_hit(embed: Callable[..., Any], emulator: Emulator) -> None:
    odd = {**item(0, 0.5), "truncated": True}
    emulator.script(reply(odd, more={"kept": 1}))
    with Cache.memory():
        paid, hit = embed(MODEL, "a"), embed(MODEL, "a")

    assert paid == hit
    assert (hit["more"], hit.data[0].truncated) == ({"kept": 1}, True)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_entries_are_shared_by_both_worlds_and_outlive_the_cache_on_disk(
    kind: str, tmp_path: Path, emulator: Emulator
) -> None:
    def open_cache() -> Cache:
        return Cache.memory() if kind == "memory" else Cache.disk(cache_path_root=tmp_path)

    cache = open_cache()
    with cache:
        first: Any = embedding(MODEL, ["a", "b"])
        assert embed_async(MODEL, ["b", "a"]).cache_hit
    if kind == "disk":
        cache.close()
        cache = open_cache()
    with cache:
        again = embed_async(MODEL, ["a", "b"])

    assert again == first
    assert again.cache_hit
    assert len(emulator.calls) == 1


def test_who_joins_another_s_request_pays_nothing(
    emulator: Emulator, gate: threading.Event, pool: ThreadPoolExecutor
) -> None:
    emulator.script(Reply(gate=gate))
    cache = Cache.memory()
    leader = pool.submit(embedding, MODEL, ["a", "b"], cache=cache)
    emulator.wait_for_calls(1, LONG_S)
    follower = pool.submit(embed_async, MODEL, ["b"], cache=cache)
    until(joined(cache, 1))
    gate.set()
    paid, shared = leader.result(), follower.result()

    assert len(emulator.calls) == 1
    assert vectors(shared) == [vectors(paid)[1]]
    assert (completion_cost(paid), paid.saved_cost) == (paid.cost, 0)
    assert paid.cost
    assert (shared.cost, completion_cost(shared), shared.saved_cost > 0) == (0, 0, True)


def test_clients_of_ones_own_embed_too(emulator: Emulator) -> None:
    async def run() -> Any:
        async with AsyncClient(Cache.memory()) as client:
            return [await client.aembedding(MODEL, "a") for _ in range(2)]

    with Client(Cache.memory()) as client:
        waited = [client.embedding(MODEL, "a") for _ in range(2)]

    for first, second in (waited, asyncio.run(run())):
        assert (first.cache_hit, second.cache_hit) == (False, True)
        assert first == second
    assert len(emulator.calls) == 2


def test_model_without_a_vendor_is_an_error(embed: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError):
        embed("nobody/embeds", "a")
