"""Prices: what a call costs, to the last digit, and what is known of its model.

    cost = price(runs, provider="openai", model="gpt-4o", at=time.time())
    cost.total, cost.read, cost.prompt_cache_saving

The table lies beside these files and is read when a price is first asked for; nothing is ever fetched.
"""

from __future__ import annotations

from ostinato.pricing.answers import completion_cost, cost_details, cost_per_token, price_answer
from ostinato.pricing.cost import Cost, price
from ostinato.pricing.models import get_model_info, register_model, supports_prompt_caching
from ostinato.pricing.rates import Prices
from ostinato.pricing.runs import runs_of

__all__ = [
    "Cost",
    "Prices",
    "completion_cost",
    "cost_details",
    "cost_per_token",
    "get_model_info",
    "price",
    "price_answer",
    "register_model",
    "runs_of",
    "supports_prompt_caching",
]
