"""Small facts that every process on one store must agree on, each held for a second at most.

A fact is a few bytes under a key of its own: the generation of a tag, the data key of a namespace. What
changes or ends one writes a new *epoch* beside it, 16 bytes of chance. A process reads the epoch once a
second, whatever it holds, and lets go of all of it when the epoch is another or gone. Nothing counts
upwards, so no race can take anything back: who writes over another's epoch leaves one that is new, too.

    a change in one process is known in every other after at most `HOLD_S`, and what its store may add:
    a second for the disk store, whose memory tier looks at the file once a second as well

Nothing here reads or writes. `look`, `begin` and `announce` are generators of steps; `run` and `arun`
carry them out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from ostinato.caching.stores.contract import Store

HOLD_S = 1.0
RENEW_S = 60.0
"""Everything is read anew after so many seconds: two processes may have begun one fact at once."""
MOST_HELD = 50_000
FACT = b"F"
"""What the value of a fact starts with, and no entry does."""
EPOCH = sha256(b"ostinato epoch").digest() + bytes(8)


class Read(msgspec.Struct, frozen=True):
    """Read the value of `key`, and send it back, or None."""

    key: bytes


class Write(msgspec.Struct, frozen=True):
    """Write `value` under `key`."""

    key: bytes
    value: bytes


class Clear(msgspec.Struct, frozen=True):
    """Forget every key that starts with `scope`."""

    scope: bytes


class Flush(msgspec.Struct, frozen=True):
    """Return when everything written so far is as durable as the store makes it."""


Step = Read | Write | Clear | Flush
Result = TypeVar("Result")
Steps = Generator[Step, Any, Result]


class Register:
    """The facts that this process holds of one store."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._facts: dict[bytes, bytes] = {}
        """Replaced, never emptied: what a thread read before a change ends up in a dict that nobody asks."""
        self._begun: list[bytes] = []
        self._epoch: bytes | None = None
        self._looked_at = self._look_at = self._renewed_at = 0.0

    def look(self, key: bytes) -> Steps[bytes | None]:
        """Return the fact `key` as it was a second ago or later, or None when there is none."""
        now = self.clock()
        if not self._looked_at <= now < self._look_at:
            yield from self._look_around(now)
        facts = self._facts
        value = facts.get(key)
        if value is None:
            blob = yield Read(key)
            if blob is not None and blob.startswith(FACT):
                value = facts[key] = blob[1:]
        return value

    def begin(self, key: bytes, value: bytes) -> Steps[None]:
        """Write a fact that is new. Another process may begin the same at once: the later one holds."""
        facts = self._facts
        yield Write(key, FACT + value)
        facts[key] = value
        self._begun.append(key)
        if self._epoch is None:
            yield Write(EPOCH, FACT + os.urandom(16))

    def announce(self) -> Steps[None]:
        """Have every process let go of what it holds: this one at once, others within their second."""
        yield Flush()  # who reads the epoch must find what it speaks of
        yield Write(EPOCH, FACT + os.urandom(16))
        yield Flush()
        self._facts = {}
        self._look_at = self._looked_at

    def _look_around(self, now: float) -> Steps[None]:
        epoch = yield Read(EPOCH)
        renews = not self._renewed_at <= now < self._renewed_at + RENEW_S or len(self._facts) > MOST_HELD
        if epoch is None or epoch != self._epoch or renews:
            self._facts = {}
            self._renewed_at = now
        begun, self._begun = self._begun, []
        for key in begun:
            self._facts.pop(key, None)
        self._epoch = epoch
        self._looked_at, self._look_at = now, now + HOLD_S


def run(store: Store, steps: Steps[Result]) -> Result:
    """Carry `steps` out, waiting, and return what they return.

    Raises: StoreError: the store could not.
    """
    try:
        step = next(steps)
        while True:
            answer: bytes | None = None
            match step:
                case Read(key):
                    answer = store.get(key)
                case Write(key, value):
                    store.set(key, value)
                case Clear(scope):
                    store.clear(scope)
                case Flush():
                    store.flush()
            step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # what the generator returns


async def arun(store: Store, steps: Steps[Result]) -> Result:
    """Carry `steps` out, awaiting, and return what they return.

    Raises: StoreError: the store could not.
    """
    import asyncio  # the caller's loop has loaded it; a program without one never does

    try:
        step = next(steps)
        while True:
            answer: bytes | None = None
            match step:
                case Read(key):
                    answer = await store.aget(key)
                case Write(key, value):
                    await store.aset(key, value)
                case Clear(scope):
                    await store.aclear(scope)
                case Flush():
                    await asyncio.to_thread(store.flush)
            step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # what the generator returns
