"""The dialects in which a program asks the gateway: the wires from the other side, by name.

request ──read_request──▶ Call          whoever answers
request ──pass_on───────▶ Built         the vendor whose own wire it is answers
Completion ──render─────▶ body
Chunks ──renderer───────▶ events ──frame──▶ bytes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ostinato.wire.contract import Built, Call, Event, Json
from ostinato.wire.sse import encode_event

if TYPE_CHECKING:
    from ostinato.errors import OstinatoError
    from ostinato.records import Chunk, Completion

_encode = msgspec.json.Encoder().encode


class Renderer(Protocol):
    """Turns the chunks of one stream, whoever gave it, into events of a dialect."""

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that a chunk makes."""

    def end(self) -> list[Event]:
        """Return the events that end the stream; none where it had no first chunk."""

    def fail(self, error: OstinatoError, status: int) -> list[Event]:
        """Return the events that tell a stream's reader that it broke."""


class Counting(Protocol):
    """Finds in one stream of a dialect what it counts."""

    def feed(self, event: Event) -> tuple[Json, Json] | None:
        """Return the final usage inside `event`, and a body that it prices; None where there is none."""


class Dialect(msgspec.Struct, frozen=True):
    """A wire, as the side that is asked."""

    name: str
    """The name of the wire, or of what is spoken over one."""
    read_request: Callable[[Json], Call]
    """Return the call that a request asks for. Raises: BadRequestError."""
    pass_on: Callable[[Json, str, Mapping[str, str]], Built] | None
    """Return the request for a model, with these headers of its own, as its own vendor is to get it: untouched.
    None where a call is the request."""
    render: Callable[[Completion], Json]
    """Return an answer, whoever gave it, as a body."""
    renderer: Callable[[], Renderer]
    render_error: Callable[[OstinatoError, int], Json]
    """Return an error as the body of an answer with a status."""
    counting: Callable[[], Counting]
    streamed_by: frozenset[str]
    """The wires whose events are the dialect's own."""
    counted: frozenset[str] = frozenset()
    """Members of a request that its vendor counts the tokens of, below `/count_tokens`; none where it does not."""
    headers: frozenset[str] = frozenset()
    """Headers of a request that change its answer."""
    named: bool = True
    """Whether an event of a stream carries its type as its name as well."""
    done: bytes = b""
    """What stands behind the last event."""

    def only_counts(self, event: Event) -> bool:
        """Say whether an event does no more than count, for those who asked for it."""
        return not self.named and not event.get("choices")

    def frame(self, event: Event, raw: bytes | None = None) -> bytes:
        """Return an event as it is sent; `raw` are its bytes where they are there."""
        name = event.get("type") if self.named else None
        return encode_event(_encode(event) if raw is None else raw, name if isinstance(name, str) else None)


class ChatCounting:
    """Finds what a stream of chat's counts: in a chunk of its own, or beside the last one's choices."""

    __slots__ = ()

    def feed(self, event: Event) -> tuple[Json, Json] | None:
        usage = event.get("usage")
        return (usage, event) if isinstance(usage, dict) else None


class MessageCounting:
    """Finds what a stream of Anthropic's counts: its end completes what its beginning said."""

    __slots__ = ("_message",)

    def __init__(self) -> None:
        self._message: Json = {}

    def feed(self, event: Event) -> tuple[Json, Json] | None:
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            self._message = event["message"]
        usage = event.get("usage")
        if kind != "message_delta" or not isinstance(usage, dict):
            return None
        return usage, {**self._message, "usage": {**(self._message.get("usage") or {}), **usage}}


class ResponseCounting:
    """Finds what a stream of the Responses API counts: its last event holds the whole response."""

    __slots__ = ()

    def feed(self, event: Event) -> tuple[Json, Json] | None:
        response: Any = event.get("response")
        if event.get("type") not in {"response.completed", "response.incomplete"} or not isinstance(response, dict):
            return None
        usage = response.get("usage")
        return (usage, response) if isinstance(usage, dict) else None


@cache
def find_dialect(name: str) -> Dialect:
    """Return the dialect of the wire called `name`, or `completions`, loaded when it is first asked for."""
    match name:
        case "anthropic":
            from ostinato.wire.anthropic import invert as messages

            return Dialect(
                name,
                messages.read_request,
                messages.pass_on,
                messages.render,
                messages.Renderer,
                messages.render_error,
                MessageCounting,
                frozenset({name, "bedrock_invoke"}),
                counted=messages.COUNTED,
                headers=frozenset({"anthropic-beta"}),
            )
        case "openai_responses":
            from ostinato.wire.openai_responses import invert as responses

            return Dialect(
                name,
                responses.read_request,
                responses.pass_on,
                responses.render,
                responses.Renderer,
                responses.render_error,
                ResponseCounting,
                frozenset({name}),
            )
    if name == "completions":
        from ostinato.wire.openai_chat import completions

        return Dialect(
            name,
            completions.read_request,
            None,
            completions.render,
            completions.Renderer,
            completions.render_error,
            ChatCounting,
            frozenset(),
            named=False,
            done=b"data: [DONE]\n\n",
        )
    from ostinato.wire.openai_chat import invert as chat

    return Dialect(
        "openai_chat",
        chat.read_request,
        None,
        chat.render,
        chat.Renderer,
        chat.render_error,
        ChatCounting,
        frozenset({"openai_chat"}),
        named=False,
        done=b"data: [DONE]\n\n",
    )
