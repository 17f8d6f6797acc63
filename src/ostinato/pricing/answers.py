"""What an answer costs, as its reader asks: `completion_cost`, `cost_per_token` and the exact parts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ostinato.errors import ConfigurationError
from ostinato.pricing.cost import Cost, price
from ostinato.pricing.names import dollars
from ostinato.pricing.rates import Prices
from ostinato.pricing.runs import runs_of
from ostinato.pricing.statement import stated_pico
from ostinato.pricing.table import find, near, resolve
from ostinato.wire.tokens import Tokens

FREE = Cost()
"""What an answer from the response cache costs, or one that came by joining another's call."""


def completion_cost(
    completion_response: Any = None,
    model: str | None = None,
    *,
    custom_llm_provider: str | None = None,
    custom_cost_per_token: Mapping[str, object] | Prices | None = None,
    at: datetime | float | None = None,
) -> float | None:
    """Return what an answer cost, in US dollars: 0 for a hit, None and one warning where it is not known.

    It is priced by the model that answered; by `model` where that one is not known.

    Args:
        completion_response: a Completion, Embeddings, the last Chunk, or a mapping of that shape.
        model: the model as it was asked for, `provider/model`.
        custom_llm_provider: the provider, where neither the answer nor `model` says it.
        custom_cost_per_token: prices instead of the table's, under LiteLLM's names.
        at: when the call was made; the answer's `created` unless given.
    """
    cost = cost_details(
        completion_response,
        model,
        custom_llm_provider=custom_llm_provider,
        custom_cost_per_token=custom_cost_per_token,
        at=at,
    )
    return None if cost is None else float(cost)


def cost_details(
    completion_response: Any = None,
    model: str | None = None,
    *,
    custom_llm_provider: str | None = None,
    custom_cost_per_token: Mapping[str, object] | Prices | None = None,
    at: datetime | float | None = None,
) -> Cost | None:
    """Return what an answer cost, exactly and by part: nothing for a hit, None and one warning where unknown."""
    if _attribute(completion_response, "_cache_hit") or _attribute(completion_response, "_free"):
        return FREE
    bought = _attribute(completion_response, "_bought")
    if bought is not None:
        completion_response = bought
    pricer = _attribute(completion_response, "_pricer")
    if pricer is not None and custom_cost_per_token is None and custom_llm_provider is None and at is None:
        known: Cost | None = pricer(completion_response)  # by the prices of its own call
        if known is not None or model is None:
            return known
    custom = _prices(custom_cost_per_token)
    return price_answer(completion_response, model=model, provider=custom_llm_provider, custom=custom, at=at)


def price_answer(
    answer: Any,
    *,
    model: str | None = None,
    provider: str | None = None,
    custom: Prices | None = None,
    at: datetime | float | None = None,
) -> Cost | None:
    """Return what an answer costs when its vendor gives it, whether or not it came from the response cache.

    What the vendor itself states in the answer is believed before the table, and custom prices before both.
    """
    names = list(_names(answer, model, provider))
    if not names and custom is not None:
        names = [("", "")]
    if not names:
        raise ConfigurationError("an answer without a model needs model='provider/model'")
    owner, name = names[0] if custom is not None else next((each for each in names if _priced(*each)), names[0])
    stated = stated_pico(owner, _usage(answer)) if custom is None else None
    if stated is not None and not _priced(owner, name):
        return FREE.stated(stated)
    cost = price(_runs(answer), provider=owner, model=name, at=_moment(answer, at), custom=custom)
    return cost if cost is None or stated is None else cost.stated(stated)


def cost_per_token(
    model: str,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    cache_read_input_tokens: int = 0,
    cache_creation_input_tokens: int = 0,
    *,
    custom_llm_provider: str | None = None,
    custom_cost_per_token: Mapping[str, object] | Prices | None = None,
    at: datetime | float | None = None,
) -> tuple[float, float]:
    """Return what a prompt and its completion cost, in US dollars, now or at a moment.

    `prompt_tokens` is the whole prompt, cache reads and writes included. Where it is less than those two together,
    it cannot be: it is then what was neither read nor written.

    Raises: ConfigurationError: the model's price is not known; the message names near ones.
    """
    custom = _prices(custom_cost_per_token)
    owner, name = resolve(model, custom_llm_provider)
    if custom is None and not _priced(owner, name):
        raise unknown_model(model, owner, name)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "cache_read_input_tokens": cache_read_input_tokens,
        "cache_creation_input_tokens": cache_creation_input_tokens,
    }
    for key, value in usage.items():
        if not isinstance(value, int) or value < 0:
            raise ConfigurationError(f"{key} must be a number of tokens, at least 0, not {value!r}")
    runs = runs_of(usage) or [Tokens()]
    cost = price(runs, provider=owner, model=name, at=time.time() if at is None else at, custom=custom)
    if cost is None:
        raise unknown_model(model, owner, name)
    return dollars(cost.total_pico - cost.output_pico), dollars(cost.output_pico)


def unknown_model(model: str, provider: str, name: str) -> ConfigurationError:
    """Return the error for a model that is not in the table; it names those that look like it."""
    found = near(provider, name)
    hint = f"near ones: {', '.join(found)}" if found else "set it with ostinato.register_model"
    return ConfigurationError(f"no prices and facts are known of model {model!r}; {hint}")


def _prices(costs: Mapping[str, object] | Prices | None) -> Prices | None:
    return costs if costs is None or isinstance(costs, Prices) else Prices.of(costs)


def _priced(provider: str, name: str) -> bool:
    model = find(provider, name)
    return model is not None and model.prices is not None


def _names(answer: Any, model: str | None, provider: str | None) -> Iterator[tuple[str, str]]:
    """Yield the provider and name of the model that answered, then of the one that was asked for.

    On Bedrock the other way round: the model that answered does not say by which profile it was reached, and a
    regional one costs a tenth more than the global one.
    """
    asked = resolve(model, provider) if model else None
    owner = provider or _attribute(answer, "_provider") or (asked[0] if asked else None)
    owner = getattr(owner, "name", owner)
    said = _member(answer, "model")
    answered = resolve(said, owner) if isinstance(said, str) and said else None
    first, second = (asked, answered) if asked is not None and asked[0] == "bedrock" else (answered, asked)
    if first is not None:
        yield first
    if second is not None:
        yield second


def _runs(answer: Any) -> list[Tokens] | None:
    runs = _attribute(answer, "_runs")
    if runs is not None:
        return list(runs)
    tier = _member(answer, "service_tier")
    return runs_of(_usage(answer), service_tier=tier if isinstance(tier, str) else None)


def _usage(answer: Any) -> Mapping[str, Any]:
    usage = _member(answer, "usage")
    if hasattr(usage, "model_dump") and not isinstance(usage, Mapping):
        usage = usage.model_dump()
    return usage if isinstance(usage, Mapping) else {}


def _moment(answer: Any, at: datetime | float | None) -> datetime | float:
    if at is not None:
        return at
    created = _member(answer, "created")
    return created if isinstance(created, int | float) and created > 0 else time.time()


def _member(answer: Any, name: str) -> Any:
    if isinstance(answer, dict):
        return dict.get(answer, name)
    return answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)


def _attribute(answer: Any, name: str) -> Any:
    """Return what the client noted beside the answer; a plain mapping has nothing there."""
    return getattr(answer, name, None)
