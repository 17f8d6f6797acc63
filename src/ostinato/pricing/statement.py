"""What a vendor states it has charged for a call: the invoice itself, where there is one in the answer."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ostinato.pricing.rates import PER_DOLLAR

Json = Mapping[str, Any]


def stated_pico(provider: str, usage: Json) -> int | None:
    """Return the picodollars that `provider` states in a usage as charged for the whole call, or None.

    Only the statements of vendors that document one are read: `cost` has other meanings elsewhere.
    """
    match provider:
        case "openrouter":
            return _openrouter(usage)
        case "xai":
            # Who resells its models sends 0 here (recorded answers, 2026-11-22): nothing was stated.
            return _amount(usage.get("cost_in_usd_ticks"), PER_DOLLAR // XAI_TICKS) or None
        case "perplexity":
            cost = usage.get("cost")
            return _amount(cost.get("total_cost"), PER_DOLLAR) if isinstance(cost, Mapping) else None
    return None


XAI_TICKS = 10**10
"""Ticks in a US dollar. Source: https://docs.x.ai/developers/cost-tracking (read 2026-11-22)."""


def _openrouter(usage: Json) -> int | None:
    """Return OpenRouter's own charge and, with a key of the caller's at the vendor behind it, that vendor's.

    A credit is a US dollar. Source: https://openrouter.ai/docs/use-cases/usage-accounting (read 2026-11-22).
    """
    charged = _amount(usage.get("cost"), PER_DOLLAR)
    details = usage.get("cost_details")
    if charged is None or usage.get("is_byok") is not True:
        return charged
    behind = _amount(details.get("upstream_inference_cost"), PER_DOLLAR) if isinstance(details, Mapping) else None
    return None if behind is None else charged + behind


def _amount(value: object, unit: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = Decimal(str(value)) * unit
        return round(amount) if amount.is_finite() and amount >= 0 else None
    except InvalidOperation:
        return None
