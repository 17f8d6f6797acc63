"""What is known of a model, and how to say what is not: facts and prices under LiteLLM's names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ostinato.errors import ConfigurationError
from ostinato.pricing.answers import unknown_model
from ostinato.pricing.cost import seconds
from ostinato.pricing.names import KINDS, is_price, named
from ostinato.pricing.rates import Prices
from ostinato.pricing.table import Model, find, register, resolve

FACTS = {
    "max_tokens": "max_output",
    "max_output_tokens": "max_output",
    "max_input_tokens": "context",
    "prompt_cache_min_tokens": "minimum",
    "mode": "mode",
}
"""LiteLLM's names for facts, and ours."""
FLAGS = (
    "supports_audio_input",
    "supports_audio_output",
    "supports_function_calling",
    "supports_parallel_function_calling",
    "supports_pdf_input",
    "supports_reasoning",
    "supports_response_schema",
    "supports_system_messages",
    "supports_tool_choice",
    "supports_vision",
    "supports_web_search",
)
"""What LiteLLM's users register besides; kept, and given back."""
_NAMES = (*FACTS, *FLAGS, *KINDS, "litellm_provider", "supports_prompt_caching")


def register_model(models: Mapping[str, Mapping[str, Any]]) -> None:
    """Set prices (US dollars per token) and facts of models, for this process.

    Prices replace those of the table as a whole: a kind of token without one costs what input costs. Facts replace
    one by one. The name is the model's, with its provider in front or as `litellm_provider`; without either, any
    provider may sell it.

    Raises: ConfigurationError: an unknown name; the message names the nearest. Then nothing is registered.
    """
    made = [_model_of(name, fields) for name, fields in models.items()]
    for provider, name, model in made:
        register(provider, name, model)


def get_model_info(
    model: str, custom_llm_provider: str | None = None, *, at: datetime | float | None = None
) -> dict[str, Any]:
    """Return the facts and prices (US dollars per token) of a model, now or at a moment. Unknown ones are None.

    Raises: ConfigurationError: the model is not known; the message names near ones.
    """
    provider, name = resolve(model, custom_llm_provider)
    found = find(provider, name)
    if found is None:
        raise unknown_model(model, provider, name)
    facts = found.facts
    info: dict[str, Any] = {
        "key": found.id,
        "litellm_provider": found.provider,
        "mode": facts.get("mode"),
        "max_tokens": facts.get("max_output"),
        "max_input_tokens": facts.get("context"),
        "max_output_tokens": facts.get("max_output"),
        "supports_prompt_caching": found.caches_prompts,
        "prompt_cache_min_tokens": facts.get("minimum"),
        **dict.fromkeys(KINDS),
    }
    info |= {flag: facts[flag] for flag in FLAGS if flag in facts}
    if found.prices is not None:
        at_s = time.time() if at is None else seconds(at)
        tiers = {"": found.prices.amounts(at_s)} | {
            tier: found.prices.special(at_s, tier) for tier in found.prices.tiers
        }
        info |= dict(named(tiers))
    return info


def supports_prompt_caching(model: str, custom_llm_provider: str | None = None) -> bool:
    """Say whether the model's provider keeps prefixes of its prompts, asked or unasked; False for an unknown one."""
    found = find(*resolve(model, custom_llm_provider))
    return found is not None and found.caches_prompts


def _model_of(key: str, fields: Mapping[str, Any]) -> tuple[str, str, Model]:
    for field in fields:
        if field not in _NAMES and not is_price(field):
            from difflib import get_close_matches

            near = get_close_matches(field, _NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(_NAMES)}"
            raise ConfigurationError(f"{key!r} has an unknown field {field!r}{hint}")
    provider, name = resolve(key, fields.get("litellm_provider"))
    known = find(provider, name)
    facts = {**(known.facts if known else {"mode": "chat"}), **_facts_of(fields)}
    prices = known.prices if known else None
    costs = {field: value for field, value in fields.items() if is_price(field) and value is not None}
    if costs:
        if facts["mode"] == "embedding":
            costs.setdefault("output_cost_per_token", 0)
        prices = Prices.of(costs)
        if "cache_read_input_token_cost" in costs and facts.get("caching", "none") == "none":
            facts["caching"] = "auto"
    caches = fields.get("supports_prompt_caching")
    if caches is not None and caches != (facts.get("caching", "none") != "none"):
        facts["caching"] = "auto" if caches else "none"
    return provider, name, Model(provider, known.id if known else name, prices, facts)


def _facts_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    facts = {FACTS[field]: fields[field] for field in FACTS if fields.get(field) is not None}
    return facts | {flag: fields[flag] for flag in FLAGS if flag in fields}
