"""Our arithmetic against that of genai-prices, over usages that nobody wrote down."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.pricing import price
from ostinato.pricing.table import find
from ostinato.wire.tokens import Tokens

genai_prices = pytest.importorskip("genai_prices", reason="genai-prices is a development tool")

MODELS = [
    ("openai", "openai", "gpt-4o"),
    ("openai", "openai", "gpt-4o-mini-2024-07-18"),
    ("openai", "openai", "gpt-3.5-turbo"),
    ("openai", "openai", "gpt-4.1"),
    ("openai", "openai", "gpt-5"),
    ("openai", "openai", "gpt-5.2-20251211"),
    ("openai", "openai", "gpt-5.4"),
    ("openai", "openai", "gpt-5.5-pro"),
    ("openai", "openai", "gpt-5.6"),
    ("openai", "openai", "gpt-5.6-luna"),
    ("openai", "openai", "gpt-6-astra"),
    ("openai", "openai", "gpt-6.1-terra"),
    ("openai", "openai", "o1"),
    ("openai", "openai", "o3"),
    ("openai", "openai", "o4-mini"),
    ("openai", "openai", "text-embedding-3-small"),
    ("openai", "openai", "ft:gpt-4o-2024-08-06:org::x"),
    ("anthropic", "anthropic", "claude-3-5-sonnet-20240620"),
    ("anthropic", "anthropic", "claude-3-haiku-20240307"),
    ("anthropic", "anthropic", "claude-opus-4-1"),
    ("anthropic", "anthropic", "claude-opus-4-6"),
    ("anthropic", "anthropic", "claude-sonnet-4-5-20250929"),
    ("anthropic", "anthropic", "claude-sonnet-4-6"),
    ("anthropic", "anthropic", "claude-haiku-5-5"),
    ("anthropic", "anthropic", "claude-fable-5-2"),
    ("bedrock", "aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
    ("bedrock", "aws", "global.anthropic.claude-opus-5-5"),
    ("bedrock", "aws", "anthropic.claude-3-5-haiku-20241022-v1:0"),
    ("bedrock", "aws", "us.openai.gpt-5.6-sol"),
    ("bedrock", "aws", "amazon.nova-lite-v1:0"),
    ("bedrock", "aws", "eu.amazon.nova-2-lite-v1:0"),
    ("bedrock", "aws", "meta.llama3-3-70b-instruct-v1:0"),
    ("azure", "azure", "gpt-4o"),
    ("azure", "azure", "o3"),
    ("azure", "azure", "phi-4"),
    ("deepseek", "deepseek", "deepseek-v3.2"),
    ("google", "google", "gemini-2.5-pro"),
    ("google", "google", "gemini-2.5-flash"),
    ("groq", "groq", "llama-3.3-70b-versatile"),
    ("groq", "groq", "openai/gpt-oss-120b"),
    ("mistral", "mistral", "mistral-large-latest"),
    ("mistral", "mistral", "ministral-8b-latest"),
    ("together", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ("fireworks", "fireworks", "accounts/fireworks/models/gpt-oss-120b"),
    ("xai", "x-ai", "grok-4.3"),
    ("xai", "x-ai", "grok-3-mini"),
    ("openrouter", "openrouter", "anthropic/claude-sonnet-4.5"),
    ("openrouter", "openrouter", "openai/gpt-4o"),
]
"""Provider here, provider there, name. DeepSeek's own models are left out: there, prices by the hour have no dates, see
`DIFFERENCES` in test_table.py."""
AUDIO = ["gpt-audio", "gpt-audio-mini", "gpt-realtime", "gpt-realtime-mini"]
TIERS = {"flex": {"service_tier": "flex"}, "priority": {"service_tier": "priority"}, "batch": {"processing": "batch"}}

counts = st.integers(0, 400_000)
moments = st.datetimes(datetime(2024, 6, 1), datetime(2026, 11, 22), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(("provider", "theirs", "name"), MODELS, ids=lambda value: value)
@settings(max_examples=10)
@given(
    uncached=counts,
    read=counts,
    five=counts,
    hour=counts,
    output=counts,
    at=moments,
    tier=st.sampled_from([None, *TIERS]),
)
def test_a_call_costs_to_the_last_digit_what_genai_prices_says(
    provider: str, theirs: str, name: str, **call: object
) -> None:
    numbers = {key: value for key, value in call.items() if isinstance(value, int)}
    at, tier = call["at"], call["tier"]
    assert isinstance(at, datetime)
    assert tier is None or isinstance(tier, str)
    run = Tokens(
        uncached=numbers["uncached"],
        read=numbers["read"],
        written={"5m": numbers["five"], "1h": numbers["hour"]},
        output=numbers["output"],
        service_tier=tier,
    )

    cost = price([run], provider=provider, model=name, at=at)
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=run.prompt,
            cache_read_tokens=run.read,
            cache_write_tokens=numbers["five"] + numbers["hour"],
            cache_write_1h_tokens=numbers["hour"],
            output_tokens=run.output,
        ),
        model_ref=name,
        # There the tiers of a model are not those of who else sells it at its price.
        provider_id="openai" if provider == "azure" and name == "gpt-4o" else theirs,
        genai_request_timestamp=at,
        price_context=TIERS[tier] if tier else None,
    )

    assert cost is not None
    assert cost.total == expected.total_price


@pytest.mark.parametrize("name", AUDIO)
@settings(max_examples=20)
@given(text=counts, heard=counts, read=counts, heard_before=counts, said=counts, output=counts)
def test_audio_costs_to_the_last_digit_what_genai_prices_says(name: str, **count: int) -> None:
    found = find("openai", name)
    assert found is not None
    assert found.prices is not None
    reads = "audio_read" in found.prices.amounts(1.8e9)
    read, heard_before = (count["read"], count["heard_before"]) if reads else (0, 0)
    run = Tokens(
        uncached=count["text"] + count["heard"],
        read=read + heard_before,
        output=count["output"] + count["said"],
        audio_input=count["heard"],
        audio_read=heard_before,
        audio_output=count["said"],
    )
    at = datetime(2026, 11, 22, tzinfo=UTC)

    cost = price([run], provider="openai", model=name, at=at)
    cached = {"cache_read_tokens": run.read, "cache_audio_read_tokens": run.audio_read} if reads else {}
    expected = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=run.prompt,
            input_audio_tokens=run.audio_input + run.audio_read,
            output_tokens=run.output,
            output_audio_tokens=run.audio_output,
            **cached,
        ),
        model_ref=name,
        provider_id="openai",
        genai_request_timestamp=at,
    )

    assert cost is not None
    assert cost.total == expected.total_price
