"""Where the books of a gateway are kept, as its processes see it: a file of one machine, or a Redis of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from ostinato.ledger.book import Part
from ostinato.ledger.line import Account, Sum

GRANT_LIFE_S = 60.0
"""A grant that was not renewed for so long is a dead process's, and free again."""

GRANTS = 200
"""A grant is the limit over this; less where more than two share it, so that all together have about a hundredth."""

Kind = Literal["budget", "calls", "tokens"]


class Limit(msgspec.Struct, frozen=True):
    """One limit of one key, for a time."""

    key_id: str
    kind: Kind
    span: str
    """The day, month or minute that it is for; later ones sort behind. Empty: for ever."""


class Ask(msgspec.Struct, frozen=True):
    """What a process asks of a limit: a part of it beside what it has, in all no less than `least`."""

    limit: Limit
    worker: str
    """The process: no other has this name."""
    bound: int
    """The whole of the limit."""
    owed: int
    """What it spent and has not settled."""
    left: int
    """What it has, and has not spent."""
    least: int
    at: float

    def granted(self, spent: int, others: int, workers: int) -> int | None:
        """Return what it is to have, where others have so much and are so many; None: not enough is free."""
        free = self.bound - self.owed - spent - others
        part = self.bound // max(GRANTS, GRANTS // 2 * (1 + workers))
        left = min(free, max(self.left + part, self.least))
        return None if left < self.least else left


class Taken(msgspec.Struct, frozen=True):
    """What a process spent of a limit, and what of its grant it keeps."""

    limit: Limit
    spent: int
    left: int


class Batch(msgspec.Struct, frozen=True):
    """What a process settles at once."""

    worker: str
    number: int
    """The batches of a process are counted from 1: one that is sent again, since nobody knows, counts once."""
    at: float
    taken: Sequence[Taken]
    sums: Mapping[Account, Sum]


class Keys(msgspec.Struct, frozen=True):
    """The keys as they stand."""

    mark: bytes
    """Another one after every change."""
    rows: Sequence[tuple[bytes, bytes]]
    """The digest of each secret, and what is said of its key."""


class Vault(Protocol):
    """Keeps keys, limits and spend for any number of processes. Everything raises `StoreError` when it cannot."""

    where: str
    """Its place, as health tells it."""

    def keys(self, unless: bytes | None = None) -> Keys | None:
        """Return the keys, or None while their mark is still `unless`."""

    def add_key(self, key_id: str, digest: bytes, said: bytes) -> bool:
        """Keep a new key. Return False where the id is taken."""

    def change_key(self, key_id: str, said: bytes) -> bool:
        """Say something else of a key. Return False where there is none."""

    def grant(self, ask: Ask) -> int | None:
        """Set aside for a process what it asks for. Return how much, beside what it owes; None: not enough is free."""

    def settle(self, batch: Batch, *, patient: bool = False) -> None:
        """Write a batch, whole. `patient`: nobody is kept waiting."""

    def spend(
        self,
        by: Sequence[Part],
        *,
        since: str = "",
        until: str = "~",
        tenant: str | None = None,
        key_id: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return sums as `ledger.book.spend` does."""

    def close(self) -> None:
        """Let go of what is open; a later call opens it again."""
