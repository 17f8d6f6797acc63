"""What conversations cost: counts by model, with and without what the response cache answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ostinato.agents.stream import IOStream
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

Summary = dict[str, Any]
"""`{"total_cost": dollars, model: {"cost", "prompt_tokens", "completion_tokens", "total_tokens"}}`."""
Mode = Literal["actual", "total", "both"]

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


class Tally:
    """Counts by model."""

    __slots__ = ("_models", "_total_cost")

    def __init__(self) -> None:
        self._models: dict[str, Summary] = {}
        self._total_cost = 0.0

    def add(self, model: str, cost: float | None, tokens: Mapping[str, int]) -> None:
        """Count one answer. A cost that is not known leaves the model's cost unknown, and adds nothing to the total."""
        counts = self._models.get(model)
        if counts is None:
            counts = self._models[model] = {"cost": 0.0, **dict.fromkeys(_TOKENS, 0)}
        counts["cost"] = None if cost is None or counts["cost"] is None else counts["cost"] + cost
        self._total_cost += cost or 0.0
        for name in _TOKENS:
            counts[name] += tokens.get(name) or 0

    def merge(self, summary: Summary) -> None:
        """Add another summary."""
        for model, counts in summary.items():
            if model != "total_cost":
                self.add(model, counts["cost"], counts)

    @property
    def summary(self) -> Summary | None:
        """The counts so far, or None while there are none."""
        if not self._models:
            return None
        return {"total_cost": self._total_cost, **{model: dict(counts) for model, counts in self._models.items()}}

    @property
    def bill(self) -> Summary:
        """The counts so far, a total of 0 while there are none."""
        return self.summary or {"total_cost": 0}


class Ledger:
    """What was used, twice: `total` with the answers of the response cache, `actual` without."""

    __slots__ = ("actual", "total")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.actual = Tally()
        self.total = Tally()

    def add(self, model: str, cost: float | None, tokens: Mapping[str, int], *, paid: bool) -> None:
        """Count one answer; `cost` is what its vendor takes for it, paid now or not."""
        self.total.add(model, cost, tokens)
        if paid:
            self.actual.add(model, cost, tokens)

    def cost(self) -> dict[str, Summary]:
        """Return both under AutoGen's names."""
        return {
            "usage_including_cached_inference": self.total.bill,
            "usage_excluding_cached_inference": self.actual.bill,
        }


def gather_usage_summary(agents: Iterable[Agent]) -> dict[str, Summary]:
    """Return what all these agents used over their lives, with and without the response cache's answers.

    What one chat used is in its `ChatResult.cost`.
    """
    both = Ledger()
    for client in filter(None, (getattr(agent, "client", None) for agent in agents)):
        both.total.merge(client.total_usage_summary or {})
        both.actual.merge(client.actual_usage_summary or {})
    return both.cost()


def print_summaries(actual: Summary | None, total: Summary | None, mode: str | list[str]) -> None:
    """Print what was used: `actual` without, `total` with the answers of the response cache, or both.

    Raises: ConfigurationError: an unknown mode.
    """
    wanted = [mode] if isinstance(mode, str) else list(mode)
    if wanted == ["both"]:
        wanted = ["actual", "total"]
    if not 1 <= len(wanted) <= 2 or not {"actual", "total"}.issuperset(wanted):
        raise ConfigurationError(f'Invalid mode: {mode!r}, choose from "actual", "total", ["actual", "total"]')
    show = IOStream.get_default().print
    if total is None:
        show('No usage summary. Please call "create" first.', flush=True)
        return
    show("-" * 100, flush=True)
    if "actual" in wanted:
        _print_one(actual, "excluding")
    if len(set(wanted)) == 2:
        show(flush=True)
    if "total" in wanted:
        if len(set(wanted)) == 2 and actual == total:
            show(
                "All completions are non-cached: the total cost with cached completions is the same as actual cost.",
                flush=True,
            )
        else:
            _print_one(total, "including")
    show("-" * 100, flush=True)


def _print_one(summary: Summary | None, word: str) -> None:
    show = IOStream.get_default().print
    if summary is None:
        show("No actual cost incurred (all completions are using cache).", flush=True)
        return
    show(f"Usage summary {word} cached usage: ", flush=True)
    show(f"Total cost: {round(summary['total_cost'], 5)}", flush=True)
    for model, counts in summary.items():
        if model != "total_cost":
            cost = "unknown" if counts["cost"] is None else round(counts["cost"], 5)
            tokens = ", ".join(f"{name}: {counts[name]}" for name in _TOKENS)
            show(f"* Model '{model}': cost: {cost}, {tokens}", flush=True)
