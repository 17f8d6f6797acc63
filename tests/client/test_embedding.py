"""Embeddings beside each other, out of order, in another form: what is shared, what is told, what is paid."""

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
    Cache,
    Client,
    ConfigurationError,
    aembedding,
    completion_cost,
    embedding,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import joined, until

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
    emulator.wait_for_calls(1)
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
