"""OpenAI's older completions, spoken over chat: a prompt is what a user says, an answer's text is its choice.

Source: https://platform.openai.com/docs/api-reference/completions/create (read 2026-11-24).
"""

from __future__ import annotations

from typing import Any

from ostinato.errors import BadRequestError, OstinatoError
from ostinato.records import Chunk, Completion, text_of
from ostinato.wire.contract import Call, Event, Json
from ostinato.wire.media import spoken_in
from ostinato.wire.openai_responses.render import render_error
from ostinato.wire.values import kind_of

__all__ = ["Renderer", "read_request", "render", "render_error"]

_APART = frozenset({"model", "prompt", "stream"})
_ASKS_NOTHING: dict[str, tuple[Any, ...]] = {"best_of": (1,), "echo": (False,), "logprobs": (), "suffix": ("",)}
"""Parameters that chat has nothing for, each with the values that ask for nothing."""


def read_request(body: Json) -> Call:
    """Return the call that a request asks for.

    Raises: BadRequestError: it asks for what chat cannot do, or for nothing.
    """
    model, prompt = body.get("model"), body.get("prompt")
    if not isinstance(model, str) or not model:
        raise BadRequestError(f"model must be a str, not {kind_of(model)}")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequestError("prompt must be one text: several, and token ids, are not taken over chat")
    params = {name: value for name, value in body.items() if name not in _APART and value is not None}
    for name, values in _ASKS_NOTHING.items():
        if name in params and params.pop(name) not in values:
            raise BadRequestError(f"{name} is not taken: completions are answered over chat")
    if not body.get("stream"):
        params.pop("stream_options", None)
    return Call(model, [{"role": "user", "content": prompt}], params)


def render(completion: Completion) -> Json:
    """Return an answer as the body of a text completion."""
    body = {name: value for name, value in dict.items(completion) if name in _KEPT}
    choices = dict.get(completion, "choices") or ()
    told = [_choice(choice, "message") for choice in choices]
    return body | {"object": "text_completion", "choices": told}


_KEPT = frozenset({"id", "created", "model", "system_fingerprint", "usage"})


def _choice(choice: Json, member: str) -> Json:
    said = dict.get(choice, member) or {}
    text = text_of(said.get("content")) or spoken_in(said)
    return {
        "index": dict.get(choice, "index") or 0,
        "text": text if isinstance(text, str) else "",
        "logprobs": None,
        "finish_reason": dict.get(choice, "finish_reason"),
    }


class Renderer:
    """Turns the chunks of one stream into those of a text completion."""

    __slots__ = ()

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the event that a chunk makes; none for one that says nothing."""
        choices = dict.get(chunk, "choices") or ()
        told = [_choice(choice, "delta") for choice in choices]
        if not dict.get(chunk, "usage") and not any(item["text"] or item["finish_reason"] for item in told):
            return []
        body = {name: value for name, value in dict.items(chunk) if name in _KEPT}
        return [body | {"object": "text_completion", "choices": told}]

    def end(self) -> list[Event]:
        """Return the events that end the stream."""
        return []

    def fail(self, error: OstinatoError, status: int) -> list[Event]:
        """Return the event that tells a stream's reader that it broke."""
        return [render_error(error, status)]
