"""Bills that were worked out by hand, from what the vendor says to the money: whole, streamed, on a hit, in part."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ostinato import Cache, aembedding, completion_cost, embedding
from ostinato.testing.emulator import Emulator, Reply
from tests.client import test_costs, test_vendors
from tests.client.calls import HELLO
from tests.client.test_vendors import MODELS

vendors = test_vendors.vendors
streamed = test_costs.streamed


OPENAI_SAYS = {"prompt_tokens": 2000, "completion_tokens": 50, "total_tokens": 2050}
READ_1500 = {"prompt_tokens_details": {"cached_tokens": 1500}}
ANTHROPIC_SAYS = {
    "input_tokens": 100,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
    "output_tokens": 50,
}
CONVERSE_SAYS = {
    "inputTokens": 100,
    "cacheReadInputTokens": 5000,
    "cacheWriteInputTokens": 1000,
    "outputTokens": 50,
    "totalTokens": 6150,
}
TTLS = {"cacheDetails": [{"ttl": "5m", "inputTokens": 600}, {"ttl": "1h", "inputTokens": 400}]}
LONG_PROMPT = {
    "inputTokens": 5000,
    "cacheReadInputTokens": 240_000,
    "cacheWriteInputTokens": 5000,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 5000}],
    "outputTokens": 100,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "said", "dollars"),
    [
        ("openai/gpt-4o", {**OPENAI_SAYS, **READ_1500}, 0.003625),
        ("anthropic/claude-sonnet-4-5", ANTHROPIC_SAYS, 0.0072),
        ("bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", {**CONVERSE_SAYS, **TTLS}, 0.00792),
        ("bedrock/converse/us.anthropic.claude-3-7-sonnet-20250219-v1:0", {**CONVERSE_SAYS, **TTLS}, 0.0063),
        (
            "deepseek/deepseek-chat",
            {**OPENAI_SAYS, "prompt_cache_hit_tokens": 1500, "prompt_cache_miss_tokens": 500, **READ_1500},
            0.000203,
        ),
        ("bedrock/converse/amazon.nova-pro-v1:0", CONVERSE_SAYS, 0.00204),
        (
            "openai/responses/gpt-5.6",
            {
                "input_tokens": 2000,
                "input_tokens_details": {
                    "cached_tokens": 1000,
                    "cache_write_tokens": 500,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 300, "ttl_12h_tokens": 200},
                },
                "output_tokens": 0,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 2000,
            },
            0.0059,
        ),
        ("bedrock/converse/global.anthropic.claude-sonnet-4-5-20250929-v1:0", LONG_PROMPT, 0.23625),
    ],
)
def test_worked_checks_come_out_to_the_last_digit_from_what_the_vendor_says(
    model: str, said: dict[str, Any], dollars: float, stream: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    """The same figures whole, streamed and on a hit, whatever the vendor calls its counters."""
    emulator.script(Reply(usage=said))
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    with Cache.memory():
        answers = [ask(model, HELLO, max_tokens=50, **options) for _ in range(2)]
    paid, hit = (answer[-1] if stream else answer for answer in answers)

    assert (paid.cost, completion_cost(paid), hit.saved_cost) == (dollars, dollars, dollars)
    assert (hit.cost, completion_cost(hit)) == (0, 0)


def test_tier_and_region_and_tools_of_a_stream_are_paid_as_those_of_the_whole(
    ask: Callable[..., Any], emulator: Emulator
) -> None:
    said = {"input_tokens": 1000, "output_tokens": 100, "inference_geo": "us"}
    emulator.script(Reply(usage={**said, "server_tool_use": {"web_search_requests": 1}}), times=None)
    whole = ask("anthropic/claude-opus-4-8", HELLO)
    chunks = ask("anthropic/claude-opus-4-8", HELLO, stream=True, stream_options={"include_usage": True})

    assert whole.cost == 0.01825  # 5 and 2.5 thousandths, a tenth more, and a hundredth for the search
    assert chunks[-1].cost_details == whole.cost_details


def test_stream_tells_the_parts_of_its_cost(streamed: Callable[..., Any]) -> None:
    stream = streamed(MODELS["openai"])

    assert stream.cost_details.total == stream.cost_details.uncached + stream.cost_details.output > 0
    assert float(stream.cost_details) == stream.cost


def embed_async(*args: Any, **kwargs: Any) -> Any:
    return asyncio.run(aembedding(*args, **kwargs))


@pytest.mark.parametrize("embed", [embedding, embed_async])
def test_embeddings_that_are_partly_there_cost_what_went_upstream(embed: Callable[..., Any]) -> None:
    model, known, new = (
        "openai/text-embedding-3-small",
        ["a word", "two words"],
        ["a third input, longer than they are"],
    )
    with Cache.memory():
        before = embed(model, known)
        partly, again = (embed(model, [*new, *known]) for _ in range(2))
        alone = embed(model, new, cache=Cache.memory())

    assert alone.cost > 0
    assert (partly.cost, completion_cost(partly), partly.saved_cost) == (alone.cost, alone.cost, before.cost)
    assert partly._hidden_params["response_cost"] == alone.cost
    assert partly.cost_details.total == alone.cost_details.total + before.cost_details.total
    assert (again.cost, completion_cost(again), again.saved_cost) == (0, 0, float(partly.cost_details))
    assert partly == again


def test_embeddings_that_are_partly_there_and_unpriced_are_unknown() -> None:
    with Cache.memory():
        embedding("openai/nobody-sells-embeddings", ["a"])
        partly = embedding("openai/nobody-sells-embeddings", ["a", "b"])

    assert (partly.cost, partly.saved_cost, partly.cost_details) == (None, None, None)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_parts_of_the_price_of_embeddings_add_up_whatever_the_vendor_counted(size: int, emulator: Emulator) -> None:
    model, inputs = "openai/text-embedding-3-small", [f"input {number}" for number in range(size)]
    with Cache.memory():
        for end in range(1, size + 1):
            emulator.script(Reply(usage={"prompt_tokens": 7 * end + 1, "total_tokens": 7 * end + 1}))
            answer: Any = embedding(model, inputs[:end])
            parts = Decimal(str(answer.cost)) + Decimal(str(answer.saved_cost))

            assert parts == answer.cost_details.total
            assert answer.cost == float((7 * end + 1) * Decimal("2e-8")) == completion_cost(answer)


def test_more_reasoning_than_output_is_no_discount(ask: Callable[..., Any], emulator: Emulator) -> None:
    """OpenRouter has counted so."""
    emulator.script(Reply(usage={**OPENAI_SAYS, "completion_tokens_details": {"reasoning_tokens": 63}}))
    answer = ask(
        MODELS["openai"],
        HELLO,
        output_cost_per_reasoning_token=1e-06,
        input_cost_per_token=1e-06,
        output_cost_per_token=4e-06,
    )

    assert answer.usage.completion_tokens_details.reasoning_tokens == 50
    assert answer.cost_details.output == answer.cost_details.reasoning == Decimal("0.00005")
