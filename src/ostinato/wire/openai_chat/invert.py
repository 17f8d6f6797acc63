"""The wire from the other side: a chat request, read as a call, and answers as OpenAI's chat gives them.

A call is in chat's own words already, so that there is next to nothing to translate.
"""

from __future__ import annotations

from ostinato.errors import BadRequestError, OstinatoError
from ostinato.records import Chunk, Completion
from ostinato.wire.contract import Call, Event, Json
from ostinato.wire.openai_responses.render import render_error
from ostinato.wire.values import kind_of

__all__ = ["Renderer", "read_request", "render", "render_error"]

_APART = frozenset({"messages", "model", "stream"})


def read_request(body: Json) -> Call:
    """Return the call that a request asks for; whether it wants a stream is left to its `stream`.

    Raises: BadRequestError: it is no request for a completion.
    """
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise BadRequestError(f"model must be a str, not {kind_of(model)}")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list of at least one message")
    params = {name: value for name, value in body.items() if name not in _APART and value is not None}
    if not body.get("stream"):
        params.pop("stream_options", None)  # vendors refuse it there, and it changes no answer
    return Call(model, messages, params)


def render(completion: Completion) -> Json:
    """Return an answer, whoever gave it, as the body of a chat completion."""
    return completion


class Renderer:
    """Turns the chunks of one stream into its events: they are those."""

    __slots__ = ()

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that a chunk makes."""
        return [chunk]

    def end(self) -> list[Event]:
        """Return the events that end the stream."""
        return []

    def fail(self, error: OstinatoError, status: int) -> list[Event]:
        """Return the event that tells a stream's reader that it broke."""
        return [render_error(error, status)]
