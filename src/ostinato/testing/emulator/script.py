"""What the emulator is told to answer, and the faults it is told to show."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.testing.emulator.calls import RecordedCall

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How one call is answered. What is left alone happens as it would without a script.

    An *event* below is one of a stream; a body that is no stream counts as one event.
    """

    # What the model says.
    text: str | tuple[str, ...] | None = None
    """The text; several for several choices (`n`), taken round."""
    refusal: str | None = None
    """A refusal in place of a text."""
    tool_calls: tuple[str | Mapping[str, Any], ...] | None = None
    """Tools to call, in parallel when several: a name, or `{"name", "arguments", "id"}` (`input` for a custom tool);
    arguments that are left out are written to the tool's schema. Empty: none, although the request has tools."""
    pieces: tuple[str, ...] | None = None
    """The text, cut as a stream shall cut it; instead of `text`."""
    redacted_thinking: bool = False
    """Where the model thinks aloud, let its thinking come redacted (Anthropic, Bedrock)."""
    finish_reason: str | None = None
    """The vendor's reason for stopping."""
    usage: Mapping[str, Any] | None = None
    """Members of the usage to set, whatever the call would count. Beside a raw answer, what is billed for it."""

    # Errors and raw answers.
    status: int | None = None
    """The HTTP status. From 400 on, an error in the vendor's shape, `error` or not."""
    error: str | Mapping[str, Any] | None = None
    """The error's message, or members of the vendor's error object. Without a status, and without
    `error_after_events`, the status is 500."""
    error_after_events: int | None = None
    """Let the stream begin with 200 and send the error after so many events, as the last."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers to add or replace."""
    raw_body: bytes | str | None = None
    """The body, byte for byte."""
    raw_events: tuple[bytes | str | Mapping[str, Any], ...] | None = None
    """The stream, event by event: bytes and text go out as they are, an object is framed as the vendor does."""

    # Time. Seconds; stopping the emulator ends every wait.
    delay_s: float = 0.0
    """Before the head of the answer."""
    first_byte_delay_s: float = 0.0
    """Between the head and the first event."""
    chunk_delay_s: float = 0.0
    """Before each further event."""
    gate: threading.Event | None = None
    """Holds the head back until it is set."""
    gates: Mapping[int, threading.Event] = field(default_factory=dict)
    """Holds back the event of that number, from 0, until it is set."""

    # Cuts: the connection is closed in the middle of the answer.
    close_before_headers: bool = False
    cut_after_events: int | None = None
    cut_after_bytes: int | None = None
    """Counted in the body."""
    stall_after_events: int | None = None
    """Send nothing more after so many events, and leave the connection open."""

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise ConfigurationError(f"{name} of a reply is {expected}, not {value!r}")


_LISTED: tuple[type, ...] = (tuple, list)
_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str, *_LISTED),
    "refusal": (str,),
    "tool_calls": _LISTED,
    "pieces": _LISTED,
    "finish_reason": (str,),
    "usage": (Mapping,),
    "error": (str, Mapping),
    "headers": (Mapping,),
    "raw_body": (bytes, str),
    "raw_events": _LISTED,
    **dict.fromkeys(("status", "error_after_events"), (int,)),
    **dict.fromkeys(("cut_after_events", "cut_after_bytes", "stall_after_events"), (int,)),
    **dict.fromkeys(("delay_s", "first_byte_delay_s", "chunk_delay_s"), (int, float)),
}
"""What a wrong member would otherwise break in the middle of an answer."""

_NOT_OVER_HTTP = {"gate", "gates"}


def reply_from_json(value: Any) -> Reply:
    """Return the reply that a JSON object describes by the names of `Reply`, gates aside.

    Raises: ConfigurationError: it is no object, or has a member that `Reply` has not.
    """
    names = {item.name for item in fields(Reply)} - _NOT_OVER_HTTP
    if not isinstance(value, dict) or not names.issuperset(value):
        raise ConfigurationError(f"a reply is an object with some of {', '.join(sorted(names))}; not {value!r}")
    members: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    return Reply(**members)


DEFAULT = Reply()


@dataclass(slots=True)
class _Line:
    reply: Reply
    left: int | None
    when: Callable[[RecordedCall], bool] | None


class Script:
    """The replies to come. Safe to share between threads."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._lock = threading.Lock()

    def add(self, reply: Reply, times: int | None, when: Callable[[RecordedCall], bool] | None) -> None:
        """Answer the next `times` calls that no earlier line takes with `reply`; all of them when None."""
        if times is not None and times < 1:
            raise ConfigurationError(f"times must be 1 or more, or None for every call; not {times!r}")
        with self._lock:
            self._lines.append(_Line(reply, times, when))

    def take(self, call: RecordedCall) -> Reply:
        """Return the reply for `call`, and count it as used."""
        with self._lock:
            for line in self._lines:
                if line.when is not None and not line.when(call):
                    continue
                if line.left is not None:
                    line.left -= 1
                    if not line.left:
                        self._lines.remove(line)
                return line.reply
        return DEFAULT

    def clear(self) -> None:
        """Forget every reply to come."""
        with self._lock:
            self._lines.clear()
