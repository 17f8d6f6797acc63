"""What stores do around `fork`, so that a child finds locks it can take and no handle of its parent's."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from functools import cache
from typing import Protocol, TypeVar

from ostinato.errors import StoreError

Holder = TypeVar("Holder")


class Forkable(Protocol):
    """Something with locks or handles that a child process must not inherit as they are."""

    fork_rank: int
    """Lower ranks come to rest first: whoever calls into another holder ranks below it."""

    def before_fork(self) -> None:
        """Come to rest: take every lock, close every handle."""

    def after_fork(self, *, in_child: bool) -> None:
        """Give the locks back; in a child also forget what only the parent's threads could finish."""


_guard = threading.RLock()
_holders: weakref.WeakSet[Forkable] = weakref.WeakSet()
_resting: list[Forkable] = []


def renew_after_fork(holder: Forkable) -> None:
    """Call `holder` around every fork of this process, for as long as it lives."""
    with _guard:
        _holders.add(holder)
        _hook()


@cache
def _hook() -> None:
    """Register the hooks, the first time: they cannot be taken back."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_rest, after_in_parent=_resume, after_in_child=_renew)


def _rest() -> None:
    _guard.acquire()
    _resting[:] = sorted(_holders, key=lambda holder: holder.fork_rank)
    for holder in _resting:
        holder.before_fork()


def _resume() -> None:
    _wake(in_child=False)


def _renew() -> None:
    _wake(in_child=True)


def _wake(*, in_child: bool) -> None:
    for holder in reversed(_resting):
        holder.after_fork(in_child=in_child)
    _resting.clear()
    _guard.release()


def call_when_worker_ends(holder: Holder, last: Callable[[Holder], None]) -> None:
    """Call `last(holder)` at the end of a process of `multiprocessing`, which leaves without the usual exit functions.

    It may raise `StoreError`, which nobody hears.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(holder, _call_quietly, args=(weakref.ref(holder), last), exitpriority=0)


def _call_quietly(reference: weakref.ref[Holder], last: Callable[[Holder], None]) -> None:
    holder = reference()
    if holder is not None:
        with contextlib.suppress(StoreError):
            last(holder)
