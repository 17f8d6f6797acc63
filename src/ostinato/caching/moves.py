"""What a flight tells a reader to do next, and the reader's place in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ostinato.caching.tape import Tape
from ostinato.errors import APIConnectionError, OstinatoError

if TYPE_CHECKING:
    from ostinato.caching.stores.leases import Lead

Keep = Callable[[bytes, dict[str, Any], "list[Any] | None", "dict[str, str] | None", "Lead | None"], None]
"""Stores a landed answer: bytes, the same decoded, cuts, headers, and the lease. It neither raises nor waits."""


class HomeLostError(APIConnectionError):
    """The event loop that an answer was read on has ended; the vendor has not failed."""


class Claim(msgspec.Struct, frozen=True):
    """Ask the store who leads, and report under `token`."""

    token: int


class Open(msgspec.Struct, frozen=True):
    """Open the way upstream, and report under `token`."""

    token: int


class Pull(msgspec.Struct, frozen=True):
    """Take the next piece off `source`, and report under `token`."""

    source: Any
    token: int


class Wait(msgspec.Struct, frozen=True):
    """Wait until the flight has moved on from `version`."""

    version: int


class Events(msgspec.Struct, frozen=True):
    """Deliver the events of `tape` from `start` up to `stop`."""

    start: int
    stop: int
    tape: Tape


class Broken(msgspec.Struct, frozen=True):
    """Opening failed with `error`, for the `attempt`-th time: pause and open again, or give up."""

    error: OstinatoError
    attempt: int


class Landed(msgspec.Struct, frozen=True):
    """The answer is whole."""


LANDED = Landed()


class Failed(msgspec.Struct, frozen=True):
    """Raise `error`."""

    error: OstinatoError


Move = Claim | Open | Pull | Wait | Events | Broken | Landed | Failed


State = Literal[
    "unclaimed", "claiming", "following", "idle", "opening", "broken", "pausing", "open", "pulling", "landed", "failed"
]
"""Where a flight stands; in the first three a `LeasedFlight` alone."""


class Reader:
    """One caller's place in a flight."""

    __slots__ = ("left", "passed_on", "position", "tape")

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.position = 0
        """How many events of `tape` it was given."""
        self.passed_on = False
        """Whether its caller has seen any of them: then only an answer that begins the same may go on."""
        self.left = False
