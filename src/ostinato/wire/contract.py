"""What every wire is: pure functions between one vendor's bytes and OpenAI's shapes.

A wire does no I/O, reads no clock and no environment, and keeps no state between calls. What must be
remembered inside one stream lives in the `Fold` and the `Translator` that it hands out.

    caller's words ──build──▶ the vendor's request          (what is sent, and what the key is made of)
    vendor's body  ──parse──▶ Completion                    (also of a body from the cache)
    vendor's events ─Fold───▶ the body the same call would have returned unstreamed, and its cuts
    body, cuts ────unfold──▶ events                         (fold(unfold(body)) == body)
    events ─────Translator─▶ Chunks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from ostinato.errors import APIResponseError

if TYPE_CHECKING:
    from ostinato.errors import APIError
    from ostinato.providers import Provider
    from ostinato.records import Chunk, Completion
    from ostinato.wire.tokens import Tokens

Json = dict[str, Any]
"""A decoded JSON object."""
Event = dict[str, Any]
"""One decoded event of a vendor's stream. `[DONE]` and comments never get this far."""
Cuts = list[Any]
"""How a stream was cut, in the terms of its wire: JSON values only. Opaque to everybody else."""


MISSHAPEN = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError)
"""What a wire breaks with where a request or an answer is not of its shape: it is pure, so only by what it is given."""


def misshapen(broke: Exception) -> APIResponseError:
    """Return the error that says that an answer is not of its wire's shape."""
    return APIResponseError(f"the answer is not of the shape that it must have: {broke!r}")


class Call(msgspec.Struct, frozen=True):
    """A chat call in the caller's words: OpenAI's parameters, vendor-neutral."""

    model: str
    """The vendor's model name, without the provider prefix."""
    messages: list[Json]
    """OpenAI-shaped messages. A wire never changes them, nor anything inside."""
    params: Json = msgspec.field(default_factory=dict)
    """OpenAI parameters, `extra_body` included, without None values and without ours."""
    drop_params: bool = False
    """Leave out what the vendor cannot take, instead of raising UnsupportedParamsError."""
    strict: bool = True
    """Whether the vendor's own list of parameters binds. False where another server answers in its place: what
    that one takes, only it can know."""


class Built(msgspec.Struct, frozen=True):
    """A request as the vendor wants it, before `stream` is decided and before authentication."""

    path: str
    """Appended to the provider's base URL; starts with a slash."""
    body: Json
    """The JSON body. Shares nothing mutable with the caller that a later step changes."""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Headers that the call asks for and that change the answer (`anthropic-beta`, …), names in lower case."""
    notes: tuple[str, ...] = ()
    """What could not be kept of what the caller asked for, and was left out all the same."""


class Fold(Protocol):
    """Gathers the events of one stream into the body of its unstreamed twin."""

    complete: bool
    """Whether the answer is whole: every choice has its finish reason, or the vendor's stop event came."""

    def feed(self, event: Event) -> None:
        """Take the next event. Keeps no reference to anything mutable inside `event`.

        Raises: APIResponseError: the event contradicts the wire.
        """

    def body(self) -> Json:
        """Return the folded body. May be called at any time; what has not come is not there."""

    def cuts(self) -> Cuts:
        """Return how the stream was cut, for `unfold`."""


class Translator(Protocol):
    """Turns the events of one stream into OpenAI-shaped chunks."""

    def feed(self, event: Event) -> list[Chunk]:
        """Return the chunks that this event makes: none, one or several. May take over `event`."""

    def end(self) -> list[Chunk]:
        """Return what is due after the last event (a usage chunk, for one)."""


class Parse(Protocol):
    """Returns the vendor's body as a Completion."""

    def __call__(self, body: Json, headers: Mapping[str, str] | None = None, /) -> Completion: ...


class Count(Protocol):
    """Returns what a call used, one run or several, or None when the vendor does not say."""

    def __call__(self, body: Json, headers: Mapping[str, str] | None = None, /) -> list[Tokens] | None: ...


class Unfold(Protocol):
    """Yields the events of a stream that folds to the body, cut as the cuts say.

    What the answer's headers alone count is told by the last event.
    """

    def __call__(
        self, body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None, /
    ) -> Iterator[Event]: ...


class Wire(msgspec.Struct, frozen=True):
    """One vendor dialect: a name, and the functions that speak it."""

    name: str
    framing: Literal["sse", "eventstream"]

    build: Callable[[Call, Provider], Built]
    """Return the vendor's request for a call.

    Raises:
        UnsupportedParamsError: a parameter that the vendor cannot take, and `drop_params` is off.
        BadRequestError: messages that no request of this wire can carry.
    """
    streaming: Callable[[Built], Built]
    """Return the same request, asking for a stream (with usage, where that is an option)."""
    keyed_body: Callable[[Json], Json]
    """Return a body without the paths that `docs/keys.md` leaves out. The body given is not changed."""
    bypass: Callable[[Json], str | None]
    """Say why a request with this body is neither looked up nor stored unless asked, or None."""
    parse: Parse
    """Return the vendor's body as a Completion. May take over the body.

    Raises: APIError: the body is an error, or not of this wire.
    """
    tokens: Count
    """Return what the call used; `headers` are those of the answer, for vendors that count there."""
    fold: Callable[[], Fold]
    translator: Callable[[], Translator]
    unfold: Unfold
    incomplete: Callable[[Json], str | None]
    """Say why a final body must not be stored (refused, empty, a cut tool argument …), or None."""
    error: Callable[[int, Mapping[str, str], bytes], APIError]
    """Return the error that a status, headers and a body mean. Header names are in lower case."""
    event_error: Callable[[Event], APIError | None]
    """Return the error that an event, or a body inside a 200, carries, or None."""
