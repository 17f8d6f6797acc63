"""Budgets, limits and the ledger of one process of a gateway, settled with the other processes.

What a key may still spend is kept in the vault that all processes share. A process takes a small part of it at a
time (a *grant*) and spends that from memory, so a hit asks nobody. A grant is a two-hundredth of the limit, less
where more than two share it, or what one call is expected to cost if that is more: so far may each process be off.
What a process that died had granted is free again after `GRANT_LIFE_S`. While the vault cannot be asked, each process
counts the calls and tokens of a minute by itself, and spends of a budget what it has.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from ostinato.errors import BudgetExceededError, RateLimitError, ServiceUnavailableError, StoreError, warn
from ostinato.gateway.keys import Key
from ostinato.gateway.vault import GRANT_LIFE_S, Ask, Batch, Kind, Limit, Taken
from ostinato.ledger.book import OTHER, day_of
from ostinato.ledger.line import Account, Line, Sum

if TYPE_CHECKING:
    from ostinato.gateway.vault import Vault

SETTLE_S = 0.25
"""Seconds between two settlings of what was spent."""
REST_S = 2.0
"""Seconds that a vault is left alone which could not be written: every try may keep all callers waiting."""
IDLE_S = 5.0
"""Seconds after which a grant that nobody draws on is given back."""
MOST_USUAL = 1024
"""Models of which is remembered what a call takes: behind a wildcard clients make names up."""
UNKNOWN_PART = 400
"""The part of a limit that a call to a model is expected to take of which nothing is known yet. Expected to be free,
the first calls of a process that begins at the end of a budget would all go out."""
MOST_SUMS = 10_000
"""Accounts that wait to be written, for as long as they cannot be; calls beyond are summed without their model."""
BATCH = 400
"""Accounts, and limits, that are written at once."""


class KeyBudgetError(BudgetExceededError):
    """The budget of a key of ours is spent. Somebody else who waits for the same answer may still ask."""

    retryable = True


class KeyRateError(RateLimitError):
    """A key of ours has used up its calls or tokens of this minute."""


class KeyUnreadError(ServiceUnavailableError):
    """What a key of ours may still spend cannot be read."""

    retryable = True


REFUSALS = KeyBudgetError, KeyRateError, KeyUnreadError
"""No vendor's word, and no deployment's fault."""


class Purse:
    """What this process may still draw of one limit of one key, in the limit's unit."""

    __slots__ = (
        "alone",
        "bound",
        "drawn_at",
        "dry_for",
        "dry_until",
        "held",
        "left",
        "limit",
        "unsettled",
        "written_at",
    )

    def __init__(self, limit: Limit, bound: int) -> None:
        self.limit = limit
        self.bound = bound
        self.left = 0
        """What is granted and not spent."""
        self.alone = False
        """Whether it was granted by nobody, the vault being away: all of the limit, and no more of this minute."""
        self.held = 0
        """What calls on their way are expected to take of it."""
        self.unsettled = 0
        """What was spent since the last settling."""
        self.drawn_at = self.written_at = 0.0
        self.dry_for, self.dry_until = 0, 0.0
        """How much was not to be had, and until when that is not asked for again."""

    def is_idle(self, now: float) -> bool:
        """Return whether its grant is to be given back."""
        return self.held == 0 and now - self.drawn_at > IDLE_S

    def is_due(self, now: float) -> bool:
        """Return whether there is something to settle, or its grant would soon be taken for a dead process's."""
        return self.unsettled != 0 or now - self.written_at > GRANT_LIFE_S / 3

    def settled(self, *, keeping: bool, now: float) -> Taken:
        """Return what is to be written of it, as if that was done."""
        taken = Taken(self.limit, self.unsettled, max(0, self.left) if keeping and not self.alone else 0)
        self.unsettled, self.written_at = 0, now
        return taken


class Ticket(msgspec.Struct):
    """One admitted call: what it is expected to take, until it is settled."""

    key: Key | None
    model: str
    holds: list[tuple[Purse, int]] = msgspec.field(default_factory=list)
    drawn: bool = False
    """Whether it may go upstream."""


class Till:
    """Admits calls and settles them. Safe to share between threads."""

    def __init__(self, vault: Vault, worker: str, *, clock: Callable[[], float] = time.time) -> None:
        self._vault = vault
        self._worker = worker
        """A name that no other process has."""
        self._clock = clock
        self._lock = threading.Lock()
        """Held for what is in memory, and never long; but where a call waits for its grant."""
        self._talk = threading.Lock()
        """Held while the vault is asked: by one at a time, in the order of what they say. Taken before `_lock`."""
        self._purses: dict[tuple[str, Kind], Purse] = {}
        self._over: list[Taken] = []
        """What is to be written of purses whose time is over."""
        self._sums: dict[Account, Sum] = {}
        self._usual: dict[tuple[str, Kind], int] = {}
        """What a call to a model took lately, by model and kind."""
        self._waiting: deque[Batch] = deque()
        """What is to be written as it is, before anything else: nobody knows whether it was."""
        self._batches = 0
        self._failures = 0
        """How often in a row the vault could not be written."""
        self._shut: tuple[float, StoreError] | None = None
        """Until when the vault is left alone for grants, and why."""
        self.error: StoreError | None = None
        """Why the vault could not be written the last time."""

    def admit(self, key: Key | None, model: str) -> Ticket:
        """Let a call of `key` in, as far as its calls a minute go. Its ticket must be settled.

        Raises: KeyRateError: it may not, for `retry_after` seconds. StoreError: its limits cannot be read.
        """
        ticket = Ticket(key, model)
        if key is not None and key.rpm is not None:
            self._hold(ticket, key, paid=False)
        return ticket

    def draw(self, ticket: Ticket) -> None:
        """Let an admitted call go upstream, as far as its key's money and tokens go. More than once is as once.

        Raises: KeyBudgetError, KeyRateError: it may not. StoreError: its limits cannot be read.
        """
        key = ticket.key
        if key is not None and not ticket.drawn and (key.budget_usd is not None or key.tpm is not None):
            self._hold(ticket, key, paid=True)
            ticket.drawn = True

    def _hold(self, ticket: Ticket, key: Key, *, paid: bool) -> None:
        now = self._clock()
        with self._lock:
            short = self._take(ticket, key, now, paid=paid)
        if short is None:
            return
        # Who knows that the vault is away does not wait for whoever is trying it.
        shut = self._shut is not None and now < self._shut[0]
        with contextlib.nullcontext() if shut else self._talk, self._lock:
            short = self._take(ticket, key, now, paid=paid, asking=True)
        if short is not None:
            raise _refused(key, short, now)

    def _take(self, ticket: Ticket, key: Key, now: float, *, paid: bool, asking: bool = False) -> Kind | None:
        """Hold what a call is expected to take, or nothing. Return of which limit there is not enough."""
        held = len(ticket.holds)
        try:
            for limit, bound in _limits(key, now, paid=paid):
                purse = self._purse(limit, bound, now)
                unknown = 1 if limit.kind == "calls" else bound // UNKNOWN_PART
                wanted = max(1, self._usual.get((ticket.model, limit.kind), unknown))
                if purse.left - purse.held < wanted and not (asking and self._grant(purse, wanted, now)):
                    self._release(ticket, held)
                    return limit.kind
                purse.held += wanted
                ticket.holds.append((purse, wanted))
        except StoreError:
            self._release(ticket, held)
            raise
        return None

    def settle(self, ticket: Ticket, line: Line | None) -> None:
        """Take what a call really cost, and write its line; without a line it took nothing."""
        with self._lock:
            holds = self._release(ticket)
            if line is None:
                return
            if holds or line.outcome in {"miss", "bypass"}:
                self._took(ticket.model, holds, line)
            account = Account(day_of(line.at), line.tenant, line.key_id, line.model)
            total = self._sums.get(account)
            if total is None:
                if len(self._sums) >= MOST_SUMS:
                    account = msgspec.structs.replace(account, model=OTHER)
                total = self._sums.setdefault(account, Sum())
            total.add(line)

    def flush(self, *, patient: bool = False) -> bool:
        """Settle with the other processes, and write the ledger. Return whether it could be written.

        What cannot be written waits for the next time. `patient`: nobody waits for this.
        """
        with self._talk:
            try:
                self._send(patient=patient)
                with self._lock:
                    self._gather(self._clock())
                self._send(patient=patient)
            except StoreError as error:
                self._failures += 1
                self.error = error
                if self._failures == 2:  # once may be another process at work
                    warn("the ledger cannot be written, calls go on and their sums wait: %s", error)
                return False
        self._failures = 0
        self.error = None
        return True

    def close(self) -> bool:
        """Settle, and give every grant back. Return whether that could be written."""
        with self._lock:
            for purse in self._purses.values():
                purse.drawn_at = float("-inf")
        return self.flush(patient=True)

    # `_talk` is held.

    def _send(self, *, patient: bool = False) -> None:
        while self._waiting:
            self._vault.settle(self._waiting[0], patient=patient)
            self._waiting.popleft()

    # The lock is held.

    def _took(self, model: str, holds: list[Purse], line: Line) -> None:
        """Take what a call took out of what was held for it, and remember it for the next to this model."""
        tokens = line.uncached + line.read + line.written + line.output
        took: dict[Kind, int] = {"budget": line.cost_pico or 0, "calls": 1, "tokens": tokens}
        for purse in holds:
            purse.left -= took[purse.limit.kind]
            purse.unsettled += took[purse.limit.kind]
        if line.outcome in {"miss", "bypass"}:
            for kind in ("budget", "tokens"):
                usual = self._usual.get((model, kind), took[kind])
                if len(self._usual) >= MOST_USUAL:
                    self._usual.clear()
                self._usual[model, kind] = (7 * usual + took[kind]) // 8

    def _gather(self, now: float) -> None:
        """Make batches of all that there is to write."""
        taken, self._over = self._over, []
        for name, purse in list(self._purses.items()):
            if idle := purse.is_idle(now):
                del self._purses[name]
            if idle or purse.is_due(now):
                taken.append(purse.settled(keeping=not idle, now=now))
        accounts, self._sums = iter(self._sums.items()), {}
        limits = iter(taken)
        while True:
            part, sums = list(islice(limits, BATCH)), dict(islice(accounts, BATCH))
            if not (part or sums):
                return
            self._batches += 1
            self._waiting.append(Batch(self._worker, self._batches, now, part, sums))

    def _purse(self, limit: Limit, bound: int, now: float) -> Purse:
        name = limit.key_id, limit.kind
        purse = self._purses.get(name)
        if purse is None or purse.limit != limit:
            # What is on its way still points to the purse that it was admitted by.
            if purse is not None:
                self._over.append(purse.settled(keeping=False, now=now))
            purse = self._purses[name] = Purse(limit, bound)
        purse.drawn_at = now
        return purse

    def _grant(self, purse: Purse, wanted: int, now: float) -> bool:
        """Take more of the limit for `purse`. Return whether it now has what is wanted."""
        least = purse.held + wanted  # what the calls on their way and this one are expected to take
        if now < purse.dry_until and least >= purse.dry_for:
            return False
        try:
            left = self._asked(
                Ask(purse.limit, self._worker, purse.bound, purse.unsettled, max(purse.left, 0), least, now)
            )
        except StoreError:
            if purse.limit.kind == "budget":
                raise
            # A minute is short, and a limit of calls no money: better counted here alone than refused.
            left = None if purse.alone else max(purse.bound, least)
            purse.alone = True
        if left is None:
            purse.dry_for, purse.dry_until = least, now + SETTLE_S
            return False
        purse.left, purse.written_at = left, now
        return True

    def _asked(self, ask: Ask) -> int | None:
        if self._shut is not None and ask.at < self._shut[0]:
            raise self._shut[1]
        try:
            self._send()  # what is spent has to be known before
            left = self._vault.grant(ask)
        except StoreError as error:
            self._shut = ask.at + REST_S, error
            raise
        self._shut = None
        return left

    @staticmethod
    def _release(ticket: Ticket, since: int = 0) -> list[Purse]:
        """Let go of what a ticket holds, from the `since`-th hold on. Return the purses."""
        if not ticket.holds:
            return []
        let_go, ticket.holds[since:] = ticket.holds[since:], []
        for purse, held in let_go:
            purse.held -= held
        return [purse for purse, _ in let_go]


def _limits(key: Key, now: float, *, paid: bool) -> Iterator[tuple[Limit, int]]:
    """Yield the limits on what is paid for, or on calls alone, with their bounds."""
    minute = f"{int(now // 60):012d}"
    if not paid:
        if key.rpm is not None:
            yield Limit(key.id, "calls", minute), key.rpm
        return
    if key.tpm is not None:
        yield Limit(key.id, "tokens", minute), key.tpm
    if key.budget_usd is not None:
        days = {"ever": "", "month": day_of(now)[:7], "day": day_of(now)}
        yield Limit(key.id, "budget", days[key.budget_period]), round(key.budget_usd * 10**12)


def _refused(key: Key, kind: Kind, now: float) -> KeyBudgetError | KeyRateError:
    if kind == "budget":
        span = {"ever": "", "month": " for this month", "day": " for today"}[key.budget_period]
        return KeyBudgetError(f"the budget of key {key.id!r} is spent{span}: ${key.budget_usd:g}")
    unit = "calls" if kind == "calls" else "tokens"
    limit = key.rpm if kind == "calls" else key.tpm
    return KeyRateError(f"key {key.id!r} may use {limit} {unit} a minute", retry_after=60 - now % 60)
