"""The names under which LiteLLM's users know prices, in US dollars per token."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

from ostinato.errors import ConfigurationError
from ostinato.pricing.rates import PER_DOLLAR, Amount, Amounts

KINDS = {
    "input_cost_per_token": "in",
    "output_cost_per_token": "out",
    "cache_read_input_token_cost": "read",
    "cache_creation_input_token_cost": "write",
    "cache_creation_input_token_cost_above_1hr": "write_1h",
    "cache_creation_input_token_cost_above_12hr": "write_12h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "cache_read_input_audio_token_cost": "audio_read",
    "output_cost_per_audio_token": "audio_out",
}
TIERS = {"priority": "priority", "flex": "flex", "batches": "batch", "fast": "fast"}
"""How a name ends for a service tier, and what the vendor calls that tier."""
_NAME = re.compile(rf"(?P<name>.+?)(?:_above_(?P<start>\d+)k_tokens)?(?:_(?P<tier>{'|'.join(TIERS)}))?")


def amounts_of(costs: Mapping[str, object]) -> dict[str, Amounts]:
    """Return the amounts by service tier; `""` is the standard one.

    Raises: ConfigurationError: an unknown name, no input or no output price, or a price that is no amount.
    """
    tiers: dict[str, dict[str, dict[int, int]]] = {"": {}}
    for name, cost in costs.items():
        if cost is None:
            continue
        tier, kind, start = _parsed(name)
        tiers.setdefault(tier, {}).setdefault(kind, {})[start] = _picodollars(name, cost)
    for needed in ("input_cost_per_token", "output_cost_per_token"):
        if 0 not in tiers[""].get(KINDS[needed], {}):
            raise ConfigurationError(f"prices need {needed!r}; there is {', '.join(map(repr, costs)) or 'nothing'}")
    return {
        tier: {kind: _amount(kind, values, tiers[""]) for kind, values in kinds.items()}
        for tier, kinds in tiers.items()
    }


def is_price(name: str) -> bool:
    """Say whether this is the name of a price."""
    match = _NAME.fullmatch(name)
    return match is not None and match["name"] in KINDS


def named(tiers: Mapping[str, Amounts]) -> Iterator[tuple[str, float]]:
    """Yield the names and US dollars per token of amounts by service tier, `""` being the standard one."""
    endings = {tier: f"_{ending}" for ending, tier in TIERS.items()} | {"": ""}
    for tier, amounts in tiers.items():
        for name, kind in KINDS.items():
            amount = amounts.get(kind)
            if amount is None or tier not in endings:
                continue
            first, *above = amount if isinstance(amount, list) else [amount]
            yield f"{name}{endings[tier]}", dollars(first)
            for start, value in zip(above[::2], above[1::2], strict=True):
                yield f"{name}_above_{-(-start // 1000)}k_tokens{endings[tier]}", dollars(value)


def dollars(picodollars: int) -> float:
    """Return picodollars as the nearest float of US dollars: it prints without noise."""
    return picodollars / PER_DOLLAR


def _parsed(name: str) -> tuple[str, str, int]:
    match = _NAME.fullmatch(name)
    kind = KINDS.get(match["name"]) if match is not None else None
    if match is None or kind is None:
        from difflib import get_close_matches

        near = get_close_matches(name, KINDS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(KINDS)}"
        raise ConfigurationError(f"unknown price {name!r}{hint}")
    return TIERS.get(match["tier"] or "", ""), kind, int(match["start"] or 0) * 1000


def _amount(kind: str, values: Mapping[int, int], standard: Mapping[str, Mapping[int, int]]) -> Amount:
    base = values.get(0, standard.get(kind, {}).get(0))
    if base is None:
        raise ConfigurationError(f"a price above {min(values) // 1000}k tokens needs the one below: {kind!r}")
    above = [part for start in sorted(values.keys() - {0}) for part in (start, values[start])]
    return [base, *above] if above else base


def _picodollars(name: str, cost: object) -> int:
    try:
        value = Decimal("NaN") if isinstance(cost, bool) else Decimal(str(cost))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise ConfigurationError(f"{name!r} must be US dollars per token, at least 0, not {cost!r}")
    return round(value * PER_DOLLAR)
