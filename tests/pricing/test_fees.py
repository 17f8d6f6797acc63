"""What is not text by the token: tools by the call, images, regions; and what a vendor states itself."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from ostinato.pricing import Cost, completion_cost, cost_details, price
from ostinato.pricing.statement import stated_pico
from ostinato.wire.tokens import Tokens
from tests.wire.test_usage_invariants import Heard, heard

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
STATED_BY = {"cost_in_usd_ticks": "xai", "search_context_size": "perplexity", "cost": "openrouter"}
"""Whose answer it is, by what its usage has."""
BEHIND = {"cost": 1e-4, "is_byok": True, "cost_details": {"upstream_inference_cost": 2e-3}}
"""OpenRouter's statement for a call that the caller's own key of the vendor behind it paid for."""


def cost_of(run: Tokens, provider: str, model: str) -> Cost:
    cost = price([run], provider=provider, model=model, at=AT)
    assert cost is not None
    return cost


# --------------------------------------------------------------------------------------- tools by the call


def test_a_web_search_costs_a_hundredth_of_a_dollar_beside_its_tokens() -> None:
    usage = {
        "input_tokens": 10_000,
        "output_tokens": 100,
        "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2},
    }
    cost = cost_details({"model": "claude-sonnet-4-5", "usage": usage}, at=AT)

    assert cost is not None
    assert cost.fees == {"web_search": Decimal("0.03")}
    assert cost.total == Decimal("0.03") + Decimal("0.03") + Decimal("0.0015")
    assert not cost.unpriced
    assert cost.prompt_cache_saving == 0


def test_searches_of_several_runs_are_paid_once() -> None:
    run = {"input_tokens": 1_000_000, "output_tokens": 0}
    usage = {**run, "iterations": [run, run], "server_tool_use": {"web_search_requests": 1}}

    assert completion_cost({"model": "claude-sonnet-5", "usage": usage}, at=AT) == 4.01


def test_a_tool_of_unknown_price_is_named_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    run = Tokens(uncached=1000, calls={"code_interpreter": 1, "file_search": 2})
    with caplog.at_level(logging.WARNING, "ostinato"):
        costs = [cost_of(run, "openai", "gpt-4.1") for _ in range(2)]

    assert costs[0].unpriced == ("code_interpreter",)
    assert costs[0].fees == {"file_search": Decimal("0.005")}
    assert [record.message for record in caplog.records] == [
        "openai/gpt-4.1: no price for code_interpreter; it is not in the cost"
    ]
    assert (costs[0] + costs[1]).unpriced == ("code_interpreter",)


def test_fees_of_two_calls_add_up() -> None:
    both = cost_of(Tokens(uncached=1, calls={"web_search": 1}), "openai", "gpt-5") + cost_of(
        Tokens(uncached=1, calls={"web_search": 2, "file_search": 1}), "openai", "gpt-5"
    )

    assert both.fees == {"web_search": Decimal("0.03"), "file_search": Decimal("0.0025")}
    assert both.total == Decimal("0.0325") + 2 * Decimal("0.00000125")


def test_recorded_searches_are_counted_as_the_vendor_shows_them() -> None:
    """Anthropic counts them; of OpenAI's only what was asked for is billed, not the pages that were opened."""
    searched = 0
    for one in heard():
        if one.api not in {"responses", "messages"}:
            continue
        shown = [item for item in one.body.get("output") or () if item.get("type") == "web_search_call"]
        told = (one.raw.get("server_tool_use") or {}).get("web_search_requests") or 0
        asked = sum((item.get("action") or {}).get("type", "search") == "search" for item in shown) or told
        if asked:
            searched += 1
            assert sum(run.calls["web_search"] for run in one.runs or () if run.calls) == asked, one.id
            assert one.completion.usage is not None
            assert one.completion.usage.server_tool_use.web_search_requests == asked, one.id
    assert searched >= 15


# ----------------------------------------------------------------------------------------- images, regions


def test_images_have_their_own_rates() -> None:
    run = Tokens(uncached=1000, read=100, output=2000, image_input=600, image_read=50)
    seen = cost_of(run, "openai", "gpt-realtime")
    drawn = cost_of(Tokens(uncached=10, output=1300, image_output=1290), "google", "gemini-3-pro-image-preview")

    assert seen.uncached == Decimal("0.0016") + Decimal("0.003")
    assert seen.read == Decimal("0.00002") + Decimal("0.000025")
    assert seen.image == Decimal("0.003025")
    assert drawn.output == Decimal("0.00012") + Decimal("0.1548")


@pytest.mark.parametrize(
    ("model", "geo", "dollars"),
    [
        ("claude-opus-4-8", "us", "6.05"),
        ("claude-opus-4-8", "global", "5.5"),
        ("claude-opus-4-8", "not_available", "5.5"),
        ("claude-opus-4-8", None, "5.5"),
        ("claude-opus-4-5", "us", "5.5"),  # takes no such parameter, and has one price
    ],
)
def test_inference_in_the_united_states_costs_a_tenth_more(model: str, geo: str | None, dollars: str) -> None:
    usage = {"input_tokens": 1_000_000, "cache_read_input_tokens": 1_000_000, "output_tokens": 0, "inference_geo": geo}

    assert completion_cost({"model": model, "usage": usage}, at=AT) == float(dollars)


def test_a_region_multiplies_every_kind_of_token_and_no_fee() -> None:
    here = Tokens(uncached=10, read=10, written={"5m": 10, "1h": 10}, output=10, calls={"web_search": 1})
    usual = cost_of(here, "anthropic", "claude-opus-4-8")
    there = cost_of(replace(here, region="us"), "anthropic", "claude-opus-4-8")

    assert there.fees == usual.fees
    assert (there.total - Decimal("0.01")) * 10 == (usual.total - Decimal("0.01")) * 11


# -------------------------------------------------------------------------------- what the vendor states


def stated() -> list[tuple[Heard, str]]:
    found = []
    for one in heard():
        owner = next((owner for name, owner in STATED_BY.items() if name in one.raw), None)
        if owner is not None and stated_pico(owner, one.raw) is not None:
            found.append((one, owner))
    return found


def test_what_a_vendor_states_is_the_price_to_the_last_digit() -> None:
    for one, owner in stated():
        cost = cost_details(one.completion, custom_llm_provider=owner)
        raw: Any = one.raw
        told: Any = raw["cost_in_usd_ticks"] / 10**10 if owner == "xai" else raw["cost"]
        told = told["total_cost"] if owner == "perplexity" else told

        assert cost is not None, one.id
        assert float(cost) == float(round(Decimal(str(told)), 12)), one.id
        assert cost.without_prompt_cache - cost.total == cost.prompt_cache_saving, one.id
    assert len(stated()) > 50


def test_the_table_agrees_with_most_of_what_vendors_state() -> None:
    """A second opinion from real invoices, and why they are believed before the table."""
    agreed, differed = 0, set()
    for one, owner in stated():
        cost = price(one.runs, provider=owner, model=one.body["model"], at=one.completion.created or AT.timestamp())
        if cost is not None:
            same = cost.total_pico == stated_pico(owner, one.raw)
            agreed += same
            differed |= set() if same else {one.body["model"]}

    assert agreed >= 35
    assert differed <= STATED_OTHERWISE.keys()


STATED_OTHERWISE = {
    "anthropic/claude-3.5-sonnet": "twice the list price",
    "deepseek/deepseek-chat": "a search beside the tokens, and another seller",
    "mistralai/mistral-small-3.1-24b-instruct": "another seller",
    "moonshotai/kimi-k2": "another seller",
    "moonshotai/kimi-k2.5-0127": "another seller",
    "openai/gpt-4.1-mini": "a search beside the tokens",
    "openai/gpt-4o-mini": "a tool of OpenRouter's beside the tokens",
    "openai/gpt-5.6-sol": "the price before 2026-08-21, which the table has for OpenAI alone",
    "openai/gpt-oss-20b": "another seller",
}
"""Models of OpenRouter whose recorded calls cost otherwise than the table says, and why."""


@pytest.mark.parametrize(
    ("provider", "usage", "pico"),
    [
        ("openrouter", {"cost": 0.0076509169000000005}, 7_650_916_900),
        ("openrouter", {"cost": 0}, 0),
        ("openrouter", BEHIND, 2_100_000_000),
        ("openrouter", {**BEHIND, "cost_details": {"upstream_inference_cost": None}}, None),
        ("openrouter", {"cost": -1}, None),
        ("openrouter", {"cost": "1"}, None),
        ("openrouter", {"cost": float("nan")}, None),
        ("openrouter", {}, None),
        ("xai", {"cost_in_usd_ticks": 37_756_000}, 3_775_600_000),
        ("xai", {"cost_in_usd_ticks": 0}, None),
        ("perplexity", {"cost": {"total_cost": 0.00502}}, 5_020_000_000),
        ("perplexity", {"cost": 0.1}, None),
        ("openai", {"cost": 0.1}, None),
    ],
)
def test_a_statement_is_read_where_its_vendor_documents_it(
    provider: str, usage: dict[str, Any], pico: int | None
) -> None:
    assert stated_pico(provider, usage) == pico


def test_a_statement_settles_what_has_no_price_and_yields_to_custom_ones() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "cost": 0.5, "server_tool_use": {"x_requests": 1}}
    answer = {"model": "openai/gpt-4o", "usage": usage}
    cost = cost_details(answer, "openrouter/openai/gpt-4o", at=AT)
    unknown = cost_details({**answer, "model": "none/known"}, "openrouter/none/known", at=AT)
    custom = {"input_cost_per_token": 1e-06, "output_cost_per_token": 0}

    assert cost is not None
    assert (cost.total, cost.uncached, cost.unpriced) == (Decimal("0.5"), Decimal("0.0025"), ())
    assert cost.fees == {"stated": Decimal("0.4975")}
    assert unknown is not None
    assert (unknown.total, unknown.prompt_cache_saving) == (Decimal("0.5"), Decimal(0))
    assert completion_cost(answer, "openrouter/openai/gpt-4o", custom_cost_per_token=custom) == 0.001
