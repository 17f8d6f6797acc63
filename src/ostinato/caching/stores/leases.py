"""What a store may offer beside entries: who asks for a key at the moment, and what has come so far.

A *lease* is the right to ask for one key. It has a token; whatever is told under another is refused, so a
leader that was taken for dead and wakes again changes nothing. What the leader tells is the key's *live
stream*: frames, opaque bytes, in order. Those who follow it get what has come, and then the rest.

    claim ──▶ the entry │ the lead │ somebody's live stream
    the leader: tell, again and again: more frames, or only that it lives; at last an end
    the others: follow: the next frames, or that the leader is gone: then claim again
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from ostinato.errors import StoreError

LEASE_S = 5.0
"""How long a lease lasts unless it is renewed."""
DROP_S = 3600.0
"""How long a lease that nobody renews, or takes over, can still be taken up by its own leader: calls may be slow."""
LINGER_S = 10.0
"""How long the live stream of a call that is over can still be read by those who follow it."""

End = Literal["landed", "failed", "broken", "released", "dropped"]
"""How a lease ends: with an answer; with an error that is everybody's; with one that another may try again; given
back unless somebody follows; given back whoever follows."""

Heard = Literal["alone", "followed", "fenced"]
"""What a leader is told: nobody follows, somebody does, or the lease is another's."""


class Lead(msgspec.Struct, frozen=True):
    """The right to ask for `key`."""

    key: bytes
    token: bytes
    last: bool = False
    """Whether this lease follows a leader that gave up: another hand-over is not to be."""


class Live(msgspec.Struct, frozen=True):
    """Somebody else's live stream, with what has come of it."""

    key: bytes
    token: bytes
    frames: list[bytes]


Claimed = bytes | Lead | Live | None
"""An entry, the lead, somebody's live stream; or none of them, where this key cannot be led."""


class Report(msgspec.Struct, frozen=True):
    """What a leader tells under its token; the lease is renewed by it."""

    key: bytes
    token: bytes
    position: int
    """How many frames were told before these. What arrives twice is taken once."""
    frames: list[bytes]
    end: End | None = None
    value: bytes | None = None
    """The entry to store with the end `landed`."""
    ttl_s: float | None = None


class Seen(msgspec.Struct, frozen=True):
    """How far a follower has read."""

    key: bytes
    token: bytes
    position: int


class News(msgspec.Struct, frozen=True):
    """What came of a live stream since."""

    frames: list[bytes]
    gone: bool = False
    """Whether the leader is dead or has given back its lease: nothing more comes under its token."""


class Leases(Protocol):
    """The leases of one store. Every method may raise `StoreError` and nothing else.

    What befell one report or one stream alone, as where its server in a cluster is lost, is returned in its place.
    """

    lease_s: float
    """Seconds after which a leader that tells nothing is taken for dead."""
    landing: dict[bytes, bytes]
    """Entries on their way to the store: all who have it open in this process find them here, by key."""
    gather_s: float
    """How long events are gathered for those who follow; the first goes at once."""
    alone_s: float
    """The same while nobody follows: whoever begins to waits this long at most for the leader to notice."""
    live_bytes: int
    """What one live stream may take in the store. Who follows a longer one asks for itself."""

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        """Return the entry of `key`, the lead, or the live stream of whoever has the lead, in one operation.

        With `over` an entry does not count: it is to be replaced. Who claims `again` has followed a leader that died:
        it joins the next one even if that has ended meanwhile. Who takes over from a leader that died, or gave up, is
        followed at first: others who followed have yet to notice.
        """

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        """Return the entry of `key`, the lead, or the live stream of whoever has the lead."""

    def tell(self, reports: Sequence[Report]) -> Sequence[Heard | StoreError]:
        """Append frames, store, renew or end, each only if the lease still has its token."""

    def follow(self, seen: Sequence[Seen]) -> Sequence[News | StoreError]:
        """Return what came since, and note that somebody follows, for `lease_s` seconds from now."""

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        """Wait for something to be told of `keys`, `seconds` at most. Return those of which something may have been.

        One thread does it, for its whole process. Without keys, give back what waiting takes.
        """

    def interrupt(self) -> None:
        """Have the thread that waits go on at once, or soon. Never waits itself."""


@runtime_checkable
class Leasing(Protocol):
    """A store that may have leases."""

    @property
    def leases(self) -> Leases | None:
        """The leases of this store; None where its settings turn them off."""
