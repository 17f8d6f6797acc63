"""What a vendor's dialect is to the emulator. One module or package a vendor implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ostinato.testing.emulator.calls import RecordedCall
from ostinato.testing.emulator.prompt_cache import PromptCache
from ostinato.testing.emulator.script import Reply


@dataclass(frozen=True, slots=True)
class World:
    """What the emulator lends to a dialect."""

    now: Callable[[], float]
    """The time, in seconds."""
    prompt_cache: PromptCache
    """Shared by all dialects; a scope keeps them apart."""
    models: frozenset[str] | None
    """The models that exist; None: any does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, ready to be sent."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case, `content-type` among them; length and framing are the server's."""
    body: bytes = b""
    events: Sequence[bytes] | None = None
    """A stream: its events, framed. None: `body` is sent."""
    usage: Mapping[str, Any] | None = None
    """What the vendor bills; None when nothing."""
    begin: Callable[[], None] | None = field(default=None, repr=False)
    """Called when the first byte leaves: what the prompt cache learns from this call."""


class Dialect(Protocol):
    """One vendor's wire. Has no state of its own: what lasts is in `World`."""

    name: str

    def owns(self, call: RecordedCall) -> bool:
        """Return whether a request is for this vendor, by its path and headers alone."""

    def key(self, call: RecordedCall) -> str | None:
        """Return the API key that a request carries, or None."""

    def answer(self, call: RecordedCall, reply: Reply, world: World) -> Answer:
        """Return the answer to a request that is allowed in, as `reply` wants it, faults of transport aside."""

    def error(self, call: RecordedCall, status: int, error: str | Mapping[str, Any] | None = None) -> Answer:
        """Return an error in the vendor's shape: its own words for `status`, with `error` in their place."""

    def frame(self, event: Mapping[str, Any]) -> bytes:
        """Return one event of a stream as it goes over the wire."""
