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
MAX_WARNED = 1000

TIERS_APART = frozenset({"flex", "priority", "batch", "fast", "ultrafast"})
"""Service tiers that are known to cost something else than the standard one."""


class Cost(msgspec.Struct, frozen=True):
    """What a call costs, in US dollars.

    `uncached`, `read`, `written`, `output` and `fees` share nothing and add up to `total`; `reasoning` is a part of
    `output`, `audio` and `image` a part of all. The properties are exact decimals, the fields whole picodollars
    (10^-12). `float(cost)` is the total as the nearest float.
    """

    uncached_pico: int = 0
    read_pico: int = 0
    written_pico: Mapping[str, int] = msgspec.field(default_factory=dict)
    output_pico: int = 0
    reasoning_pico: int = 0
    audio_pico: int = 0
    image_pico: int = 0
    fees_pico: Mapping[str, int] = msgspec.field(default_factory=dict)
    without_prompt_cache_pico: int = 0
    unpriced: tuple[str, ...] = ()
    """What is billed apart and has no known price: the vendor takes more than `total`."""

    currency = "USD"

    @property
    def total_pico(self) -> int:
        """All of it, in picodollars."""
        tokens = self.uncached_pico + self.read_pico + sum(self.written_pico.values()) + self.output_pico
        return tokens + sum(self.fees_pico.values()) if self.fees_pico else tokens

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
    def image(self) -> Decimal:
        """The part of `total` that was images, where the vendor counts them apart."""
        return _decimal(self.image_pico)

    @property
    def fees(self) -> dict[str, Decimal]:
        """What is not billed by the token, by what for: `web_search` … and `stated`.

        `stated` is by how much the vendor's own statement of its price differs from the rest, up or down.
        """
        return {what: _decimal(amount) for what, amount in self.fees_pico.items()}

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
        return Cost(
            self.uncached_pico + other.uncached_pico,
            self.read_pico + other.read_pico,
            _summed(self.written_pico, other.written_pico),
            self.output_pico + other.output_pico,
            self.reasoning_pico + other.reasoning_pico,
            self.audio_pico + other.audio_pico,
            self.image_pico + other.image_pico,
            _summed(self.fees_pico, other.fees_pico),
            self.without_prompt_cache_pico + other.without_prompt_cache_pico,
            (*self.unpriced, *(what for what in other.unpriced if what not in self.unpriced)),
        )

    def minus(self, other: Cost) -> float:
        """Return what this costs more than `other`, in US dollars."""
        return dollars(self.total_pico - other.total_pico)

    def stated(self, total_pico: int) -> Cost:
        """Return the same with the total that the vendor states it has charged; everything has its price then."""
        difference = total_pico - self.total_pico
        if not difference:
            return msgspec.structs.replace(self, unpriced=())
        return msgspec.structs.replace(
            self,
            fees_pico=_summed(self.fees_pico, {"stated": difference}),
            without_prompt_cache_pico=self.without_prompt_cache_pico + difference,
            unpriced=(),
        )


def _summed(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    if not other:
        return one
    return {
        name: one.get(name, 0) + other.get(name, 0) for name in (*one, *(name for name in other if name not in one))
    }


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
        if part.unpriced:
            tools = ", ".join(part.unpriced)
            _warn(("tools", provider, name, tools), f"{provider}/{name}: no price for {tools}; it is not in the cost")
        cost = part if cost is None else cost + part
    return cost


def _cost_of(run: Tokens, prices: Prices, at_s: float) -> Cost:
    prompt = run.prompt
    bands = prices.bands(at_s, run.service_tier, run.region)
    rates = bands[-1][1]
    if len(bands) > 1:
        rates = next((above for start, above in bands if prompt > start), rates)
    written = {}
    for kept, count in run.written.items():
        written[kept] = count * rates.written.get(kept, rates.written_else)
    reasoning = run.reasoning * rates.reasoning
    if run.calls or run.audio_input or run.audio_read or run.audio_output:
        return _cost_of_all(run, rates, written)
    if run.image_input or run.image_read or run.image_output:
        return _cost_of_all(run, rates, written)
    uncached = run.uncached * rates.uncached
    output = (run.output - run.reasoning) * rates.output + reasoning
    return Cost(uncached, run.read * rates.read, written, output, reasoning, 0, 0, {}, prompt * rates.uncached + output)


def _cost_of_all(run: Tokens, rates: Rates, written: Mapping[str, int]) -> Cost:
    """Price a run that has more than text."""
    heard = (
        run.audio_input * rates.audio_input,
        run.audio_read * rates.audio_read,
        run.audio_output * rates.audio_output,
    )
    seen = run.image_input * rates.image_input, run.image_read * rates.image_read, run.image_output * rates.image_output
    reasoning = run.reasoning * rates.reasoning
    text_out = max(0, run.output - run.audio_output - run.image_output - run.reasoning)
    output = text_out * rates.output + reasoning + heard[2] + seen[2]
    fees = {tool: count * rates.calls[tool] for tool, count in run.calls.items() if tool in rates.calls}
    audio, image = run.audio_input + run.audio_read, run.image_input + run.image_read
    unread = audio * rates.audio_input + image * rates.image_input + (run.prompt - audio - image) * rates.uncached
    return Cost(
        (run.uncached - run.audio_input - run.image_input) * rates.uncached + heard[0] + seen[0],
        (run.read - run.audio_read - run.image_read) * rates.read + heard[1] + seen[1],
        written,
        output,
        reasoning,
        sum(heard),
        sum(seen),
        {tool: fee for tool, fee in fees.items() if fee},
        unread + output + sum(fees.values()),
        tuple(tool for tool in run.calls if tool not in rates.calls),
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
