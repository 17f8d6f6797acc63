"""Write src/ostinato/pricing/prices.json from the installed genai-prices and own_prices.toml.

    python scripts/make_prices.py           write the table
    python scripts/make_prices.py --check   fail where the table is not what would be written

genai-prices (MIT) contributes facts: who is paid how much for which tokens, from when on. own_prices.toml
contributes the rows and the model facts that it lacks or has otherwise, each with its source; they win.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types as facts
from genai_prices.data import providers

ROOT = Path(__file__).resolve().parent.parent
OWN = ROOT / "scripts" / "own_prices.toml"
TABLE = ROOT / "src" / "ostinato" / "pricing" / "prices.json"
MAX_BYTES = 250_000

Row = dict[str, Any]
"""One model as it stands in the table."""

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "bedrock": "aws",
    "azure": "azure",
    "deepseek": "deepseek",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "together": "together",
    "fireworks": "fireworks",
    "xai": "x-ai",
    "openrouter": "openrouter",
}
"""Our name of a provider, and that of genai-prices."""
RATES = {
    "input_mtok": "in",
    "cache_read_mtok": "read",
    "cache_write_mtok": "write",
    "cache_write_1h_mtok": "write_1h",
    "output_mtok": "out",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_in",
    "cache_audio_read_mtok": "audio_read",
    "output_audio_mtok": "audio_out",
    "input_image_mtok": "image_in",
    "cache_image_read_mtok": "image_read",
    "output_image_mtok": "image_out",
    "web_searches_kcount": "web_search",
    "storage_searches_kcount": "file_search",
}
"""Price keys of genai-prices that `Tokens` has a counter for, and their names in the table."""
PER_THOUSAND = "_kcount"
"""How the key of a price per thousand calls ends; in the table, all are per million."""
UNCOUNTED = ("video", "searches", "hours", "mchars", "kpages", "messages")
"""Parts of the price keys for what no usage of a chat call counts: left out."""
EXACT = Decimal(10) ** 6
"""Prices are US dollars per million tokens; times this they are whole picodollars per token."""
NOISE = Decimal("1e-5")
"""How far, in proportion, a price may be from a whole number of picodollars: OpenRouter states twelfths and the
like. Others are exact, see tests/pricing/test_table.py."""


def main() -> int:
    """Write or check the table."""
    text = table(tomllib.loads(OWN.read_text(encoding="utf-8")))
    if len(text.encode()) > MAX_BYTES:
        print(f"make_prices: {len(text.encode())} bytes are more than {MAX_BYTES}", file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        if TABLE.read_text(encoding="utf-8") == text:
            return 0
        print(f"make_prices: {TABLE.relative_to(ROOT)} is not what its sources say; run it anew", file=sys.stderr)
        return 1
    TABLE.write_text(text, encoding="utf-8")
    print(f"make_prices: {TABLE.relative_to(ROOT)}, {len(text.encode())} bytes, genai-prices {version('genai-prices')}")
    return 0


def table(own: Mapping[str, Any]) -> str:
    """Return the text of the table, one model a line."""
    groups = {ours: [row_of(model) for model in models_of(theirs)] for ours, theirs in PROVIDERS.items()}
    for row in groups["openrouter"]:
        row.pop("context", None)  # 900 of them, and the models' own vendors have it
    for change in own.get("row", ()):
        put(groups[change["provider"]], change)
    for change in own.get("rates", ()):
        add_rates(groups[change["provider"]], change)
    for change in own.get("facts", ()):
        add_facts(groups[change["provider"]], change)
    for name, rows in groups.items():
        late = [row["id"] for row in rows if any("hours" in period for period in row["prices"])]
        if late:
            raise ValueError(f"{name}: {late} have prices by the hour; write them as [[row]] in {OWN.name}")
    checked = max(change["checked"] for kind in ("row", "rates", "facts") for change in own.get(kind, ()))
    head = {
        "source": f"genai-prices {version('genai-prices')}, https://github.com/pydantic/genai-prices",
        "licence": "MIT",
        "own": "scripts/own_prices.toml",
        "checked": checked.isoformat(),
    }
    return written(head, own["provider"], groups)


def written(head: Mapping[str, str], lookup: Mapping[str, Any], groups: Mapping[str, list[Row]]) -> str:
    """Return the table as JSON, one model a line, so that a change can be read."""
    blocks = []
    for name, rows in groups.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
        rule = json.dumps(lookup.get(name, {}), separators=(",", ":"))
        blocks.append(f'"{name}":{{"lookup":{rule},"models":[\n{lines}\n]}}')
    return f'{{"about":{json.dumps(head)},\n"providers":{{\n' + ",\n".join(blocks) + "\n}}\n"


def models_of(theirs: str) -> list[facts.ModelInfo]:
    """Return the models of one provider of genai-prices, in its order: the first match counts."""
    return next(provider.models for provider in providers if provider.id == theirs)


def row_of(model: facts.ModelInfo) -> Row:
    """Return a model of genai-prices as a row."""
    row: Row = {"id": model.id}
    clauses = clauses_of(model.match)
    if clauses != [f"={model.id}"]:
        row["match"] = clauses
    if model.context_window:
        row["context"] = model.context_window
    conditional = model.prices if isinstance(model.prices, list) else [facts.ConditionalPrice(prices=model.prices)]
    row["prices"] = [period for price in conditional if (period := period_of(price.prices, price.constraint))]
    tiers: dict[str, list[Row]] = {}
    for variant in model.price_variants or ():
        tier = tier_of(variant.when)
        if tier and (period := period_of(variant.prices, variant.constraint, whole=False)) is not None:
            tiers.setdefault(tier, []).append(period)
    if tiers:
        row["tiers"] = tiers
    return row


def clauses_of(match: Any) -> list[Any]:
    """Return the alternatives of a match: a sign and a text each, or a list of them that must all hold."""
    match match:
        case facts.ClauseOr():
            return [clause for part in match.or_ for clause in clauses_of(part)]
        case facts.ClauseAnd():
            return [[clause for part in match.and_ for clause in clauses_of(part)]]
        case facts.ClauseEquals():
            return [f"={match.equals.lower()}"]
        case facts.ClauseStartsWith():
            return [f"^{match.starts_with.lower()}"]
        case facts.ClauseEndsWith():
            return [f"${match.ends_with.lower()}"]
        case facts.ClauseContains():
            return [f"*{match.contains.lower()}"]
        case facts.ClauseRegex():
            return [f"~{match.regex}"]
    raise ValueError(f"unknown clause {match!r}")


def tier_of(when: Mapping[str, str]) -> str | None:
    """Return the service tier that a price variant stands for; None for the standard one."""
    match dict(when):
        case {"processing": "batch"}:
            return "batch"
        case {"speed": "fast"}:
            return "fast"
        case {"service_tier": "default"} | {"route": _}:
            return None
        case {"service_tier": tier}:
            return tier
    raise ValueError(f"unknown price variant {when!r}")


def period_of(prices: facts.ModelPrice, constraint: object, *, whole: bool = True) -> Row | None:
    """Return one set of prices, or None where nothing in it is per token.

    A `whole` set without any price means free of charge; an empty override means the standard price.
    """
    row: Row = {}
    match constraint:
        case None:
            pass
        case facts.StartDateConstraint():
            row["from"] = constraint.start_date.isoformat()
        case facts.TimeOfDateConstraint():
            row["hours"] = True  # only rows that own_prices.toml replaces may have them: see table()
    values = {key: value for key, value in vars(prices).items() if value is not None}
    if not values and whole:
        return {**row, "in": 0, "out": 0}
    counted = {
        RATES[key]: scaled(amount_of(value), 1000) if key.endswith(PER_THOUSAND) else amount_of(value)
        for key, value in values.items()
        if key in RATES
    }
    for key in values.keys() - RATES.keys():
        if not any(part in key for part in UNCOUNTED):
            raise ValueError(f"unknown price key {key!r}")
    return None if values and not counted else row | counted


def amount_of(price: Any) -> Any:
    """Return a price as a number, or as `[price, start, price above it, …]` where it has bands."""
    if isinstance(price, facts.TieredPrices):
        return [number(price.base), *(part for tier in price.tiers for part in (tier.start, number(tier.price)))]
    return number(price)


def number(price: Decimal) -> int | float:
    """Return a price as a number of JSON. Raises: ValueError: it is finer than picodollars per token."""
    exact = Decimal(str(price))
    rounded = round(exact * EXACT) / EXACT
    if abs(rounded - exact) > NOISE * exact:
        raise ValueError(f"{price} is not a whole number of picodollars per token")
    return int(rounded) if rounded == int(rounded) else float(rounded)


def put(rows: list[Row], change: Mapping[str, Any]) -> None:
    """Replace the prices of the row with the same id, or set a new row before all others."""
    row = next((row for row in rows if row["id"] == change["id"]), None)
    if row is None:
        row = {"id": change["id"]}
        rows.insert(0, row)
    if "match" in change:
        row["match"] = change["match"]
    if "context" in change:
        row["context"] = change["context"]
    row["prices"] = [{key: plain(value) for key, value in period.items()} for period in change["prices"]]


def plain(value: Any) -> Any:
    """Return a TOML value as JSON: moments as text in UTC."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%MZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def add_rates(rows: Iterable[Row], change: Mapping[str, Any]) -> None:
    """Give every period and tier of the named rows a rate that is a multiple of another, or bands.

    Beside that, a row may get prices of tools by the call, and regions where all tokens cost a multiple.
    """
    for row in named(rows, change):
        if "regions" in change:
            row["regions"] = change["regions"]
        for period in [*row["prices"], *(item for tier in row.get("tiers", {}).values() for item in tier)]:
            for key, (factor, of) in change.get("times", {}).items():
                if of in period:
                    period[key] = scaled(period[of], factor)
            if period in row["prices"]:
                period.update(change.get("calls", {}))
            for start, factors in change.get("above", {}).items():
                for key, factor in factors.items():
                    if key in period:
                        period[key] = [period[key], int(start), scaled(period[key], factor)]


def scaled(amount: Any, factor: float) -> Any:
    """Return an amount times `factor`, its bands too."""
    if isinstance(amount, list):
        return [amount[i] if i % 2 else scaled(amount[i], factor) for i in range(len(amount))]
    return number(Decimal(str(amount)) * Decimal(str(factor)))


def add_facts(rows: Iterable[Row], change: Mapping[str, Any]) -> None:
    """Set what is known of the named rows beside their prices; the first entry that knows a fact counts."""
    for row in named(rows, change):
        if not ("cached" in change and not any("read" in period for period in row["prices"])):
            for key in ("mode", "caching", "minimum", "max_output", "context"):
                if key in change:
                    row.setdefault(key, change[key])


def named(rows: Iterable[Row], change: Mapping[str, Any]) -> list[Row]:
    """Return the rows whose id a pattern of `change` matches. Raises: ValueError: a pattern matches none."""
    found = []
    rows = list(rows)
    for pattern in change["models"]:
        matching = [row for row in rows if fnmatchcase(row["id"], pattern)]
        if not matching:
            raise ValueError(f"no model of {change['provider']} is called {pattern!r}")
        found.extend(matching)
    return found


if __name__ == "__main__":
    sys.exit(main())
