"""What a call costs, exactly and by part: one function, whatever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from ostinato.errors import warn
from ostinato.pricing.names import dollars
from ostinato.pricing.rates import Prices, Rates
from ostinato.pricing.table import find
from ostinato.wire.tokens import Tokens

_warned: set[tuple[str, ...]] = set()
MAX_WARNED = 4096

TIERS_APART = frozenset({"flex", "priority", "batch", "fast", "ultrafast"})
"""Service tiers that are known to cost something else than the standard one."""


class Cost(msgspec.Struct, frozen=True):
    """What a call costs, in US dollars.

    `uncached`, `read`, `written` and `output` share nothing and add up to `total`; `reasoning` is a part of
    `output`, `audio` a part of all. The properties are exact decimals, the fields whole picodollars (10^-12).
    `float(cost)` is the total as the nearest float.
    """

    uncached_pico: int = 0
    read_pico: int = 0
    written_pico: Mapping[str, int] = msgspec.field(default_factory=dict)
    output_pico: int = 0
    reasoning_pico: int = 0
    audio_pico: int = 0
    without_prompt_cache_pico: int = 0

    currency = "USD"

    @property
    def total_pico(self) -> int:
        """All of it, in picodollars."""
        return self.uncached_pico + self.read_pico + sum(self.written_pico.values()) + self.output_pico

    @property
    def total(self) -> Decimal:
        """All of it."""
        return _decimal(self.total_pico)

    @property
    def uncached(self) -> Decimal:
        """Prompt tokens neither read from nor written to the prompt cache."""
        return _decimal(self.uncached_pico)

    @property
    def read(self) -> Decimal:
        """Prompt tokens read from the prompt cache."""
        return _decimal(self.read_pico)

    @property
    def written(self) -> dict[str, Decimal]:
        """Prompt tokens written to the prompt cache, by the time they are kept; `""` where the vendor names none."""
        return {kept: _decimal(amount) for kept, amount in self.written_pico.items()}

    @property
    def output(self) -> Decimal:
        """Output tokens, reasoning included."""
        return _decimal(self.output_pico)

    @property
    def reasoning(self) -> Decimal:
        """The part of `output` that was reasoning."""
        return _decimal(self.reasoning_pico)

    @property
    def audio(self) -> Decimal:
        """The part of `total` that was audio."""
        return _decimal(self.audio_pico)

    @property
    def without_prompt_cache(self) -> Decimal:
        """What the same call would have cost with nothing read from the prompt cache and nothing written to it."""
        return _decimal(self.without_prompt_cache_pico)

    @property
    def prompt_cache_saving(self) -> Decimal:
        """What the prompt cache saved on this call. Below 0 where its writes cost more than its reads saved."""
        return _decimal(self.without_prompt_cache_pico - self.total_pico)

    def __float__(self) -> float:
        return dollars(self.total_pico)

    def __add__(self, other: Cost) -> Cost:
        """Return both together."""
        written = dict(self.written_pico)
        for kept, amount in other.written_pico.items():
            written[kept] = written.get(kept, 0) + amount
        return Cost(
            self.uncached_pico + other.uncached_pico,
            self.read_pico + other.read_pico,
            written,
            self.output_pico + other.output_pico,
            self.reasoning_pico + other.reasoning_pico,
            self.audio_pico + other.audio_pico,
            self.without_prompt_cache_pico + other.without_prompt_cache_pico,
        )


def price(
    runs: Sequence[Tokens] | None,
    *,
    provider: str,
    model: str,
    at: datetime | float,
    custom: Prices | None = None,
) -> Cost | None:
    """Return what `runs` of one call cost at the prices of a moment; None, and one warning a model, when unknown.

    A price is never guessed and never 0 for want of one. Each run is priced by its own model where it names one.

    Args:
        runs: the call's tokens; None or empty where the vendor did not say.
        provider: its name, as in `provider/model`.
        model: the model that answered, without the provider.
        at: when the call was made; seconds since 1970, or a datetime (UTC where it names no zone).
        custom: prices of this call or deployment, instead of the table's.
    """
    if not runs:
        _warn_unknown(provider, model, "the answer does not say how many tokens it took")
        return None
    at_s = at if isinstance(at, float) else seconds(at)
    cost: Cost | None = None
    for run in runs:
        name = run.model or model
        prices = custom
        if prices is None or name != model:
            found = find(provider, name)
            prices = found.prices if found is not None else None
            if prices is None:
                _warn_unknown(provider, name, "its price is not known; set it with ostinato.register_model")
                return None
        tier = run.service_tier
        if tier in TIERS_APART and tier not in prices.tiers:
            _warn(
                ("tier", provider, name, str(tier)),
                f"{provider}/{name}: no price for tier {tier!r}; the standard one is used",
            )
        part = _cost_of(run, prices, at_s)
        cost = part if cost is None else cost + part
    return cost


def _cost_of(run: Tokens, prices: Prices, at_s: float) -> Cost:
    prompt = run.prompt
    bands = prices.bands(at_s, run.service_tier)
    rates = bands[-1][1]
    if len(bands) > 1:
        rates = next((above for start, above in bands if prompt > start), rates)
    if run.audio_input or run.audio_read or run.audio_output:
        return _cost_with_audio(run, rates)
    uncached = run.uncached * rates.uncached
    read = run.read * rates.read
    written = {}
    for kept, count in run.written.items():
        written[kept] = count * rates.written.get(kept, rates.written_else)
    thought = min(run.reasoning, run.output)  # OpenRouter has named more of it than there was output
    reasoning = thought * rates.reasoning
    output = (run.output - thought) * rates.output + reasoning
    return Cost(uncached, read, written, output, reasoning, 0, prompt * rates.uncached + output)


def _cost_with_audio(run: Tokens, rates: Rates) -> Cost:
    audio_in, audio_read, audio_out = (
        min(run.audio_input, run.uncached),
        min(run.audio_read, run.read),
        run.audio_output,
    )
    text_out = max(0, run.output - audio_out - run.reasoning)
    heard = audio_in * rates.audio_input, audio_read * rates.audio_read, audio_out * rates.audio_output
    reasoning = run.reasoning * rates.reasoning
    output = text_out * rates.output + reasoning + heard[2]
    plain = (run.prompt - audio_in - audio_read) * rates.uncached + (audio_in + audio_read) * rates.audio_input
    return Cost(
        (run.uncached - audio_in) * rates.uncached + heard[0],
        (run.read - audio_read) * rates.read + heard[1],
        {kept: count * rates.written.get(kept, rates.written_else) for kept, count in run.written.items()},
        output,
        reasoning,
        sum(heard),
        plain + output,
    )


def seconds(at: datetime | float) -> float:
    """Return a moment as seconds since 1970; a datetime without a zone is UTC."""
    if not isinstance(at, datetime):
        return float(at)
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def _warn_unknown(provider: str, model: str, reason: str) -> None:
    _warn(("unknown", provider, model, reason), f"{provider}/{model} is not priced: {reason}".lstrip("/"))


def _warn(key: tuple[str, ...], message: str) -> None:
    """Log a warning, once for the life of the process."""
    if key not in _warned and len(_warned) < MAX_WARNED:
        _warned.add(key)
        warn(message)


def _decimal(picodollars: int) -> Decimal:
    """Return picodollars as US dollars, without trailing zeros."""
    value = Decimal(picodollars).scaleb(-12)
    whole = value.to_integral_value()
    return whole if value == whole else value.normalize()
