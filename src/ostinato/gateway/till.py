"""Budgets, limits and the ledger of one process of a gateway, settled with the other processes.

What a key may still spend is kept in the shared file. A process takes a small part of it at a time (a
*grant*) and spends that from memory, so a hit costs no query. A grant is a two-hundredth of the limit, or
what one call is expected to cost if that is more: so far may the sum of all processes be off. What a process
that died had granted is free again after `GRANT_LIFE_S`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from ostinato.errors import BudgetExceededError, RateLimitError, StoreError, warn
from ostinato.gateway.keys import Key
from ostinato.ledger.book import add_sums, day_of
from ostinato.ledger.file import LedgerFile
from ostinato.ledger.line import Account, Line, Sum

SETTLE_S = 0.25
"""Seconds between two settlings of what was spent."""
REST_S = 2.0
"""Seconds that a file is left alone which could not be written: every try may keep all callers waiting."""
IDLE_S = 5.0
"""Seconds after which a grant that nobody draws on is given back."""
GRANT_LIFE_S = 60.0
MOST_USUAL = 4096
"""Models of which is remembered what a call takes: behind a wildcard clients make names up."""
GRANTS = 200
"""The part of a limit that a process takes at once is one over this."""

Kind = Literal["budget", "calls", "tokens"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, span TEXT NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (key_id, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grants (
    key_id TEXT NOT NULL, kind TEXT NOT NULL, span TEXT NOT NULL, worker TEXT NOT NULL,
    amount INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (key_id, kind, worker)
) WITHOUT ROWID;
"""


class KeyBudgetError(BudgetExceededError):
    """The budget of a key of ours is spent. Somebody else who waits for the same answer may still ask."""

    retryable = True


class KeyRateError(RateLimitError):
    """A key of ours has used up its calls or tokens of this minute."""


REFUSALS = KeyBudgetError, KeyRateError
"""No vendor's word, and no deployment's fault."""


class Purse:
    """What this process may still draw of one limit of one key, in the limit's unit."""

    __slots__ = ("drawn_at", "held", "key_id", "kind", "left", "limit", "span", "unsettled", "written_at")

    def __init__(self, key_id: str, kind: Kind, limit: int, span: str) -> None:
        self.key_id = key_id
        self.kind: Kind = kind
        self.limit = limit
        self.span = span
        """The day, month or minute that the limit is for."""
        self.left = 0
        """What is granted and not spent."""
        self.held = 0
        """What calls on their way are expected to take of it."""
        self.unsettled = 0
        """What was spent since the last settling."""
        self.drawn_at = self.written_at = 0.0

    def is_idle(self, now: float) -> bool:
        """Return whether its grant is to be given back."""
        return self.held == 0 and now - self.drawn_at > IDLE_S

    def is_due(self, now: float) -> bool:
        """Return whether there is something to settle, or its grant would soon be taken for a dead process's."""
        return self.unsettled != 0 or now - self.written_at > GRANT_LIFE_S / 3


class Ticket(msgspec.Struct):
    """One admitted call: what it is expected to take, until it is settled."""

    key: Key | None
    model: str
    holds: list[tuple[Purse, int]] = msgspec.field(default_factory=list)
    drawn: bool = False
    """Whether it may go upstream."""


class Till:
    """Admits calls and settles them. Safe to share between threads."""

    def __init__(self, file: LedgerFile, worker: str, *, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._worker = worker
        """A name that no other process has."""
        self._clock = clock
        self._lock = threading.Lock()
        self._purses: dict[tuple[str, Kind], Purse] = {}
        self._sums: dict[Account, Sum] = {}
        self._usual: dict[tuple[str, Kind], int] = {}
        """What a call to a model took lately, by model and kind."""
        self._failures = 0
        """How often in a row the ledger could not be written."""
        self._shut: tuple[float, StoreError] | None = None
        """Until when the file is left alone for grants, and why."""

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
        now, model, held = self._clock(), ticket.model, len(ticket.holds)
        with self._lock:
            for kind, limit, span in _limits(key, now, paid=paid):
                purse = self._purse(key.id, kind, limit, span, now)
                wanted = 1 if kind == "calls" else max(1, self._usual.get((model, kind), 1))
                if purse.left - purse.held < wanted and not self._grant(purse, wanted, now):
                    self._release(ticket, held)
                    raise _refused(key, kind, now)
                purse.held += wanted
                ticket.holds.append((purse, wanted))

    def settle(self, ticket: Ticket, line: Line | None) -> None:
        """Take what a call really cost, and write its line; without a line it took nothing."""
        with self._lock:
            holds = self._release(ticket)
            if line is None:
                return
            tokens = line.uncached + line.read + line.written + line.output
            took: dict[Kind, int] = {"budget": line.cost_pico or 0, "calls": 1, "tokens": tokens}
            for purse in holds:
                purse.left -= took[purse.kind]
                purse.unsettled += took[purse.kind]
            if line.outcome in {"miss", "bypass"}:
                for kind in ("budget", "tokens"):
                    usual = self._usual.get((ticket.model, kind), took[kind])
                    if len(self._usual) >= MOST_USUAL:
                        self._usual.clear()
                    self._usual[ticket.model, kind] = (7 * usual + took[kind]) // 8
            account = Account(day_of(line.at), line.tenant, line.key_id, line.model)
            total = self._sums.get(account)
            if total is None:
                total = self._sums[account] = Sum()
            total.add(line)

    def flush(self, file: LedgerFile | None = None) -> bool:
        """Settle with the other processes, and write the ledger. Return whether it could be written.

        What cannot be written waits for the next time. `file` is another connection to write with.
        """
        now = self._clock()
        with self._lock:
            idle = [purse for purse in self._purses.values() if purse.is_idle(now)]
            due = [purse for purse in self._purses.values() if purse.is_due(now) and purse not in idle]
            if not (self._sums or idle or due):
                return True
            try:
                with (file or self._file).transaction() as connection:
                    add_sums(connection, self._sums)
                    for purse in due:
                        self._settle(connection, purse, max(0, purse.left), now)
                    for purse in idle:
                        self._settle(connection, purse, 0, now)
                    connection.execute("DELETE FROM grants WHERE amount = 0 OR at <= ?", (now - GRANT_LIFE_S,))
            except StoreError as error:
                self._failures += 1
                if self._failures == 2:  # once may be another process at work
                    warn("the ledger cannot be written, calls go on and their sums wait: %s", error)
                return False
            self._failures = 0
            self._sums = {}
            for purse in due + idle:
                purse.unsettled = 0
            for purse in idle:
                del self._purses[purse.key_id, purse.kind]
            return True

    def close(self, file: LedgerFile | None = None) -> bool:
        """Settle, and give every grant back. Return whether that could be written. `file` as for `flush`."""
        with self._lock:
            for purse in self._purses.values():
                purse.drawn_at = float("-inf")
        return self.flush(file)

    # The lock is held.

    def _purse(self, key_id: str, kind: Kind, limit: int, span: str, now: float) -> Purse:
        purse = self._purses.get((key_id, kind))
        if purse is None or purse.span != span or purse.limit != limit:
            # What is on its way still points to the purse that it was admitted by; that one is settled with its span.
            if purse is not None and purse.unsettled:
                with self._file.transaction() as connection:
                    self._settle(connection, purse, 0, now)
            purse = self._purses[key_id, kind] = Purse(key_id, kind, limit, span)
        purse.drawn_at = now
        return purse

    def _grant(self, purse: Purse, wanted: int, now: float) -> bool:
        """Take more of the limit for `purse`. Return whether it now has what is wanted."""
        with self._unless_shut(now) as connection:
            self._settle(connection, purse, max(0, purse.left), now)
            row = connection.execute(_SPENT, (purse.key_id, purse.kind, purse.span)).fetchone()
            spent: int = 0 if row is None else row[0]
            others: int | None = connection.execute(
                _GRANTED, (purse.key_id, purse.kind, purse.span, self._worker, now - GRANT_LIFE_S)
            ).fetchone()[0]
            free = purse.limit - spent - (others or 0)
            # A part of the limit more, or as much as the calls on their way and this one are expected to take.
            left = min(free, max(max(purse.left, 0) + purse.limit // GRANTS, purse.held + wanted))
            enough = left - purse.held >= wanted
            if enough:
                connection.execute(_KEEP, (purse.key_id, purse.kind, purse.span, self._worker, left, now))
        purse.unsettled = 0
        if enough:
            purse.left = left
        return enough

    @contextlib.contextmanager
    def _unless_shut(self, now: float) -> Iterator[sqlite3.Connection]:
        if self._shut is not None and now < self._shut[0]:
            raise self._shut[1]
        try:
            with self._file.transaction() as connection:
                yield connection
        except StoreError as error:
            self._shut = now + REST_S, error
            raise
        self._shut = None

    def _settle(self, connection: sqlite3.Connection, purse: Purse, left: int, now: float) -> None:
        """Write what `purse` spent, and what of its grant it keeps. The caller forgets what was unsettled."""
        if purse.unsettled:
            connection.execute(_SPEND, (purse.key_id, purse.kind, purse.span, purse.unsettled))
        connection.execute(_KEEP, (purse.key_id, purse.kind, purse.span, self._worker, left, now))
        purse.written_at = now

    @staticmethod
    def _release(ticket: Ticket, since: int = 0) -> list[Purse]:
        """Let go of what a ticket holds, from the `since`-th hold on. Return the purses."""
        if not ticket.holds:
            return []
        let_go, ticket.holds[since:] = ticket.holds[since:], []
        for purse, held in let_go:
            purse.held -= held
        return [purse for purse, _ in let_go]


_SPENT = "SELECT amount FROM spent WHERE key_id = ? AND kind = ? AND span = ?"
_GRANTED = "SELECT SUM(amount) FROM grants WHERE key_id = ? AND kind = ? AND span = ? AND worker <> ? AND at > ?"
_SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    amount = CASE WHEN span = excluded.span THEN amount + excluded.amount
             WHEN span < excluded.span THEN excluded.amount ELSE amount END,
    span = MAX(span, excluded.span)
"""
_KEEP = "INSERT OR REPLACE INTO grants VALUES (?, ?, ?, ?, ?, ?)"


def _limits(key: Key, now: float, *, paid: bool) -> Iterator[tuple[Kind, int, str]]:
    """Yield the limits on what is paid for, or on calls alone."""
    minute = f"{int(now // 60):012d}"
    if not paid:
        if key.rpm is not None:
            yield "calls", key.rpm, minute
        return
    if key.tpm is not None:
        yield "tokens", key.tpm, minute
    if key.budget_usd is not None:
        days = {"ever": "", "month": day_of(now)[:7], "day": day_of(now)}
        yield "budget", round(key.budget_usd * 10**12), days[key.budget_period]


def _refused(key: Key, kind: Kind, now: float) -> KeyBudgetError | KeyRateError:
    if kind == "budget":
        span = {"ever": "", "month": " for this month", "day": " for today"}[key.budget_period]
        return KeyBudgetError(f"the budget of key {key.id!r} is spent{span}: ${key.budget_usd:g}")
    unit = "calls" if kind == "calls" else "tokens"
    limit = key.rpm if kind == "calls" else key.tpm
    return KeyRateError(f"key {key.id!r} may use {limit} {unit} a minute", retry_after=60 - now % 60)
