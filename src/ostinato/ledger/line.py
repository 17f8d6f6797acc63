"""One line of the ledger: a call that was answered, or was not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Outcome = Literal["hit", "shared", "miss", "bypass", "error"]
"""`hit`: out of the response cache. `shared`: with an identical call on its way. The others went upstream."""


class Line(msgspec.Struct, frozen=True):
    """One call. Money is whole picodollars (10^-12 US dollars), so that sums are exact."""

    at: float
    """UTC seconds when it was answered."""
    tenant: str
    key_id: str
    """Which key called; empty for the master key and for nobody."""
    model: str
    """The model as the caller named it."""
    outcome: Outcome
    uncached: int = 0
    """Prompt tokens billed in full; this and the next three are 0 for what was not billed: hits, shared calls."""
    read: int = 0
    written: int = 0
    output: int = 0
    cost_pico: int | None = 0
    """What was paid; None when the price is not known."""
    saved_pico: int = 0
    """What the response cache saved: what a hit would have cost."""
    prompt_saved_pico: int = 0
    """What the provider's prompt cache saved on this call; below 0 where its writes cost more."""


class Account(msgspec.Struct, frozen=True, order=True):
    """Whose and which sum it is."""

    day: str
    """UTC, `2026-11-24`."""
    tenant: str
    key_id: str
    model: str


class Sum(msgspec.Struct):
    """The lines of one account, summed."""

    calls: int = 0
    hits: int = 0
    shared: int = 0
    errors: int = 0
    unpriced: int = 0
    """Calls that were paid for at a price that is not known: `cost_pico` leaves them out."""
    uncached: int = 0
    read: int = 0
    written: int = 0
    output: int = 0
    cost_pico: int = 0
    saved_pico: int = 0
    prompt_saved_pico: int = 0

    def add(self, line: Line) -> None:
        """Count one call more."""
        self.calls += 1
        self.saved_pico += line.saved_pico
        if line.outcome == "hit":
            self.hits += 1
            return  # it took nothing
        self.shared += line.outcome == "shared"
        self.errors += line.outcome == "error"
        self.unpriced += line.cost_pico is None
        self.uncached += line.uncached
        self.read += line.read
        self.written += line.written
        self.output += line.output
        self.cost_pico += line.cost_pico or 0
        self.prompt_saved_pico += line.prompt_saved_pico


def summed(lines: Iterable[tuple[str, Line]]) -> dict[Account, Sum]:
    """Return the sums of lines that come each with its UTC day."""
    sums: dict[Account, Sum] = {}
    for day, line in lines:
        account = Account(day, line.tenant, line.key_id, line.model)
        total = sums.get(account)
        if total is None:
            total = sums[account] = Sum()
        total.add(line)
    return sums
