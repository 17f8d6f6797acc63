"""What a flight tells a reader to do next, and the reader's place in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostinato.errors import OstinatoError


@dataclass(frozen=True, slots=True)
class Open:
    """Open the way upstream, and report under `token`."""

    token: int


@dataclass(frozen=True, slots=True)
class Pull:
    """Take the next piece off `source`, and report under `token`."""

    source: Any
    token: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until the flight has moved on from `version`."""

    version: int


@dataclass(frozen=True, slots=True)
class Events:
    """Deliver the events from `start` up to `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Opening failed with `error`, for the `attempt`-th time: pause and open again, or give up."""

    error: OstinatoError
    attempt: int


@dataclass(frozen=True, slots=True)
class Landed:
    """The answer is whole."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Raise `error`."""

    error: OstinatoError


Move = Open | Pull | Wait | Events | Broken | Landed | Failed


class Reader:
    """One caller's place in a flight."""

    __slots__ = ("left", "position")

    def __init__(self) -> None:
        self.position = 0
        self.left = False
