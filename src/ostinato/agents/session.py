"""A chat under way: what everything inside it shares, carried by the context.

Sessions nest as chats do. What is used inside a nested chat counts for the outer ones too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ostinato.agents.usage import Ledger
from ostinato.caching import ambient

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache


class Session:
    """One chat under way."""

    silent: bool
    __slots__ = ("human_input", "ledger", "mark", "record_human_input", "sample_index", "silent")

    def __init__(
        self, *, silent: bool = False, record_human_input: bool | None = None, sample_index: int | None = None
    ) -> None:
        outer = current()
        self.ledger = Ledger()
        self.human_input: list[str] = []
        """What people said in it, in order."""
        self.mark: ambient.Mark | None = None
        """The block of the chat's own `cache=`."""
        self.silent = silent or (outer is not None and outer.silent)
        self.record_human_input = record_human_input
        self.sample_index = sample_index
        if outer is not None:
            if record_human_input is None:
                self.record_human_input = outer.record_human_input
            if sample_index is None:
                self.sample_index = outer.sample_index


_sessions: ContextVar[tuple[Session, ...]] = ContextVar("ostinato_agents_sessions", default=())


def current() -> Session | None:
    """Return the innermost chat under way in this context, or None."""
    sessions = _sessions.get()
    return sessions[-1] if sessions else None


def current_sample() -> int:
    """Return which of several draws the chat under way is, from 0."""
    session = current()
    return (session.sample_index or 0) if session is not None else 0


@contextmanager
def running(session: Session, cache: Cache | None) -> Iterator[Session]:
    """Let a chat be under way inside the block, with `cache` around it where it has one of its own."""
    outer = _sessions.get()
    _sessions.set((*outer, session))
    if cache is not None:
        session.mark = ambient.enter(cache)
    try:
        yield session
    finally:
        if session.mark is not None:
            ambient.leave(session.mark)
        _sessions.set(outer)


def chat_block() -> ambient.Mark | None:
    """Return the block of the nearest chat with a `cache=` of its own, unless a later block stands inside it."""
    for session in reversed(_sessions.get()):
        if session.mark is not None:
            return session.mark if session.mark is ambient.innermost() else None
    return None


def count_usage(model: str, cost: float | None, tokens: Mapping[str, Any], *, paid: bool) -> None:
    """Count one answer in every chat that it was given in."""
    for session in _sessions.get():
        session.ledger.add(model, cost, tokens, paid=paid)


def count_human_input(said: str) -> None:
    """Note what a person said in every chat that it was said in."""
    for session in _sessions.get():
        session.human_input.append(said)
