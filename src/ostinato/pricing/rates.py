"""What tokens cost: rates by kind, valid from a date, in a band of prompt lengths, at an hour, in a service tier."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

PER_DOLLAR = 10**12
"""Picodollars in a US dollar. Every amount inside is a whole number of them, so that nothing is ever rounded."""

Amount = int | list[int]
"""Picodollars per token; or `[amount, start, amount above it, …]` where a long prompt has another one."""
Amounts = Mapping[str, Amount]
"""Amounts by kind: `in`, `read`, `write`, `write_1h`, `write_12h`, `out`, `reasoning`, `audio_in`, `audio_read`,
`audio_out`, `image_in`, `image_read`, `image_out`, and by call of a tool `web_search`, `file_search`, `web_fetch`.
What is not there has no price of its own."""

CALLS = ("web_search", "file_search", "web_fetch")
"""Tools of a vendor's own that the table may price by the call."""

WRITES = {"write_1h": "1h", "write_12h": "12h"}
"""Writes with a price of their own, and how long they are kept. Others cost `write`."""


class Rates(msgspec.Struct, frozen=True):
    """Picodollars per token, each kind with its price or that of the kind it falls back to."""

    uncached: int
    read: int
    written: Mapping[str, int]
    """By the time they are kept, where that has its own price."""
    written_else: int
    output: int
    reasoning: int
    audio_input: int
    audio_read: int
    audio_output: int
    image_input: int
    image_read: int
    image_output: int
    calls: Mapping[str, int]
    """By tool of the vendor's own, where its price is known: picodollars per call."""


Bands = tuple[tuple[int, Rates], ...]
"""Rates by prompt length, longest first. The first whose start the whole prompt exceeds hold for all of it."""


class Hours(msgspec.Struct, frozen=True):
    """Hours of the day, UTC."""

    minutes: tuple[tuple[int, int], ...]
    """Minutes of the day, the first in, the last out; over midnight where the last comes first."""
    weekdays: bool = False
    """Only from Monday to Friday."""

    def hold(self, at_s: float) -> bool:
        """Say whether the moment lies in these hours."""
        day, second = divmod(int(at_s), 86400)
        if self.weekdays and (day + 3) % 7 > 4:
            return False
        minute = second // 60
        return any(
            first <= minute < last if first <= last else minute >= first or minute < last
            for first, last in self.minutes
        )


class Period(msgspec.Struct, frozen=True):
    """Amounts that hold from a moment on."""

    start_s: float
    amounts: Amounts
    hours: Hours | None = None
    amounts_within: Amounts | None = None
    """What holds instead within `hours`."""


class Prices:
    """The prices of one model, at any moment and in any service tier.

    `Prices.of({"input_cost_per_token": 3e-06, "output_cost_per_token": 15e-06})` makes them from LiteLLM's names.
    """

    __slots__ = ("_bands", "_begun", "_starts", "periods", "regions", "tiers")

    def __init__(
        self,
        periods: Sequence[Period],
        tiers: Mapping[str, Sequence[Period]] | None = None,
        regions: Mapping[str, float] | None = None,
    ) -> None:
        self.periods = tuple(periods)
        self.tiers: Mapping[str, Sequence[Period]] = tiers or {}
        """What a service tier prices otherwise, kind by kind."""
        self.regions: Mapping[str, float] = regions or {}
        """What every token costs in a region, as a multiple."""
        dated = (*self.periods, *(period for tier in self.tiers.values() for period in tier))
        self._starts = sorted({period.start_s for period in dated if period.start_s > 0})
        self._begun = [_begun(self.periods, moment) or self.periods[0] for moment in (0, *self._starts)]
        self._bands: dict[tuple[str | None, str | None, int, bool], Bands] = {}

    @classmethod
    def of(cls, costs: Mapping[str, object]) -> Prices:
        """Return prices from LiteLLM's names (`input_cost_per_token` …), in US dollars per token.

        A kind without a price of its own costs what input costs; a write by its lifetime what writes cost.

        Raises: ConfigurationError: an unknown name (the nearest is named), no input or output price, no amount.
        """
        from ostinato.pricing.names import amounts_of

        return cls.from_amounts(amounts_of(costs))

    @classmethod
    def from_amounts(cls, tiers: Mapping[str, Amounts]) -> Prices:
        """Return prices that hold at all times, by service tier; `""` is the standard one."""
        apart = {name: (Period(0, amounts),) for name, amounts in tiers.items() if name}
        return cls((Period(0, tiers[""]),), apart)

    def bands(self, at_s: float, tier: str | None, region: str | None = None) -> Bands:
        """Return the rates at a moment (seconds since 1970), by prompt length.

        A tier or a region without prices of its own costs what the standard one costs.
        """
        slot = bisect_right(self._starts, at_s) if self._starts else 0
        hours = self._begun[slot].hours
        within = hours is not None and hours.hold(at_s)
        if tier is not None and tier not in self.tiers:
            tier = None
        if region is not None and region not in self.regions:
            region = None
        key = (tier, region, slot, within)
        found = self._bands.get(key)
        if found is None:
            amounts = self._amounts(slot, tier, within=within)
            if region is not None:
                amounts = {
                    kind: amount if kind in CALLS else _times(amount, self.regions[region])
                    for kind, amount in amounts.items()
                }
            found = self._bands[key] = bands_of(amounts)
        return found

    def amounts(self, at_s: float) -> Amounts:
        """Return the standard tier's amounts at a moment, without what falls back to another."""
        slot = bisect_right(self._starts, at_s)
        hours = self._begun[slot].hours
        return self._amounts(slot, None, within=hours is not None and hours.hold(at_s))

    def special(self, at_s: float, tier: str) -> Amounts:
        """Return what a service tier prices otherwise at a moment."""
        begun = _begun(self.tiers[tier], at_s)
        return {} if begun is None else begun.amounts

    def _amounts(self, slot: int, tier: str | None, *, within: bool) -> Amounts:
        period = self._begun[slot]
        standard = period.amounts_within if within and period.amounts_within is not None else period.amounts
        special = _begun(self.tiers.get(tier, ()), self._starts[slot - 1] if slot else 0) if tier is not None else None
        return standard if special is None else {**standard, **special.amounts}


def _times(amount: Amount, factor: float) -> Amount:
    if isinstance(amount, list):
        return [part if i % 2 else round(part * factor) for i, part in enumerate(amount)]
    return round(amount * factor)


def _begun(periods: Sequence[Period], moment: float) -> Period | None:
    """Return the last period that has begun."""
    return next((period for period in reversed(periods) if period.start_s <= moment), None)


def bands_of(amounts: Amounts) -> Bands:
    """Return the rates of every band of prompt lengths, highest first; the last one holds for any prompt."""
    starts = {start for amount in amounts.values() if isinstance(amount, list) for start in amount[1::2]}
    return tuple((start, _rates(amounts, start)) for start in sorted({-1, *starts}, reverse=True))


def _rates(amounts: Amounts, start: int) -> Rates:
    values = {kind: _above(amount, start) for kind, amount in amounts.items()}
    uncached = values.get("in", 0)
    output = values.get("out", 0)
    read = values.get("read", uncached)
    return Rates(
        uncached=uncached,
        read=read,
        written={kept: values[kind] for kind, kept in WRITES.items() if kind in values},
        written_else=values.get("write", uncached),
        output=output,
        reasoning=values.get("reasoning", output),
        audio_input=values.get("audio_in", uncached),
        audio_read=values.get("audio_read", read),
        audio_output=values.get("audio_out", output),
        image_input=values.get("image_in", uncached),
        image_read=values.get("image_read", read),
        image_output=values.get("image_out", output),
        calls={tool: values[tool] for tool in CALLS if tool in values},
    )


def _above(amount: Amount, start: int) -> int:
    if not isinstance(amount, list):
        return amount
    value = amount[0]
    for i in range(1, len(amount), 2):
        if start >= amount[i]:
            value = amount[i + 1]
    return value


def prices_of(row: Mapping[str, Any]) -> Prices:
    """Return the prices of a row of the table."""
    tiers = {name: [_period_of(period) for period in periods] for name, periods in row.get("tiers", {}).items()}
    regions = {name: float(factor) for name, factor in row.get("regions", {}).items()}
    return Prices([_period_of(period) for period in row["prices"]], tiers, regions)


def _period_of(row: Mapping[str, Any]) -> Period:
    start = row.get("from")
    within = row.get("within")
    return Period(
        start_s=0 if start is None else datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp(),
        amounts=_picodollars(row),
        hours=_hours_of(within) if within else None,
        amounts_within=_picodollars(within) if within else None,
    )


def _hours_of(row: Mapping[str, Any]) -> Hours:
    def minute(clock: str) -> int:
        hour, _, rest = clock.partition(":")
        return int(hour) * 60 + int(rest)

    spans = (span.split("-") for span in row["hours"])
    return Hours(tuple((minute(first), minute(last)) for first, last in spans), weekdays="days" in row)


def _picodollars(row: Mapping[str, Any]) -> Amounts:
    """Return the amounts of a row, which are in US dollars per million tokens."""
    return {
        kind: round(value * 1_000_000)
        if not isinstance(value, list)
        else [part if i % 2 else round(part * 1_000_000) for i, part in enumerate(value)]
        for kind, value in row.items()
        if kind not in {"from", "within", "hours", "days"}
    }
