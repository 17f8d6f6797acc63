"""The bodies of Claude before version 3 on Bedrock: a text that goes on, without messages.

They are read and not built: Claude 2.1 takes messages too.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-text-completion.html
(read 2026-11-22), and the recorded traffic.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.records import Chunk, Completion
from ostinato.wire.anthropic.response import FINISH
from ostinato.wire.contract import Cuts, Event, Json

_ON_EACH_PIECE = frozenset({"type", "stop_reason", "stop"})


def is_text(body: Json) -> bool:
    """Say whether a body or an event is of this kind."""
    return type(body) is dict and "completion" in body


def parse_text(body: Json) -> Completion:
    """Return a text's body as a record."""
    completion = Completion(body)
    message = {"role": "assistant", "content": completion.pop("completion")}
    choice = _ending(completion)
    choice["message"] = message
    completion["object"] = "chat.completion"
    completion["created"] = 0
    completion["choices"] = [choice]
    return completion


def _ending(body: Json) -> Json:
    reason = body.pop("stop_reason", None)
    finish = None if reason is None else FINISH.get(reason, "stop")
    choice: Json = {"index": 0, "finish_reason": finish, "native_finish_reason": reason}
    if "stop" in body:
        choice["stop"] = body.pop("stop")
    return choice


def incomplete_text(body: Json) -> str | None:
    """Say why a text must not be kept, or None."""
    if body.get("stop_reason") is None:
        return "it has no stop reason"
    return None if body.get("completion") else "it is empty"


class TextFold:
    """Gathers the pieces of one text. The cuts are their lengths."""

    __slots__ = ("_body", "_pieces", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._body: Json = {}
        self._pieces: list[str] = []

    def feed(self, event: Event) -> None:
        piece = event.get("completion")
        if type(piece) is not str:
            raise APIResponseError("an event of the stream contradicts the wire: it holds no piece of the text")
        self._pieces.append(piece)
        self._body |= to_builtins({name: value for name, value in event.items() if name != "completion"})
        self.complete = event.get("stop_reason") is not None

    def body(self) -> Json:
        return {**to_builtins(self._body), "completion": "".join(self._pieces)}

    def cuts(self) -> Cuts:
        return [len(piece) for piece in self._pieces]


def unfold_text(body: Json, cuts: Cuts | None) -> Iterator[Event]:
    """Yield the pieces of a text, the last with how it ended."""
    text = body["completion"]
    lengths = cuts if cuts and sum(cuts) == len(text) else [len(text)]
    place = 0
    piece: Json = {name: None if name.startswith("stop") else body[name] for name in body if name in _ON_EACH_PIECE}
    for length in lengths[:-1]:
        yield {**piece, "completion": text[place : place + length]}
        place += length
    yield {**to_builtins(body), "completion": text[place:]}


class TextTranslator:
    """Makes a chunk of each piece."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def feed(self, event: Event) -> list[Chunk]:
        delta: Json = {"content": event.pop("completion", "")}
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        choice = {**_ending(event), "delta": delta}
        return [Chunk({**event, "object": "chat.completion.chunk", "created": 0, "choices": [choice]})]

    def end(self) -> list[Chunk]:
        return []
