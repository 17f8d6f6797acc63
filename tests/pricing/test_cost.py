from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.pricing import Cost, Prices, price
from ostinato.wire.tokens import Tokens

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLAUDE = Tokens(uncached=100, read=5000, written={"5m": 600, "1h": 400}, output=50)
SONNET_GLOBAL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_US = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def cost_of(run: Tokens, provider: str, model: str, at: datetime | float = NOW, custom: Prices | None = None) -> Cost:
    cost = price([run], provider=provider, model=model, at=at, custom=custom)
    assert cost is not None
    return cost


@pytest.mark.parametrize(
    ("run", "provider", "model", "dollars"),
    [
        (Tokens(uncached=500, read=1500, output=50), "openai", "gpt-4o", "0.003625"),
        (CLAUDE, "anthropic", "claude-sonnet-4-5", "0.0072"),
        (CLAUDE, "bedrock", SONNET_US, "0.00792"),
        (CLAUDE, "bedrock", "us.anthropic.claude-3-7-sonnet-20250219-v1:0", "0.0063"),
        (Tokens(uncached=500, read=1500, output=50), "deepseek", "deepseek-chat", "0.000203"),
        (Tokens(uncached=100, read=5000, written={"": 1000}, output=50), "bedrock", "amazon.nova-pro-v1:0", "0.00204"),
        (Tokens(uncached=500, read=1000, written={"30m": 300, "12h": 200}), "openai", "gpt-5.6", "0.0059"),
        (Tokens(uncached=200_000), "bedrock", SONNET_GLOBAL, "0.6"),
        (Tokens(uncached=200_001), "bedrock", SONNET_GLOBAL, "1.200006"),
    ],
)
def test_a_call_that_was_worked_out_by_hand_costs_that(run: Tokens, provider: str, model: str, dollars: str) -> None:
    assert cost_of(run, provider, model).total == Decimal(dollars)


def test_the_parts_of_a_call_are_told_apart() -> None:
    cost = cost_of(CLAUDE, "anthropic", "claude-sonnet-4-5")

    assert (cost.uncached, cost.read, cost.output) == (Decimal("0.0003"), Decimal("0.0015"), Decimal("0.00075"))
    assert cost.written == {"5m": Decimal("0.00225"), "1h": Decimal("0.0024")}
    assert cost.currency == "USD"


def test_a_long_prompt_pays_the_higher_rates_for_all_of_its_tokens() -> None:
    cost = cost_of(Tokens(uncached=5000, read=240_000, written={"1h": 5000}, output=100), "bedrock", SONNET_GLOBAL)

    assert cost.total - cost.output == Decimal("0.234")
    assert cost.output == Decimal("0.00225")


def test_xai_s_long_prompts_begin_at_the_threshold_and_not_above_it() -> None:
    assert cost_of(Tokens(read=199_999), "xai", "grok-4.3").total == Decimal("0.0399998")
    assert cost_of(Tokens(read=200_000), "xai", "grok-4.3").total == Decimal("0.08")


@pytest.mark.parametrize(
    ("run", "provider", "model", "dollars"),
    [
        # LiteLLM issue 9812: 0.091311 was shown, the vendor's console said 4.614 and 0.825 cents.
        (
            Tokens(uncached=3, written={"5m": 12304}, output=550),
            "anthropic",
            "claude-3-7-sonnet-20250219",
            "0.054399",
        ),
        # LiteLLM issue 11364, the call of 2026-01-19: 0.047080 was shown.
        (
            Tokens(uncached=10, read=66_360, written={"": 32_435}, output=5120, reasoning=1710),
            "bedrock",
            "eu.anthropic.claude-opus-4-5-20251101-v1:0",
            "0.400343625",
        ),
        # LiteLLM issue 14849: 0.7642 was shown. The prompt is above 200k, so the reporter's own 0.1849 is low as well.
        (Tokens(uncached=5005, read=257_955, output=1744), "google", "gemini-2.5-pro", "0.10316125"),
    ],
)
def test_an_invoice_that_was_complained_about_comes_out_right(
    run: Tokens, provider: str, model: str, dollars: str
) -> None:
    assert cost_of(run, provider, model).total == Decimal(dollars)


def test_the_reporter_s_own_rates_give_the_reporter_s_own_invoice() -> None:
    rates = Prices.of(
        {
            "input_cost_per_token": 1.25e-06,
            "cache_read_input_token_cost": 0.625e-06,
            "output_cost_per_token": 10e-06,
        }
    )

    cost = cost_of(Tokens(uncached=5005, read=257_955, output=1744), "google", "gemini-2.5-pro", custom=rates)

    assert cost.total == Decimal("0.184918125")


def test_custom_prices_price_cache_reads_and_writes() -> None:
    # LiteLLM pull request 28009: both were billed as input.
    rates = Prices.of(
        {
            "input_cost_per_token": "0.0000006",
            "output_cost_per_token": Decimal("0.0000025"),
            "cache_read_input_token_cost": 1e-07,
            "cache_creation_input_token_cost": 7.5e-07,
        }
    )

    cost = cost_of(Tokens(uncached=1000, read=8000, written={"": 1000}, output=200), "", "kimi", custom=rates)

    assert cost.total == Decimal("0.0006") + Decimal("0.0008") + Decimal("0.00075") + Decimal("0.0005")


def test_custom_prices_without_cache_rates_bill_reads_and_writes_as_input() -> None:
    rates = Prices.of({"input_cost_per_token": 1e-06, "output_cost_per_token": 0})

    assert (
        cost_of(Tokens(uncached=1, read=2, written={"1h": 3}, output=9), "", "x", custom=rates).total_pico == 6_000_000
    )


def test_a_price_of_zero_is_free_and_not_missing() -> None:
    rates = Prices.of({"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "cache_read_input_token_cost": 0})

    assert cost_of(Tokens(read=1000), "", "x", custom=rates).total == 0


def test_a_tier_without_a_price_costs_what_the_standard_one_costs_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Tokens(uncached=1_000_000, service_tier="flex")

    with caplog.at_level(logging.WARNING, "ostinato"):
        costs = [cost_of(run, "openai", "gpt-4").total for _ in range(3)]

    assert costs == [Decimal(30)] * 3
    assert [record.message for record in caplog.records] == [
        "openai/gpt-4: no price for tier 'flex'; the standard one is used"
    ]


def test_each_run_is_priced_by_its_own_model() -> None:
    # The recorded answer ant-msg-21444e8db5: the advisor ran on another model.
    runs = [
        Tokens(uncached=1128, output=110),
        Tokens(uncached=2518, output=22, model="claude-opus-4-8"),
        Tokens(uncached=1262, output=11),
    ]

    cost = price(runs, provider="anthropic", model="claude-sonnet-5", at=NOW)

    assert cost is not None
    assert cost.total == Decimal("0.00599") + Decimal("0.01314")


def test_custom_prices_are_those_of_the_model_and_not_of_another_s_run() -> None:
    custom = Prices.of({"input_cost_per_token": 1, "output_cost_per_token": 1})
    runs = [Tokens(uncached=2), Tokens(uncached=1_000_000, model="claude-opus-4-8")]

    cost = price(runs, provider="anthropic", model="house-model", at=NOW, custom=custom)

    assert cost is not None
    assert cost.total == 2 + 5


def test_a_run_of_another_unknown_model_makes_the_call_unknown() -> None:
    runs = [Tokens(uncached=1), Tokens(uncached=1, model="claude-unheard-of")]

    assert price(runs, provider="anthropic", model="claude-sonnet-5", at=NOW) is None


@pytest.mark.parametrize(
    ("run", "saving"),
    [
        (Tokens(uncached=100, read=10_000, output=50), "0.027"),
        (Tokens(uncached=100, written={"5m": 10_000}, output=50), "-0.0075"),
        (Tokens(uncached=100, written={"1h": 10_000}, output=50), "-0.03"),
        (Tokens(uncached=100, output=50), "0"),
    ],
)
def test_the_prompt_cache_saves_what_no_cache_would_have_cost_more(run: Tokens, saving: str) -> None:
    cost = cost_of(run, "anthropic", "claude-sonnet-4-5")

    assert cost.prompt_cache_saving == Decimal(saving)
    assert cost.without_prompt_cache == cost.total + Decimal(saving)


def test_without_the_prompt_cache_a_long_prompt_is_as_long() -> None:
    cost = cost_of(Tokens(read=300_000), "openai", "gpt-5.6")

    assert cost.without_prompt_cache == Decimal("2.4")


def test_audio_has_its_own_rates() -> None:
    run = Tokens(uncached=1000, read=500, output=300, audio_input=600, audio_read=200, audio_output=100)

    cost = cost_of(run, "openai", "gpt-realtime")

    # text 4, read 0.4, out 16; audio 32, read 0.4, out 64 dollars per million
    assert cost.uncached == Decimal("0.0208")
    assert cost.read == Decimal("0.0002")
    assert cost.output == Decimal("0.0096")
    assert cost.audio == Decimal("0.02568")
    assert cost.without_prompt_cache == (700 * 4 + 800 * 32) / Decimal(1_000_000) + cost.output


@pytest.mark.parametrize(
    ("model", "dollars"), [("gpt-4o-audio-preview-2025-06-03", "69.5"), ("gpt-4o-mini-audio-preview", "16.33")]
)
def test_sound_of_chat_models_costs_more_than_their_words(model: str, dollars: str) -> None:
    run = Tokens(uncached=1_000_000, output=1_000_000, audio_input=400_000, audio_output=600_000)

    # 0.6 × 2.5 + 0.4 × 40 + 0.4 × 10 + 0.6 × 80, and 0.6 × 0.15 + 0.4 × 10 + 0.4 × 0.6 + 0.6 × 20
    assert cost_of(run, "openai", model).total == Decimal(dollars)


def test_audio_that_was_read_costs_what_reads_cost_where_it_has_no_rate_of_its_own() -> None:
    custom = Prices.of(
        {
            "input_cost_per_token": 4,
            "output_cost_per_token": 5,
            "cache_read_input_token_cost": 1,
            "input_cost_per_audio_token": 9,
        }
    )

    cost = cost_of(Tokens(uncached=1, audio_input=1, read=1, audio_read=1), "", "x", custom=custom)

    assert cost.total == 9 + 1
    assert cost.without_prompt_cache == 9 + 9


def test_reasoning_is_a_part_of_the_output() -> None:
    cost = cost_of(Tokens(output=1000, reasoning=400), "openai", "o3")

    assert (cost.output, cost.reasoning) == (Decimal("0.008"), Decimal("0.0032"))


def test_an_unknown_model_has_no_price_and_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ostinato"):
        costs = [price([Tokens(uncached=1)], provider="openai", model="gpt-99", at=NOW) for _ in range(3)]
        price([Tokens(uncached=1)], provider="openai", model="gpt-98", at=NOW)

    assert costs == [None] * 3
    assert [record.message.partition(" is")[0] for record in caplog.records] == ["openai/gpt-99", "openai/gpt-98"]
    assert {record.name for record in caplog.records} == {"ostinato"}


@pytest.mark.parametrize("runs", [None, []])
def test_an_unknown_usage_has_no_price(runs: list[Tokens] | None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ostinato"):
        assert price(runs, provider="openai", model="gpt-4o", at=NOW) is None
        assert price(runs, provider="openai", model="gpt-4o", at=NOW) is None

    assert len(caplog.records) == 1


def test_a_model_whose_unit_is_no_token_has_no_price() -> None:
    assert price([Tokens(uncached=1)], provider="openai", model="whisper-1", at=NOW) is None


def test_a_model_that_is_free_costs_nothing() -> None:
    assert cost_of(Tokens(uncached=10, output=10), "azure", "phi-4-reasoning:free").total == 0


counts = st.integers(0, 2_000_000)


@given(uncached=counts, read=counts, five=counts, hour=counts, output=counts)
def test_parts_add_up_and_nothing_is_rounded(uncached: int, read: int, five: int, hour: int, output: int) -> None:
    run = Tokens(uncached=uncached, read=read, written={"5m": five, "1h": hour}, output=output)
    per_million = Decimal(1_000_000)

    cost = cost_of(run, "anthropic", "claude-opus-4-7")

    assert cost.total == (uncached * 5 + read * Decimal("0.5") + five * Decimal("6.25") + hour * 10 + output * 25) / (
        per_million
    )
    assert cost.total == cost.uncached + cost.read + sum(cost.written.values()) + cost.output
    assert cost.without_prompt_cache == ((uncached + read + five + hour) * 5 + output * 25) / per_million


@given(st.lists(st.builds(Tokens, uncached=counts, read=counts, output=counts), min_size=1, max_size=4))
def test_a_call_of_several_runs_costs_what_they_cost(runs: list[Tokens]) -> None:
    together = price(runs, provider="anthropic", model="claude-haiku-5-5", at=NOW)

    assert together is not None
    assert together.total == sum(cost_of(run, "anthropic", "claude-haiku-5-5").total for run in runs)


@pytest.mark.parametrize(
    ("picodollars", "shown"), [(7_200_000_000, "0.0072"), (10**12, "1.0"), (300_000, "3e-07"), (0, "0.0")]
)
def test_a_cost_as_a_float_prints_without_noise(picodollars: int, shown: str) -> None:
    assert repr(float(Cost(picodollars))) == shown
