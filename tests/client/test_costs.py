"""What a call costs, whoever is asked: the answer, its stream, `completion_cost`, and a hand with a pencil."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import ostinato
from ostinato import Cache, ConfigurationError, acompletion, aembedding, completion_cost, embedding
from ostinato.testing.emulator import Emulator, Reply
from tests.client import test_vendors
from tests.client.calls import HELLO
from tests.client.test_vendors import LONG, MODELS

completion: Callable[..., Any] = ostinato.completion
vendors = test_vendors.vendors
"""Every vendor at the emulator, for every test here."""

UNPRICED = {"ollama", "vllm", "compatible"}
"""Vendors whose models nobody sells by the token."""
OURS = {"input_cost_per_token": 1e-06, "output_cost_per_token": 4e-06}
INPUT, OUTPUT = Decimal("0.000003"), Decimal("0.000015")
READ, WRITTEN, WRITTEN_1H = Decimal("0.0000003"), Decimal("0.00000375"), Decimal("0.000006")
"""US dollars a token of Claude Sonnet 4.5.

Source: https://platform.claude.com/docs/en/about-claude/pricing (read 2026-11-22)."""


def read_stream(model: str, **params: Any) -> Any:
    stream = completion(model, HELLO, stream=True, **params)
    list(stream)
    return stream


def read_stream_async(model: str, **params: Any) -> Any:
    async def run() -> Any:
        stream: Any = await acompletion(model, HELLO, stream=True, **params)
        async for _ in stream:
            pass
        return stream

    return asyncio.run(run())


@pytest.fixture(params=[read_stream, read_stream_async], ids=["sync", "async"])
def streamed(request: pytest.FixtureRequest) -> Any:
    """Read a stream to its end and return it, in either world."""
    return request.param


@pytest.mark.parametrize("name", MODELS)
def test_every_way_of_asking_agrees_exactly(name: str, ask: Callable[..., Any]) -> None:
    model = MODELS[name]
    answer = ask(model, HELLO, max_tokens=50)
    details = answer.cost_details

    assert (answer.cost is None) is (name in UNPRICED)
    assert answer.cost == completion_cost(answer) == completion_cost(completion_response=answer, model=model)
    assert answer.cost == answer._hidden_params["response_cost"]
    assert answer.saved_cost == 0
    if details is not None:
        assert answer.cost == float(details.total) > 0
        assert details.total == details.uncached + details.read + sum(details.written.values()) + details.output


@pytest.mark.parametrize("name", MODELS)
def test_hit_costs_nothing_and_says_what_it_saved(name: str, ask: Callable[..., Any]) -> None:
    with Cache.memory():
        paid, hit = (ask(MODELS[name], HELLO, max_tokens=50) for _ in range(2))

    assert hit.cache_hit
    assert (hit.cost, completion_cost(hit), hit._hidden_params["response_cost"]) == (0, 0, 0)
    assert (hit.saved_cost, hit.cost_details) == (paid.cost, paid.cost_details)


@pytest.mark.parametrize("name", MODELS)
def test_stream_costs_what_the_whole_costs(name: str, streamed: Callable[..., Any], ask: Callable[..., Any]) -> None:
    with Cache.memory():
        paid, hit = (streamed(MODELS[name], max_tokens=50) for _ in range(2))
        whole = ask(MODELS[name], HELLO, max_tokens=50)

    assert (paid.cost is None) is (name in UNPRICED)
    assert whole.cache_hit
    assert paid.cost == hit.saved_cost == whole.saved_cost
    assert (paid.saved_cost, hit.cost) == (0, 0)


def test_last_chunk_says_what_its_stream_cost(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        chunks = ask(MODELS["openai"], HELLO, stream=True, stream_options={"include_usage": True})
        again = ask(MODELS["openai"], HELLO, stream=True, stream_options={"include_usage": True})

    last = chunks[-1]

    assert last.cost == completion_cost(last)
    assert last.cost > 0
    assert (again[-1].cost, completion_cost(again[-1]), again[-1].saved_cost) == (0, 0, last.cost)


def test_stream_without_usage_has_no_price_yet() -> None:
    stream = completion(MODELS["openai"], HELLO, stream=True)

    assert (stream.cost, stream.usage) == (None, None)


def test_answer_without_usage_has_no_price_and_not_0(ask: Callable[..., Any], emulator: Emulator) -> None:
    choice = b'{"index": 0, "finish_reason": "stop", "message": {"content": "a"}}'
    emulator.script(Reply(raw_body=b'{"id": "x", "model": "gpt-4o", "choices": [%s]}' % choice))
    answer = ask(MODELS["openai"], HELLO)

    assert (answer.cost, answer.usage, completion_cost(answer)) == (None, None, None)


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_written_prompt_costs_what_the_price_list_says_to_the_last_digit(ttl: str, ask: Callable[..., Any]) -> None:
    mark = {"type": "ephemeral", "ttl": ttl}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": LONG, "cache_control": mark}]},
        {"role": "user", "content": "What are the key terms?"},
    ]
    wrote, read = (ask(MODELS["anthropic"], messages, max_tokens=10) for _ in range(2))
    prefix, rest, said = wrote.usage.cache_creation_input_tokens, wrote.usage.uncached_tokens, wrote.usage
    rate = WRITTEN if ttl == "5m" else WRITTEN_1H
    costs = [
        prefix * rate + rest * INPUT + said.completion_tokens * OUTPUT,
        prefix * READ + rest * INPUT + read.usage.completion_tokens * OUTPUT,
    ]

    assert (prefix > 1000, rest > 0, read.usage.cache_read_input_tokens) == (True, True, prefix)
    assert [wrote.cost_details.total, read.cost_details.total] == costs
    assert [wrote.cost, read.cost] == [float(cost) for cost in costs]
    assert wrote.cost_details.written == {ttl: prefix * rate}
    assert wrote.cost_details.prompt_cache_saving == prefix * (INPUT - rate)
    assert read.cost_details.prompt_cache_saving == prefix * (INPUT - READ)


def test_openai_s_automatic_reads_are_half_price() -> None:
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": "q"}]
    first, second = (completion(MODELS["openai"], messages, max_tokens=10) for _ in range(2))
    read = second.usage.prompt_tokens_details.cached_tokens
    cost = (
        second.usage.uncached_tokens * Decimal("0.0000025")
        + read * Decimal("0.00000125")
        + second.usage.completion_tokens * Decimal("0.00001")
    )

    assert read > 1000
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert second.cost_details.total == cost
    assert second.cost == float(cost)


def test_model_that_answered_is_priced_and_not_the_one_that_was_asked(emulator: Emulator) -> None:
    body = (
        b'{"id": "x", "model": "%s", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "a"}}],'
        b' "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}'
    )
    emulator.script(Reply(raw_body=body % b"gpt-4o-mini-2024-07-18"), Reply(raw_body=body % b"none-that-is-known"))
    mini, unknown = (completion(MODELS["openai"], HELLO) for _ in range(2))

    assert mini.cost == completion_cost(mini) == 0.00021  # 1000 at 0.15 and 100 at 0.60 a million
    assert unknown.cost == completion_cost(unknown, model=MODELS["openai"]) == 0.0035  # by what was asked for


def test_unknown_model_is_none_and_one_warning(ask: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    model = f"openai/nobody-sells-{ask.__name__}"
    with caplog.at_level(logging.WARNING, "ostinato"), Cache.memory():
        answers = [ask(model, HELLO), ask(model, HELLO), ask(model, HELLO, temperature=0.5)]
        costs = [(answer.cost, completion_cost(answer), answer.saved_cost, answer.cost_details) for answer in answers]
    warned = [record.getMessage() for record in caplog.records if "not priced" in record.getMessage()]

    assert costs == [(None, None, 0, None), (0, 0, None, None), (None, None, 0, None)]
    assert len(warned) == 1
    assert model in warned[0]


@pytest.mark.parametrize("name", MODELS)
def test_prices_of_the_call_s_own_price_it_and_never_reach_the_vendor(
    name: str, ask: Callable[..., Any], streamed: Callable[..., Any], emulator: Emulator
) -> None:
    more = {
        "cache_read_input_token_cost": 1e-07,
        "cache_creation_input_token_cost": 2e-06,
        "output_cost_per_reasoning_token": 4e-06,
        "input_cost_per_token_above_200k_tokens": 2e-06,
    }
    with Cache.memory():
        paid = ask(MODELS[name], HELLO, max_tokens=50, **OURS, **more)
        hit = ask(MODELS[name], HELLO, max_tokens=50, **OURS)
        dearer = ask(MODELS[name], HELLO, max_tokens=50, input_cost_per_token=1, output_cost_per_token=1)
        stream = streamed(MODELS[name], max_tokens=50, **OURS)
    cost = paid.usage.prompt_tokens * Decimal("0.000001") + paid.usage.completion_tokens * Decimal("0.000004")

    assert paid.cost == float(cost) == hit.saved_cost == stream.saved_cost == completion_cost(paid)
    assert paid._hidden_params["response_cost"] == paid.cost
    assert dearer.saved_cost == paid.usage.total_tokens
    assert (hit.cost, stream.cost) == (0, 0)
    assert len(emulator.calls) == 1
    assert b"cost" not in emulator.calls[0].raw


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "prices",
    [
        {"input_cost_per_token": 1e-06},
        {"cache_read_input_token_cost": 1e-06},
        {"input_cost_per_token": "free", "output_cost_per_token": 1e-06},
        {"input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06},
    ],
    ids=str,
)
def test_prices_that_are_none_are_told_before_anything_is_paid(
    prices: dict[str, Any], stream: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    for cache in (None, Cache.memory()):
        with pytest.raises(ConfigurationError, match="cost_per_token"):
            ask(MODELS["openai"], HELLO, stream=stream, cache=cache, **prices)
    assert not emulator.calls


def test_embeddings_take_a_price_of_their_own_for_input_alone(emulator: Emulator) -> None:
    def ask_async(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(aembedding(*args, **kwargs))

    for embed in (embedding, ask_async):
        with Cache.memory():
            paid: Any
            hit: Any
            paid, hit = (embed("openai/any", ["a", "bc"], input_cost_per_token=0.5) for _ in range(2))

        assert paid.cost == completion_cost(paid, custom_cost_per_token={**OURS, "input_cost_per_token": 0.5})
        assert (paid.cost, hit.cost, hit.saved_cost) == (paid.usage.prompt_tokens / 2, 0, paid.cost)
    assert not any(b"cost" in call.raw for call in emulator.calls)


def test_tier_of_converse_counts_in_the_price(ask: Callable[..., Any], emulator: Emulator) -> None:
    ostinato.register_model(
        {"bedrock/tiered": {**OURS, "input_cost_per_token_flex": 5e-07, "output_cost_per_token_flex": 2e-06}}
    )
    said = (
        b'{"output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": "end_turn",'
        b' "usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}%s}'
    )
    emulator.script(Reply(raw_body=said % b""), Reply(raw_body=said % b', "serviceTier": {"type": "flex"}'))
    standard, flex = (ask("bedrock/converse/tiered", HELLO) for _ in range(2))

    assert (standard.cost, flex.cost) == (0.0014, 0.0007)
    assert completion_cost(flex) == flex.cost


def test_what_a_user_has_read_of_the_usage_changes_no_price(ask: Callable[..., Any], emulator: Emulator) -> None:
    run = b'{"type": "%s", "input_tokens": 100, "output_tokens": 10%s}'
    runs = [run % (b"message", b""), run % (b"advisor_message", b', "model": "claude-opus-4-8"')]
    body = (
        b'{"id": "x", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn",'
        b' "content": [{"type": "text", "text": "a"}],'
        b' "usage": {"input_tokens": 100, "output_tokens": 10, "iterations": [%s]}}' % b", ".join(runs)
    )
    emulator.script(Reply(raw_body=body))
    answer = ask(MODELS["anthropic"], HELLO)
    before = answer.cost

    assert [iteration.input_tokens for iteration in answer.usage.iterations] == [100, 100]
    assert answer.cost == completion_cost(answer) == before == 0.0012  # 450 and 750 millionths
