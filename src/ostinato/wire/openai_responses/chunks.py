"""The events of a stream as chat's chunks.

The first chunk names the role, the last but one says how the answer ended and holds what only the whole answer shows
(`output_items`, `reasoning_items`, `annotations`), the last one, without choices, the usage.

A text that comes whole, with no deltas before it, is told when its item ends, or when the response does.
"""

from __future__ import annotations

from typing import Any

from ostinato.records import Chunk
from ostinato.wire.contract import Event, Json
from ostinato.wire.openai_responses.channels import DELTAS, Channel, Delta, channels_of
from ostinato.wire.openai_responses.fold import ENDINGS, ResponsesFold
from ostinato.wire.openai_responses.items import CALLS
from ostinato.wire.openai_responses.response import BETWEEN_THOUGHTS, ending, message_of
from ostinato.wire.openai_responses.usage import usage_record

_ON_THE_CHUNK = frozenset({"id", "object", "created", "model", "choices", "output", "usage"})

_WORDS = {
    "response.output_text": "content",
    "response.refusal": "refusal",
    "response.reasoning_text": "reasoning_content",
    "response.reasoning_summary_text": "reasoning_content",
}

_FIELDS = {f"{name}.delta": field for name, field in _WORDS.items()}


class ResponsesTranslator:
    """Makes chunks of one stream's events."""

    __slots__ = ("_calls", "_created", "_fold", "_head", "_model", "_role", "_thought", "_told", "_untold")

    def __init__(self) -> None:
        self._fold = ResponsesFold()
        self._head: Any = None
        self._model: Any = None
        self._created = 0
        self._role = False
        self._calls: dict[int, int] = {}
        self._told: dict[tuple[int, Channel], int] = {}
        self._thought: tuple[int, Channel] | None = None
        self._untold = False

    def feed(self, event: Event) -> list[Chunk]:
        self._fold.feed(event)
        kind = event.get("type", "")
        delta = DELTAS.get(kind)
        if delta is not None:
            return self._delta(event, kind, delta)
        if kind == "response.output_item.added":
            return self._call(event["output_index"], event["item"])
        if kind == "response.output_item.done":
            return self._rest(event["output_index"], event["item"])
        if kind == "response.created" or kind == "response.in_progress":  # noqa: PLR1714
            return self._begin(event["response"])
        if kind in ENDINGS:
            return self._end(event["response"])
        return []

    def end(self) -> list[Chunk]:
        """Return the chunk with the usage and with what else the vendor says of the whole, once."""
        if not self._untold:
            return []
        self._untold = False
        body = self._fold.body()
        chunk = self._chunk(None)
        chunk |= {name: value for name, value in body.items() if name not in _ON_THE_CHUNK}
        usage = usage_record(body)
        if usage is not None:
            chunk["usage"] = usage
        return [chunk]

    def _chunk(self, delta: Json | None) -> Chunk:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
        return Chunk(
            {
                "id": self._head,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
                "choices": choices,
            }
        )

    def _begin(self, response: Json) -> list[Chunk]:
        self._head, self._model = response.get("id"), response.get("model")
        created = response.get("created_at")
        self._created = int(created) if type(created) is int or type(created) is float else 0
        if self._role:
            return []
        self._role = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _delta(self, event: Event, kind: str, delta: Delta) -> list[Chunk]:
        index, text = event["output_index"], event["delta"]
        told = (index, self._fold.channel(event, delta))
        self._told[told] = self._told.get(told, 0) + len(text)
        field = _FIELDS.get(kind)
        if field is not None:
            return self._say(field, text, told, event.get("logprobs"))
        return [self._piece(index, delta.item, text)] if text and index in self._calls else []

    def _say(self, field: str, text: str, told: tuple[int, Channel], logprobs: Any = None) -> list[Chunk]:
        if not text:
            return []
        if field == "reasoning_content":
            if self._thought is not None and self._thought != told:
                text = BETWEEN_THOUGHTS + text
            self._thought = told
        chunk = self._chunk({field: text})
        if logprobs:
            dict.__getitem__(chunk, "choices")[0]["logprobs"] = {"content": logprobs, "refusal": None}
        return [chunk]

    def _piece(self, index: int, kind: str, text: str) -> Chunk:
        name, given = CALLS[kind]
        return self._chunk({"tool_calls": [{"index": self._calls[index], name: {given: text}}]})

    def _call(self, index: int, item: Json) -> list[Chunk]:
        kind = item.get("type")
        if kind not in CALLS or index in self._calls:
            return []
        name, given = CALLS[kind]
        number = self._calls[index] = len(self._calls)
        named = {"index": number, "id": item.get("call_id"), "type": name}
        return [self._chunk({"tool_calls": [{**named, name: {"name": item.get("name"), given: ""}}]})]

    def _rest(self, index: int, item: Json) -> list[Chunk]:
        """Return what of an item that has ended was not told in deltas."""
        chunks = self._call(index, item)
        for channel, name, text in channels_of(item):
            told = (index, channel)
            untold = text[self._told.get(told, 0) :]
            if not untold:
                continue
            self._told[told] = len(text)
            if name in _WORDS:
                chunks += self._say(_WORDS[name], untold, told)
            elif index in self._calls:
                chunks.append(self._piece(index, str(item["type"]), untold))
        return chunks

    def _end(self, response: Json) -> list[Chunk]:
        chunks = self._begin(response)
        self._untold = True
        body = self._fold.body()
        output = body.get("output") or []
        for index, item in enumerate(output):
            chunks += self._rest(index, item)
        message = message_of(output)
        delta: Json = {
            name: message[name] for name in ("annotations", "reasoning_items", "output_items") if name in message
        }
        chunk = self._chunk(delta)
        dict.__getitem__(chunk, "choices")[0].update(ending(body, called="tool_calls" in message))
        return [*chunks, chunk, *self.end()]
