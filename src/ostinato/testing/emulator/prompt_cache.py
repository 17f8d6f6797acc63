"""The mechanics of a vendor's prompt cache: prefixes, what is kept of them, and for how long.

A dialect says what a prompt's blocks are, which of their ends may be read and written, and how long they live;
this module knows prefixes and seconds only. Nothing is kept of a prompt but digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ostinato.testing.emulator.model import BYTES_PER_TOKEN, count_tokens


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a prompt, in the order in which the vendor reads it."""

    content: bytes
    tokens: int | None = None
    """What it counts as; None for text, which counts by its bytes and can be cached up to any token."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a prompt up to which it can be cached."""

    tokens: int
    """How many tokens stand before it."""
    digest: bytes
    """Stands for every byte before it, and for the scope."""


def block_ends(scope: Sequence[bytes], blocks: Iterable[Block]) -> list[Mark]:
    """Return the mark after each block.

    `scope` is what an entry is bound to beside the prompt: the tenant, the model, settings that change the prefix.
    """
    return _walk(scope, blocks, step=None)


def steps(scope: Sequence[bytes], blocks: Iterable[Block], step: int) -> list[Mark]:
    """Return the marks after every `step` tokens, whatever block they fall in."""
    return _walk(scope, blocks, step=step)


def _walk(scope: Sequence[bytes], blocks: Iterable[Block], *, step: int | None) -> list[Mark]:
    running = hashlib.sha256()
    for part in scope:
        running.update(len(part).to_bytes(8, "big") + part)
    marks: list[Mark] = []
    tokens = 0
    for block in blocks:
        text = block.tokens is None
        size = count_tokens(block.content) if block.tokens is None else block.tokens
        running.update(b"t" if text else b"b" + block.content)
        fed = 0
        for boundary in range(tokens - tokens % step + step, tokens + size + 1, step) if step else ():
            if text:
                upto = (boundary - tokens) * BYTES_PER_TOKEN
                running.update(block.content[fed:upto])
                fed = upto
            marks.append(Mark(boundary, running.digest() + boundary.to_bytes(8, "big")))
        # The length behind the content keeps neighbours apart: "ab", "c" is not "a", "bc".
        running.update((block.content[fed:] if text else b"") + len(block.content).to_bytes(8, "big"))
        tokens += size
        if not step:
            marks.append(Mark(tokens, running.digest()))
    return marks


@dataclass(slots=True)
class _Entry:
    ttl_s: float
    expires_at: float
    dies_at: float


class PromptCache:
    """Which prefixes a vendor holds at a time, by the clock it is given (seconds)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[bytes, _Entry] = {}
        self._sweep_at = 100_000

    def __len__(self) -> int:
        return len(self._entries)

    def lookup(self, marks: Iterable[Mark]) -> Mark | None:
        """Return the longest of `marks` that is held, and restart its time to live; None when none is."""
        for mark in sorted(marks, key=lambda mark: mark.tokens, reverse=True):
            entry = self._held(mark)
            if entry is not None:
                entry.expires_at = self._clock() + entry.ttl_s
                return mark
        return None

    def holds(self, mark: Mark) -> bool:
        """Return whether `mark` is held now; changes nothing."""
        return self._held(mark) is not None

    def write(self, marks: Iterable[Mark], ttl_s: float, max_age_s: float = float("inf")) -> None:
        """Hold `marks` for `ttl_s` seconds after the last read or write, but no longer than `max_age_s` in all.

        One that is held already is refreshed; it keeps its age, and the longer of its times to live. Call it when
        the answer begins: until then nobody can read what its prompt wrote.
        """
        now = self._clock()
        for mark in marks:
            entry = self._held(mark)
            if entry is None:
                self._entries[mark.digest] = _Entry(ttl_s, now + ttl_s, now + max_age_s)
            else:
                entry.ttl_s = max(entry.ttl_s, ttl_s)
                entry.expires_at = now + entry.ttl_s
        if len(self._entries) > self._sweep_at:
            self._sweep(now)

    def clear(self) -> None:
        """Forget everything."""
        self._entries = {}

    def _held(self, mark: Mark) -> _Entry | None:
        entry = self._entries.get(mark.digest)
        if entry is None or self._clock() >= min(entry.expires_at, entry.dies_at):
            return None
        return entry

    def _sweep(self, now: float) -> None:
        self._entries = {
            digest: entry for digest, entry in self._entries.items() if now < min(entry.expires_at, entry.dies_at)
        }
        self._sweep_at = max(100_000, 2 * len(self._entries))
