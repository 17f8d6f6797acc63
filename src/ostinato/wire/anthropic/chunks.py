"""The events of a stream as OpenAI's chunks.

The first chunk names the role, the last but one says how the answer ended and holds what only the whole answer
shows, the last one, without choices, the usage. A thinking block comes once, whole, when it ends, numbered by
`index` as tool calls are; its text has been on its way as `reasoning_content`.
"""

from __future__ import annotations

from typing import Any

from ostinato.errors import APIResponseError
from ostinato.records import Chunk
from ostinato.wire.anthropic.fold import AnthropicFold
from ostinato.wire.anthropic.inputs import arguments_of
from ostinato.wire.anthropic.response import ending, message_of, usage_record
from ostinato.wire.contract import Event, Json

_ON_THE_CHUNK = frozenset({"id", "model", "content", "role", "type", "usage"})


class AnthropicTranslator:
    """Makes chunks of one stream's events."""

    __slots__ = ("_calls", "_fold", "_head", "_model", "_thoughts", "_untold")

    def __init__(self) -> None:
        self._fold = AnthropicFold()
        self._head: Any = None
        self._model: Any = None
        self._calls: dict[int, _Call] = {}
        self._thoughts = 0
        self._untold = False

    def feed(self, event: Event) -> list[Chunk]:
        self._fold.feed(event)
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event["index"], event["delta"])
        if kind == "content_block_start":
            return self._start(event["index"], event["content_block"])
        if kind == "content_block_stop":
            return self._stop(event.get("index"))
        if kind == "message_start":
            self._head, self._model = event["message"].get("id"), event["message"].get("model")
            return [self._chunk({"role": "assistant", "content": ""})]
        if kind == "message_delta":
            self._untold = True
            return self._ending()
        return self.end() if kind == "message_stop" else []

    def end(self) -> list[Chunk]:
        """Return the chunk with the usage and with what else the vendor says of the whole, once."""
        if not self._untold:
            return []
        self._untold = False
        body = self._fold.body()
        usage = usage_record(body)
        ending(body)
        chunk = self._chunk(None)
        chunk |= {name: value for name, value in body.items() if name not in _ON_THE_CHUNK}
        if usage is not None:
            chunk["usage"] = usage
        return [chunk]

    def _chunk(self, delta: Json | None) -> Chunk:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": None}]
        return Chunk(
            {
                "id": self._head,
                "object": "chat.completion.chunk",
                "created": 0,
                "model": self._model,
                "choices": choices,
            }
        )

    def _delta(self, index: int, delta: Json) -> list[Chunk]:
        kind = delta["type"]
        if kind == "text_delta":
            return [self._chunk({"content": delta["text"]})] if delta["text"] else []
        if kind == "thinking_delta":
            return [self._chunk({"reasoning_content": delta["thinking"]})] if delta["thinking"] else []
        if kind == "input_json_delta" and delta["partial_json"] and index in self._calls:
            call = self._calls[index]
            call.begun = True
            return [self._piece(call, delta["partial_json"])]
        return []

    def _piece(self, call: _Call, text: str) -> Chunk:
        return self._chunk({"tool_calls": [{"index": call.number, "function": {"arguments": text}}]})

    def _start(self, index: int, block: Json) -> list[Chunk]:
        kind = block.get("type")
        if kind == "tool_use":
            call = self._calls[index] = _Call(len(self._calls))
            named = {"index": call.number, "id": block.get("id"), "type": "function"}
            named["function"] = {"name": block.get("name"), "arguments": ""}
            if "caller" in block:
                named["caller"] = block["caller"]
            return [self._chunk({"tool_calls": [named]})]
        if kind == "text" and block.get("text"):
            return [self._chunk({"content": block["text"]})]
        if kind == "thinking" and block.get("thinking"):
            return [self._chunk({"reasoning_content": block["thinking"]})]
        return []

    def _stop(self, index: Any) -> list[Chunk]:
        call = self._calls.get(index)
        if call is not None:
            return [] if call.begun else [self._piece(call, arguments_of(self._fold.block(index).get("input")))]
        try:
            block = self._fold.block(index)
        except (IndexError, TypeError):
            raise APIResponseError(f"the stream ends block {index!r}, which it has not begun") from None
        if block.get("type") not in {"thinking", "redacted_thinking"}:
            return []
        self._thoughts += 1
        return [self._chunk({"thinking_blocks": [{"index": self._thoughts - 1, **block}]})]

    def _ending(self) -> list[Chunk]:
        body = self._fold.body()
        choice = ending(body)
        if choice["finish_reason"] is None:
            return []
        message = message_of(body["content"])
        chunk = self._chunk({name: message[name] for name in ("content_blocks", "annotations") if name in message})
        dict.__getitem__(chunk, "choices")[0].update(choice)
        return [chunk]


class _Call:
    """A tool call that is on its way."""

    __slots__ = ("begun", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = False
