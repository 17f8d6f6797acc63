from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ostinato.pricing import table
from ostinato.pricing.rates import Rates, bands_of

pytest.importorskip("genai_prices", reason="genai-prices is a development tool")

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = json.loads(table.TABLE.read_text(encoding="utf-8"))
OWN = tomllib.loads((ROOT / "scripts" / "own_prices.toml").read_text(encoding="utf-8"))


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_prices", ROOT / "scripts" / "make_prices.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = script()

DIFFERENCES = {
    **dict.fromkeys(
        (f"anthropic/claude-{name}" for name in ("haiku-4-5", "opus-4-0", "opus-4-1", "opus-4-5", "sonnet-4-0")),
        "fetches of web pages are free",
    ),
    "anthropic/claude-sonnet-4-5": "the same",
    **dict.fromkeys(
        (
            f"anthropic/claude-{name}"
            for name in (
                "fable-5",
                "fable-5-1",
                "fable-5-2",
                "haiku-5-5",
                "mythos-5-2",
                "opus-4-6",
                "opus-4-7",
                "opus-4-8",
                "opus-5",
                "opus-5-5",
                "sonnet-4-6",
                "sonnet-5",
            )
        ),
        "the same; and 1.1 times the price in the United States",
    ),
    "anthropic/claude-sonnet-5-5": "the same two; and cache reads cost twice as much before 2026-10-07",
    "bedrock/global.anthropic.claude-sonnet-4-5-20250929-v1:0": "Bedrock's price of prompts above 200k tokens",
    "bedrock/regional.anthropic.claude-sonnet-4-5-20250929-v1:0": "the same",
    "deepseek/deepseek-chat": "prices since September 2025",
    "deepseek/deepseek-flash": "no peak hours on weekends",
    "deepseek/deepseek-reasoner": "prices since September 2025",
    "deepseek/deepseek-v4-flash": "peak hours begin on 2026-08-16, and spare weekends since 2026-08-22",
    "deepseek/deepseek-v4-pro": "the same",
    **dict.fromkeys((f"openai/gpt-4o-{name}audio-preview" for name in ("", "mini-")), "prices of sound"),
    **dict.fromkeys(
        (
            f"openai/{name}"
            for name in (
                "gpt-5.6-cyber",
                "gpt-5.6-luna",
                "gpt-5.6-sol",
                "gpt-5.6-terra",
                "gpt-6-astra",
                "gpt-6-cyber",
                "gpt-6-luna",
                "gpt-6-rosalind",
                "gpt-6-sol",
                "gpt-6.1-sol",
                "gpt-6.1-terra",
            )
        ),
        "writes that are kept for 12 hours",
    ),
}
"""Where our table differs from genai-prices, and why. An update of either shows here."""


def priced(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row.get(key) for key in ("id", "match", "prices", "tiers", "regions")}


def test_the_table_is_genai_prices_but_for_the_differences_that_are_listed() -> None:
    differing = set()
    for ours, theirs in MAKE.PROVIDERS.items():
        shipped = {row["id"]: priced(row) for row in SHIPPED["providers"][ours]["models"]}
        source = {row["id"]: priced(row) for row in map(MAKE.row_of, MAKE.models_of(theirs))}
        names = shipped.keys() | source.keys()
        differing |= {f"{ours}/{name}" for name in names if shipped.get(name) != source.get(name)}

    assert differing == DIFFERENCES.keys()


def test_the_table_is_what_its_sources_say() -> None:
    if version("genai-prices") not in SHIPPED["about"]["source"]:
        pytest.skip(f"the table is of {SHIPPED['about']['source']}; run scripts/make_prices.py")

    assert table.TABLE.read_text(encoding="utf-8") == MAKE.table(OWN)


def test_the_table_names_its_source_and_its_licence() -> None:
    about = table.about()

    assert about["source"].startswith("genai-prices ")
    assert about["licence"] == "MIT"


def test_the_table_is_small() -> None:
    assert table.TABLE.stat().st_size < 250_000


def test_every_row_of_our_own_says_where_it_was_read_and_when() -> None:
    entries = [entry for kind in ("row", "rates", "facts") for entry in OWN[kind]]

    assert all("http" in entry["source"] and entry["checked"].year >= 2026 for entry in entries)
    assert all(entry["reason"] for kind in ("row", "rates") for entry in OWN[kind])


def test_only_openrouter_s_fractions_are_finer_than_we_count() -> None:
    inexact = {
        ours
        for ours, theirs in MAKE.PROVIDERS.items()
        for price in every_price(theirs)
        if price * 10**6 != int(price * 10**6)
    }

    assert inexact <= {"openrouter"}


def every_price(theirs: str) -> Iterator[Decimal]:
    for model in MAKE.models_of(theirs):
        conditional = model.prices if isinstance(model.prices, list) else [model]
        for holder in (*conditional, *(model.price_variants or ())):
            for key, value in vars(holder.prices).items():
                if key in MAKE.RATES and value is not None:
                    yield from (
                        (value.base, *(tier.price for tier in value.tiers)) if hasattr(value, "base") else (value,)
                    )


def test_importing_reads_no_table_and_pricing_does() -> None:
    program = (
        "import ostinato, ostinato.pricing as p; from ostinato.pricing import table;"
        "before = table._table.cache_info().currsize; p.supports_prompt_caching('gpt-4o');"
        "print(before, table._table.cache_info().currsize)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["0", "1"]


def test_importing_ostinato_imports_no_prices() -> None:
    program = "import sys, ostinato; print([name for name in sys.modules if 'pricing' in name])"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------------- invariants

Case = tuple[str, Rates, dict[str, Any]]


def every_rate() -> Iterator[Case]:
    """Yield the rates of every model, period, tier and band, with the kinds that have a price of their own."""
    for model in table.models():
        if model.prices is None:
            continue
        moments = [period.start_s for period in model.prices.periods]
        for moment in moments:
            for tier in (None, *model.prices.tiers):
                amounts = {**model.prices.amounts(moment), **(model.prices.special(moment, tier) if tier else {})}
                for _, rates in bands_of(amounts):
                    yield f"{model.provider}/{model.id}", rates, dict(amounts)


RATES = list(every_rate())
CLAUDE = [case for case in RATES if "claude" in case[0] and not case[0].startswith("openrouter/")]

WRITES_NOT_1_25 = {
    "anthropic/claude-3-haiku": "0.30, not 0.3125; platform.claude.com/docs/en/about-claude/pricing (2026-11-22)",
    "google/claude-3-haiku": "the same",
}


def test_a_write_for_five_minutes_costs_one_and_a_quarter_of_the_input() -> None:
    odd = {
        name for name, rates, amounts in CLAUDE if "write" in amounts and rates.written_else * 4 != rates.uncached * 5
    }

    assert odd == WRITES_NOT_1_25.keys()


def test_a_write_for_an_hour_costs_twice_the_input() -> None:
    assert {
        name for name, rates, _ in CLAUDE if rates.written.get("1h", rates.uncached * 2) != rates.uncached * 2
    } == set()


def test_a_write_of_openai_costs_one_and_a_quarter_and_for_twelve_hours_two_and_a_half() -> None:
    cases = [case for case in RATES if case[0].startswith("openai/") and "write" in case[2]]

    assert cases
    assert all(rates.written_else * 4 == rates.uncached * 5 for _, rates, _ in cases)
    assert all(rates.written["12h"] * 2 == rates.uncached * 5 for _, rates, _ in cases)


READS_NOT_BELOW_INPUT: dict[str, str] = {}


def test_a_read_costs_less_than_the_input() -> None:
    odd = {
        name
        for name, rates, amounts in RATES
        if "read" in amounts and rates.uncached and not rates.read < rates.uncached and "openrouter/" not in name
    }

    assert odd == READS_NOT_BELOW_INPUT.keys()


def test_a_regional_profile_of_bedrock_costs_a_tenth_more_than_the_global_one() -> None:
    rows = {model.id: model for model in table.models() if model.provider == "bedrock"}
    pairs = [(rows[name], rows[name.replace("global.", "regional.")]) for name in rows if name.startswith("global.")]
    odd = set()
    for everywhere, regional in pairs:
        if everywhere.prices and regional.prices:
            one, other = everywhere.prices.bands(1.8e9, None), regional.prices.bands(1.8e9, None)
            if [rates.uncached * 11 for _, rates in one] != [rates.uncached * 10 for _, rates in other]:
                odd.add(everywhere.id)

    # Sold before Bedrock told the two apart: Claude Sonnet 4.
    assert odd == {"global.anthropic.claude-sonnet-4-20250514-v1:0"}
    assert len(pairs) > 20


def test_a_longer_prompt_never_costs_less_a_token() -> None:
    for model in table.models():
        if model.prices is not None:
            uncached = [rates.uncached for _, rates in model.prices.bands(1.8e9, None)]
            assert uncached == sorted(uncached, reverse=True), model.id


# --------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("o3-mini", "openai", "o3-mini"),
        ("claude-opus-5", "anthropic", "claude-opus-5"),
        ("anthropic/claude-opus-5", "anthropic", "claude-opus-5"),
        ("deepseek-chat", "deepseek", "deepseek-chat"),
        ("bedrock/converse/us.amazon.nova-pro-v1:0", "bedrock", "converse/us.amazon.nova-pro-v1:0"),
        ("us.anthropic.claude-opus-5", "bedrock", "us.anthropic.claude-opus-5"),
        ("amazon.nova-pro-v1:0", "bedrock", "amazon.nova-pro-v1:0"),
        ("grok-4.3", "xai", "grok-4.3"),
        ("x-ai/grok-4.3", "xai", "grok-4.3"),
        ("gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("together_ai/meta-llama/Llama-3", "together", "meta-llama/Llama-3"),
        ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
        ("llama3", "", "llama3"),
        ("ollama/llama3", "", "ollama/llama3"),
    ],
)
def test_a_model_string_names_its_provider(model: str, provider: str, name: str) -> None:
    assert table.resolve(model) == (provider, name)


def test_a_provider_that_is_given_wins_over_one_that_is_guessed() -> None:
    assert table.resolve("openai/gpt-oss-120b", "groq") == ("groq", "openai/gpt-oss-120b")
    assert table.resolve("groq/openai/gpt-oss-120b", "groq") == ("groq", "openai/gpt-oss-120b")
    assert table.resolve("gpt-4o", "azure") == ("azure", "gpt-4o")


@pytest.mark.parametrize(
    ("provider", "name", "id_"),
    [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "GPT-4o", "gpt-4o"),
        ("openai", "gpt-5.2-20251211", "gpt-5.2"),
        ("openai", "ft:gpt-4o-2024-08-06:org::id", "ft:gpt-4o"),
        ("azure", "gpt-4o", "gpt-4o"),
        ("azure", "gpt-35-turbo", "gpt-3.5-turbo"),
        ("anthropic", "claude-3-5-sonnet-20240620", "claude-3-5-sonnet"),
        ("anthropic", "claude-opus-5-5-20261001", "claude-opus-5-5"),
        (
            "bedrock",
            "converse/anthropic.claude-3-haiku-20240307-v1%3A0",
            "regional.anthropic.claude-3-haiku-20240307-v1:0",
        ),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-opus-5",
            "global.anthropic.claude-opus-5",
        ),
        ("bedrock", "us-east-1/us.anthropic.claude-opus-5", "regional.anthropic.claude-opus-5"),
        ("google", "gemini-2.5-pro-preview-05-06", "gemini-2.5-pro"),
    ],
)
def test_a_name_means_its_model(provider: str, name: str, id_: str) -> None:
    model = table.find(provider, name)

    assert model is not None
    assert model.id == id_


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "gpt-4oo"),
        ("openai", ""),
        ("google", "gemini-2.5-pro-tts-x"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x1"),
        ("openai_compatible", "gpt-4o"),
        ("", "gpt-4o"),
    ],
)
def test_an_unknown_name_means_no_model(provider: str, name: str) -> None:
    assert table.find(provider, name) is None


def test_names_that_were_asked_for_do_not_pile_up() -> None:
    for number in range(table.MAX_FOUND + 10):
        table.find("nobody", f"model-{number}")

    assert len(table._found) <= table.MAX_FOUND


def test_retired_models_keep_their_price() -> None:
    assert prices_of("openai", "gpt-4o")[:3] == (2_500_000, 1_250_000, 10_000_000)
    assert prices_of("openai", "gpt-3.5-turbo")[::2] == (500_000, 1_500_000)
    assert prices_of("anthropic", "claude-3-5-sonnet-20240620") == (3_000_000, 300_000, 15_000_000)
    model = table.find("anthropic", "claude-3-5-sonnet-20240620")
    assert model is not None
    assert model.prices is not None
    assert model.prices.bands(1.8e9, None)[0][1].written_else == 3_750_000


def prices_of(provider: str, name: str) -> tuple[int, int, int]:
    model = table.find(provider, name)
    assert model is not None
    assert model.prices is not None
    rates = model.prices.bands(1.8e9, None)[0][1]
    return rates.uncached, rates.read, rates.output
