"""A stream, gathered into the body that the same call would have returned unstreamed.

The counts of the last event replace those of the first, member by member, and a null replaces nothing. The input of
a tool is decoded when it is whole; one that was cut stays the text that came, which no whole answer has there.
"""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.anthropic.inputs import input_of
from ostinato.wire.anthropic.unfold import MAIN, closing, opened, opening, patch_of
from ostinato.wire.contract import Cuts, Event, Json


class AnthropicFold:
    """Gathers one stream. Every event is read once and kept nowhere."""

    __slots__ = ("_blocks", "_end", "_message", "_start", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._message: Json | None = None
        self._start: Json = {}
        self._end: Json | None = None
        self._blocks: list[_Block] = []

    def feed(self, event: Event) -> None:
        try:
            kind = event["type"]
            if kind == "content_block_delta":
                self._blocks[event["index"]].take(event["delta"])
            elif kind == "content_block_start":
                self._open(event["index"], event["content_block"])
            elif kind == "message_start":
                self._begin(event["message"])
            elif kind == "message_delta":
                self._amend(event)
            elif kind == "message_stop":
                self._close(event)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise APIResponseError(f"an event of the stream contradicts the wire: {error!r}") from error

    def _begin(self, message: Any) -> None:
        if type(message) is not dict or self._message is not None:
            raise APIResponseError("the stream begins twice, or with no message")
        self._message = to_builtins(message)
        self._start = dict(self._message)
        for block in self._message.get("content") or ():
            self._blocks.append(_Block(block))
        if type(usage := self._message.get("usage")) is dict:
            self._message["usage"] = dict(usage)

    def _begun(self) -> Json:
        if self._message is None:
            raise APIResponseError("the stream has no message_start")
        return self._message

    def _open(self, index: Any, block: Any) -> None:
        self._begun()
        if index != len(self._blocks) or type(block) is not dict:
            raise APIResponseError(f"the stream opens block {index!r} after {len(self._blocks)} blocks")
        self._blocks.append(_Block(to_builtins(block)))

    def _amend(self, event: Event) -> None:
        message = self._begun()
        event = self._end = to_builtins(event)
        for name, value in event.items():
            if name == "usage":
                _merge(message.setdefault("usage", {}), value)
            elif name == "delta":
                for member, end in value.items():
                    if end is not None or member not in message or member.startswith("stop_"):
                        message[member] = end
            elif name != "type" and (value is not None or name not in message):
                message[name] = value

    def _close(self, event: Event) -> None:
        message = self._begun()
        self.complete = True
        if len(event) > 1:
            message |= to_builtins({name: value for name, value in event.items() if name != "type"})

    def body(self) -> Json:
        body: Json = to_builtins(self._message or {})
        body["content"] = [block.body() for block in self._blocks]
        return body

    def block(self, index: int) -> Json:
        """Return one block as far as it has come."""
        return self._blocks[index].body()

    def cuts(self) -> Cuts:
        body = self.body()
        start = {**self._start, "content": []}
        end = closing(body)
        return [
            [block.cuts() for block in self._blocks],
            patch_of(opening(body), start),
            None if self._end is None else patch_of(end, self._end),
        ]


def _merge(usage: Any, counts: Json) -> None:
    for name, value in counts.items():
        if value is not None or name not in usage:
            usage[name] = value


class _Block:
    """A content block, as far as it has come."""

    __slots__ = ("_channel", "_deltas", "_member", "_start")

    def __init__(self, start: Json) -> None:
        self._start = start
        self._channel: str | None = None
        self._member = ""
        self._deltas: list[Any] = []

    def take(self, delta: Json) -> None:
        kind = delta["type"]
        if kind != self._channel:
            if kind not in MAIN:
                self._deltas.append(to_builtins(delta))
                return
            if self._channel is not None or not _fits(kind, self._start.get("type")):
                raise APIResponseError(f"the stream puts a {kind} into a block of type {self._start.get('type')!r}")
            self._channel = kind
            self._member = MAIN[kind]
        piece = delta[self._member]
        if type(piece) is not str:
            raise APIResponseError(f"a {kind} of the stream holds no text")
        self._deltas.append(piece)

    def body(self) -> Json:
        block: Json = to_builtins(self._start)
        if self._channel is not None:
            said = "".join([delta for delta in self._deltas if type(delta) is str])
            if self._channel == "input_json_delta":
                if said:
                    block["input"] = input_of(said)
            else:
                field = MAIN[self._channel]
                block[field] = (block.get(field) or "") + said
        for delta in self._deltas:
            if type(delta) is not str:
                _add(block, to_builtins(delta))
        return block

    def cuts(self) -> Any:
        block = self.body()
        start, delta, text = opened(block)
        steps: list[Any] = [len(piece) if type(piece) is str else None for piece in self._deltas]
        if delta == "input_json_delta":
            said = [piece for piece in self._deltas if type(piece) is str]
            if "".join(said) != text:
                steps = [piece if type(piece) is str else None for piece in self._deltas]
        return steps if start == self._start else {"start": self._start, "steps": steps}


def _fits(delta: str, kind: object) -> bool:
    if kind in {"text", "thinking"}:
        return delta == f"{kind}_delta"
    return delta == "input_json_delta" or kind not in {"tool_use", "server_tool_use", "mcp_tool_use"}


def _add(block: Json, delta: Json) -> None:
    """Add a delta that comes whole. One that is newer than this wire sets the members it has."""
    kind = delta.pop("type")
    if kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    else:
        block.update(delta)
