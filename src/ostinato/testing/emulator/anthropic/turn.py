"""What the model says to a Messages request: composed once, so that a body and a stream say the same.

Bedrock's dialect composes its answers here too.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ostinato.testing.emulator.anthropic import models
from ostinato.testing.emulator.anthropic.prompt import listed
from ostinato.testing.emulator.model import cut, cut_json, digest, letters, speak
from ostinato.testing.emulator.schema import instance
from ostinato.testing.emulator.script import Reply

Json = dict[str, Any]

SIGNED_HERE = "RW11bGF0b3I6"
"""What the signatures of this emulator begin with, as others do not."""


@dataclass(slots=True)
class Segment:
    """One block of an answer."""

    kind: Literal["thinking", "redacted_thinking", "text", "tool_use"]
    pieces: list[str]
    """Thinking, text or a tool's input, in tokens."""
    id: str = ""
    """Of a tool's call."""
    name: str = ""
    """The tool's."""
    shown: bool = True
    """Whether thinking comes with its text."""

    @property
    def text(self) -> str:
        return "".join(self.pieces) if self.shown else ""

    @property
    def signature(self) -> str:
        """Stands behind thinking; of redacted thinking, all that is sent."""
        return sign(self.text)

    @property
    def input(self) -> Any:
        """What a tool is called with; nothing where the JSON was cut off."""
        try:
            return msgspec.json.decode(self.text) if self.pieces else {}
        except msgspec.DecodeError:
            return {}


@dataclass(slots=True)
class Turn:
    """All that the model says to a request."""

    segments: list[Segment] = field(default_factory=list)
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    refusal: str | None = None
    thinking_tokens: int = 0
    output_tokens: int = 0
    """Includes thinking, shown or not."""


def compose(body: Json, reply: Reply, number: int, call_prefix: str = "toolu_01") -> Turn:
    """Return the model's answer to a checked request; the text carries `number`, the number of the call.

    `call_prefix` is what ids of tool calls begin with.
    """
    seed = digest({name: value for name, value in body.items() if name not in ("stream", "metadata")}, number)
    turn = _Speaker(body, reply, seed, number, call_prefix).turn()
    if body.get("max_tokens") == 0:
        # Only warms the prompt cache: the model does not speak.
        turn = Turn(stop_reason="max_tokens")
    _count(turn, body.get("max_tokens"))
    if reply.finish_reason is not None:
        turn.stop_reason = reply.finish_reason
    return turn


def sign(thinking: str) -> str:
    """Return the signature that stands behind a block with this thinking."""
    return b64encode(b"Emulator:" + digest("thinking", thinking) * 3).decode()


def _count(turn: Turn, limit: int | None) -> None:
    """Count the turn's tokens, and cut it after `limit` of them, wherever that is."""
    kept: list[Segment] = []
    for segment in turn.segments:
        left = len(segment.pieces) if limit is None else limit - turn.output_tokens
        cut_off = len(segment.pieces) > left
        segment.pieces = segment.pieces[:left]
        turn.output_tokens += len(segment.pieces)
        if segment.kind in ("thinking", "redacted_thinking"):
            turn.thinking_tokens += len(segment.pieces)
        if segment.pieces or not cut_off:
            kept.append(segment)
        if cut_off:
            turn.stop_reason, turn.stop_sequence = "max_tokens", None
            break
    turn.segments = kept


class _Speaker:
    """Says one turn."""

    def __init__(self, body: Json, reply: Reply, seed: bytes, number: int, call_prefix: str) -> None:
        self._body = body
        self._reply = reply
        self._seed = seed
        self._number = number
        self._call_prefix = call_prefix

    def turn(self) -> Turn:
        reply = self._reply
        segments = self._thinking()
        if reply.refusal is not None:
            segments.append(Segment("text", cut(reply.refusal)))
            return Turn(segments, "refusal", refusal=reply.refusal)
        calls = self._calls()
        stop: str | None = None
        if not calls or reply.text is not None or reply.pieces is not None:
            pieces, stop = _until_stop(self._pieces(), self._body.get("stop_sequences") or ())
            segments += [Segment("text", pieces)] if pieces else []
        if stop is not None:
            return Turn(segments, "stop_sequence", stop)
        return Turn(segments + calls, "tool_use" if calls else "end_turn")

    def _thinking(self) -> list[Segment]:
        asked = self._body.get("thinking") or {}
        forced = (self._body.get("tool_choice") or {}).get("type") in ("any", "tool")
        if forced or asked.get("type", "disabled") == "disabled":
            return []
        text = speak(self._seed[::-1])
        if self._reply.redacted_thinking:
            return [Segment("redacted_thinking", cut(text))]
        return [Segment("thinking", cut(text), shown=not models.hides_thinking(self._body["model"], asked))]

    # Text.

    def _pieces(self) -> list[str]:
        if self._reply.pieces is not None:
            return list(self._reply.pieces)
        text = self._reply.text
        if text is not None:
            return cut(text if isinstance(text, str) else text[0])
        asked = (self._body.get("output_config") or {}).get("format") or self._body.get("output_format") or {}
        if asked.get("type") == "json_schema":
            return cut(_json(instance(asked["schema"], self._seed)))
        return cut(f"Answer {self._number}: {speak(self._seed)}")

    # Tools.

    def _calls(self) -> list[Segment]:
        tools = {tool["name"]: tool for tool in self._body.get("tools") or () if "input_schema" in tool}
        wanted = self._reply.tool_calls
        if wanted is None:
            wanted = self._chosen(tools)
        return [self._call(position, asked, tools) for position, asked in enumerate(wanted)]

    def _chosen(self, tools: Mapping[str, Json]) -> tuple[str, ...]:
        """Return the tool that a model would call here: the forced one, else the first, but none after a result."""
        choice = self._body.get("tool_choice") or {"type": "auto"}
        if not tools or choice["type"] == "none" or self._reply.text is not None or self._reply.pieces is not None:
            return ()
        if choice["type"] == "tool":
            return (choice["name"],)
        last = listed(self._body["messages"][-1]["content"])
        answered = any(block.get("type") == "tool_result" for block in last)
        return () if answered and choice["type"] == "auto" else tuple(tools)[:1]

    def _call(self, position: int, asked: str | Mapping[str, Any], tools: Mapping[str, Json]) -> Segment:
        given: Mapping[str, Any] = {"name": asked} if isinstance(asked, str) else asked
        name = given["name"]
        seed = digest(self._seed.hex(), position)
        arguments = given.get("arguments", given.get("input"))
        if arguments is None:
            arguments = instance(tools.get(name, {}).get("input_schema") or {"type": "object"}, seed)
        text = arguments if isinstance(arguments, str) else _json(arguments)
        # A tool that takes nothing is called without any JSON, in recorded traffic.
        pieces = [] if text == "{}" else cut_json(text)
        return Segment("tool_use", pieces, given.get("id") or self._call_prefix + letters(seed, 22), name)


def _until_stop(pieces: list[str], sequences: Any) -> tuple[list[str], str | None]:
    """Return the pieces before the first stop sequence, the last one cut where it begins, and the sequence."""
    text = "".join(pieces)
    found = min(((text.find(each), each) for each in sequences if each in text), default=None)
    if found is None:
        return pieces, None
    kept, left = [], found[0]
    for piece in pieces:
        if left > 0:
            kept.append(piece[:left])
        left -= len(piece)
    return kept, found[1]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
