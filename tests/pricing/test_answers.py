from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import ConfigurationError
from ostinato.pricing import (
    Prices,
    completion_cost,
    cost_details,
    cost_per_token,
    price_answer,
)
from ostinato.records import Completion, Embeddings
from ostinato.wire.tokens import Tokens

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
USAGE = {"prompt_tokens": 2000, "prompt_tokens_details": {"cached_tokens": 1500}, "completion_tokens": 50}


def answer(model: str = "gpt-4o-2024-08-06", **members: Any) -> Completion:
    return Completion({"model": model, "created": 1_795_000_000, "usage": USAGE, **members})


def test_an_answer_is_all_that_is_needed_to_price_it() -> None:
    assert completion_cost(answer()) == 0.003625
    assert completion_cost(completion_response=answer(), model="gpt-4o") == 0.003625
    assert completion_cost(dict(answer())) == 0.003625


def test_an_answer_of_another_library_is_priced_as_well() -> None:
    usage = SimpleNamespace(model_dump=lambda: USAGE)

    assert completion_cost(SimpleNamespace(model="gpt-4o", usage=usage, created=0)) == 0.003625


def test_embeddings_are_priced() -> None:
    embeddings = Embeddings({"model": "text-embedding-3-small", "usage": {"prompt_tokens": 5, "total_tokens": 5}})

    assert completion_cost(embeddings) == 1e-07


def test_details_are_exact_and_the_float_is_their_nearest() -> None:
    details = cost_details(answer(), at=AT)

    assert details is not None
    assert details.total == Decimal("0.003625")
    assert completion_cost(answer(), at=AT) == float(details.total)


def test_a_hit_costs_nothing_and_is_worth_what_it_would_have_cost() -> None:
    hit = answer()
    hit._cache_hit = True

    worth = price_answer(hit)

    assert completion_cost(hit) == 0
    assert worth is not None
    assert worth.total == Decimal("0.003625")


def test_a_hit_of_an_unknown_model_costs_nothing() -> None:
    hit = answer("nobody-knows")
    hit._cache_hit = True

    assert completion_cost(hit) == 0


def test_the_model_that_answered_is_priced_and_not_the_one_that_was_asked() -> None:
    aliased = answer("deepseek-v4-flash")

    cost = completion_cost(aliased, model="deepseek/deepseek-chat", at=AT)

    assert cost == pytest.approx(500 * 0.15e-6 + 1500 * 0.003e-6 + 50 * 0.6e-6, rel=1e-12)


def test_the_model_that_was_asked_is_priced_where_the_other_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ostinato"):
        assert completion_cost(answer("my-deployment"), model="azure/gpt-4o") == 0.003625

    assert caplog.records == []


def test_the_provider_of_the_question_is_that_of_the_answer() -> None:
    converse = answer("us.anthropic.claude-sonnet-4-5-20250929-v1:0")

    by_prefix = completion_cost(converse, model="bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0")

    assert by_prefix == completion_cost(converse, custom_llm_provider="bedrock") == completion_cost(converse)
    assert by_prefix == pytest.approx(500 * 3.3e-6 + 1500 * 0.33e-6 + 50 * 16.5e-6)


def test_bedrock_s_profile_is_that_of_the_question() -> None:
    invoked = answer("claude-sonnet-4-5-20250929")

    cost = completion_cost(invoked, model="bedrock/invoke/global.anthropic.claude-sonnet-4-5-20250929-v1:0")

    assert cost == pytest.approx(500 * 3e-6 + 1500 * 0.3e-6 + 50 * 15e-6)


def test_an_unknown_model_is_none_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ostinato"):
        assert completion_cost(answer("nobody-knows")) is None
        assert completion_cost(answer("nobody-knows")) is None

    assert len(caplog.records) == 1


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}])
def test_an_unknown_usage_is_none(usage: dict[str, Any] | None) -> None:
    assert completion_cost(answer(usage=usage)) is None


def test_an_answer_without_a_model_needs_one() -> None:
    nameless = {"usage": USAGE}

    assert completion_cost(nameless, model="openai/gpt-4o") == 0.003625
    with pytest.raises(ConfigurationError, match="needs model="):
        completion_cost(nameless)


def test_the_tier_that_the_answer_was_served_in_is_priced() -> None:
    assert completion_cost(answer("gpt-5", service_tier="priority"), at=AT) == 2 * (
        completion_cost(answer("gpt-5"), at=AT) or 0
    )


def test_the_moment_of_the_answer_decides_the_price() -> None:
    sonnet = answer("claude-sonnet-5-5", created=1_790_000_000)
    later = answer("claude-sonnet-5-5", created=1_795_000_000)

    assert completion_cost(sonnet) == pytest.approx(500 * 2e-6 + 1500 * 0.2e-6 + 50 * 10e-6)
    assert completion_cost(later) == pytest.approx(500 * 2e-6 + 1500 * 0.1e-6 + 50 * 10e-6)
    assert completion_cost(sonnet, at=AT) == completion_cost(later)


def test_custom_prices_win_over_the_table() -> None:
    custom = {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "cache_read_input_token_cost": 1e-07,
    }

    assert completion_cost(answer(), custom_cost_per_token=custom) == 0.00075
    assert completion_cost(answer("nobody-knows"), custom_cost_per_token=Prices.of(custom)) == 0.00075
    assert completion_cost({"usage": USAGE}, custom_cost_per_token=custom) == 0.00075


def test_an_invoice_at_custom_prices_is_not_two_thirds_too_high() -> None:
    # LiteLLM pull request 28009 and issue 26807: reads were billed as input, 67 % too much.
    usage = {"prompt_tokens": 6074, "prompt_tokens_details": {"cached_tokens": 3456}, "completion_tokens": 285}
    custom = {
        "input_cost_per_token": 2.5e-06,
        "cache_read_input_token_cost": 2.5e-07,
        "output_cost_per_token": 1.5e-05,
    }
    invoice = answer("openai/gpt-5.4", usage=usage)

    assert completion_cost(invoice, custom_cost_per_token=custom) == 0.011684
    assert completion_cost(invoice, at=AT) == 0.011684
    del custom["cache_read_input_token_cost"]
    assert completion_cost(invoice, custom_cost_per_token=custom) == 0.01946


def test_a_representative_invoice_of_fireworks_comes_out_to_the_last_digit() -> None:
    # LiteLLM issue 31714.
    usage = {
        "prompt_tokens": 27_147,
        "prompt_tokens_details": {"cached_tokens": 27_146},
        "completion_tokens": 351,
    }
    custom = {
        "input_cost_per_token": 0.0000014,
        "cache_read_input_token_cost": 0.00000026,
        "output_cost_per_token": 0.0000044,
    }

    assert completion_cost({"usage": usage}, custom_cost_per_token=custom) == 0.00860376


def test_an_invoice_for_gpt_5_comes_out_without_noise() -> None:
    # LiteLLM issue 15945: 0.03790550000000001 was shown.
    usage = {"prompt_tokens": 9126, "prompt_tokens_details": {"cached_tokens": 4864}, "completion_tokens": 3197}

    assert repr(completion_cost(answer("gpt-5", usage=usage))) == "0.0379055"


def test_what_the_client_noted_counts_before_what_the_answer_says() -> None:
    class Noted(Completion):
        __slots__ = ("_provider", "_runs")
        _provider: Any
        _runs: Any

    noted = Noted({"model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    noted._provider = "azure"
    noted._runs = [Tokens(uncached=500, read=1500, output=50)]

    assert completion_cost(noted) == 0.003625
    noted._provider = SimpleNamespace(name="openai_compatible")
    assert completion_cost(noted) is None


# ----------------------------------------------------------------------------------------- cost_per_token


def test_cost_per_token_prices_a_prompt_and_its_completion() -> None:
    assert cost_per_token("gpt-4o", 2000, 50, cache_read_input_tokens=1500) == (0.003125, 0.0005)
    assert cost_per_token(model="gpt-4o", prompt_tokens=1000) == (0.0025, 0.0)
    assert cost_per_token("gpt-4o") == (0.0, 0.0)


def test_both_readings_of_prompt_tokens_cost_the_same() -> None:
    whole = cost_per_token("anthropic/claude-sonnet-4-5", 6100, 50, 5000, 1000)
    rest = cost_per_token("anthropic/claude-sonnet-4-5", 100, 50, 5000, 1000)

    assert whole == rest == (0.00555, 0.00075)


def test_the_invoice_of_issue_6575_is_not_charged_twice() -> None:
    cost = cost_per_token("claude-3-5-sonnet-20241022", 1000, 0, cache_creation_input_tokens=1000)

    assert cost == (0.00375, 0.0)


def test_cost_per_token_takes_custom_prices_and_a_moment() -> None:
    custom = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}

    assert cost_per_token("anything", 10, 10, custom_cost_per_token=custom) == (1e-05, 2e-05)
    assert cost_per_token("o3", 1000, at=datetime(2025, 6, 1, tzinfo=UTC)) == (0.01, 0.0)


def test_cost_per_token_of_an_unknown_model_names_near_ones() -> None:
    with pytest.raises(ConfigurationError, match="claude-sonnet-4-5"):
        cost_per_token("anthropic/claude-sonet-4-5", 1)
    with pytest.raises(ConfigurationError, match="register_model"):
        cost_per_token("zzzzzzzz", 1)


@pytest.mark.parametrize("bad", [-1, None, 1.5])
def test_cost_per_token_wants_numbers_of_tokens(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 0"):
        cost_per_token("gpt-4o", bad)


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ({"input_cost_per_tokn": 1, "output_cost_per_token": 1}, "did you mean 'input_cost_per_token'"),
        ({"output_cost_per_token": 1}, "need 'input_cost_per_token'"),
        ({"input_cost_per_token": 1}, "need 'output_cost_per_token'"),
        ({}, "there is nothing"),
        ({"input_cost_per_token": -1, "output_cost_per_token": 1}, "at least 0"),
        ({"input_cost_per_token": "much", "output_cost_per_token": 1}, "'much'"),
        ({"input_cost_per_token": True, "output_cost_per_token": 1}, "True"),
        ({"input_cost_per_token": float("inf"), "output_cost_per_token": 1}, "inf"),
        (
            {"input_cost_per_token": 1, "output_cost_per_token": 1, "cache_read_input_token_cost_above_200k_tokens": 1},
            "needs the one below",
        ),
    ],
)
def test_custom_prices_that_make_no_sense_are_refused(costs: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Prices.of(costs)


def test_custom_prices_may_have_bands_and_tiers() -> None:
    custom = Prices.of(
        {
            "input_cost_per_token": 1e-06,
            "input_cost_per_token_above_200k_tokens": 2e-06,
            "output_cost_per_token": 5e-06,
            "cache_creation_input_token_cost": 1.25e-06,
            "cache_creation_input_token_cost_above_1hr": 2e-06,
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 4e-06,
            "input_cost_per_token_flex": 5e-07,
            "output_cost_per_token_priority": None,
        }
    )

    def paid(**counters: Any) -> Decimal:
        noted = SimpleNamespace(model="x", _runs=[Tokens(**counters)])
        cost = price_answer(noted, custom=custom)
        assert cost is not None
        return cost.total

    assert paid(uncached=200_000) == Decimal("0.2")
    assert paid(uncached=200_001) == Decimal("0.400002")
    assert paid(written={"1h": 200_001}) == Decimal("0.800004")
    assert paid(uncached=200_000, service_tier="flex") == Decimal("0.1")
    assert paid(written={"5m": 4, "30m": 4}) == Decimal("0.00001")


@given(st.decimals(0, 1, places=12), st.integers(0, 10**7))
def test_a_float_of_a_price_is_that_price(rate: Decimal, count: int) -> None:
    custom = Prices.of({"input_cost_per_token": float(rate), "output_cost_per_token": 0})

    cost = price_answer({"usage": {"prompt_tokens": count + 1}}, custom=custom)

    assert cost is not None
    assert cost.total == rate * (count + 1)
