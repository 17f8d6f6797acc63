"""Which cache surrounds a call: a stack of `with` blocks, carried by the context.

Every block pushes a mark of its own. Leaving a block removes its mark from the stack of the context that
leaves and marks it ended, so a task that copied the stack no longer sees it, and leaving a block in
another context (an async generator closed elsewhere) neither raises nor leaks.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache


class Mark:
    """One entered block."""

    __slots__ = ("cache", "ended")

    def __init__(self, cache: Cache | None) -> None:
        self.cache = cache
        self.ended = False


_stack: ContextVar[tuple[Mark, ...]] = ContextVar("ostinato_cache_blocks", default=())
blocks = _stack.get
"""Return the marks of the surrounding blocks, the innermost last; some may have ended."""


def enter(cache: Cache | None) -> Mark:
    """Make `cache` the innermost cache of this context. None shuts the outer ones out."""
    mark = Mark(cache)
    _stack.set((*_stack.get(), mark))
    return mark


def leave(mark: Mark) -> None:
    """End the block of `mark`, wherever this is called."""
    mark.ended = True
    _stack.set(tuple(other for other in _stack.get() if not other.ended))


def innermost() -> Mark | None:
    """Return the mark of the innermost block that has not ended, or None."""
    for mark in reversed(_stack.get()):
        if not mark.ended:
            return mark
    return None
