"""What the model says to a chat request: composed once, so that a body and a stream say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ostinato.testing.emulator.model import cut, cut_json, digest, letters, speak, words
from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.schema import instance
from ostinato.testing.emulator.script import Reply

Json = dict[str, Any]

_EFFORT_TOKENS = {"none": 0, "minimal": 0, "low": 64, "medium": 192, "high": 448, "xhigh": 832, "max": 1600}
_NOT_SAID_TO = ("stream", "stream_options", "user", "metadata", "safety_identifier", "store")
"""What the model never sees, so that it cannot change what a seeded call answers."""


@dataclass(slots=True)
class ToolCall:
    """A tool that the model calls."""

    id: str
    kind: str
    """`function` or `custom`."""
    name: str
    pieces: list[str]
    """Its arguments, or its input, in tokens."""


@dataclass(slots=True)
class Choice:
    """One answer; a text, a refusal or calls of tools."""

    pieces: list[str] = field(default_factory=list)
    """The text or the refusal, in tokens."""
    refused: bool = False
    calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str = "stop"
    legacy: bool = False
    """Whether the call of a tool goes out as `function_call`."""

    @property
    def tokens(self) -> int:
        return len(self.pieces) + sum(len(call.pieces) for call in self.calls)


@dataclass(frozen=True, slots=True)
class Turn:
    """All that the model says to a request."""

    choices: list[Choice]
    reasoning_tokens: int
    """Of all choices together."""

    @property
    def completion_tokens(self) -> int:
        return sum(choice.tokens for choice in self.choices) + self.reasoning_tokens


def compose(body: Json, reply: Reply, number: int) -> Turn:
    """Return the model's answer to a checked request.

    With `seed` in the request, the same request is answered the same; without, the text carries `number`, the
    number of the call, so that a second payment cannot pass for a cache hit.
    """
    said = {name: value for name, value in body.items() if name not in _NOT_SAID_TO}
    seeded = body.get("seed") is not None
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    reasoning = _reasoning_tokens(body)
    if limit is not None:
        reasoning = min(reasoning, limit)
    choices = []
    for index in range(body.get("n") or 1):
        seed = digest(said, index, None if seeded else number)
        choice = _Speaker(body, reply, seed, None if seeded else number, index).choice()
        if limit is not None and choice.tokens > limit - reasoning:
            _shorten(choice, limit - reasoning)
        if reply.finish_reason is not None:
            choice.finish_reason = reply.finish_reason
        choices.append(choice)
    return Turn(choices, reasoning * len(choices))


def _reasoning_tokens(body: Json) -> int:
    return _EFFORT_TOKENS.get(models.effort(body["model"], body.get("reasoning_effort")), 192)


def _shorten(choice: Choice, tokens: int) -> None:
    """Cut a choice after so many tokens, wherever that is."""
    choice.finish_reason = "length"
    choice.pieces = choice.pieces[:tokens]
    kept: list[ToolCall] = []
    left = tokens - len(choice.pieces)
    for call in choice.calls:
        if left <= 0 and kept:
            break
        call.pieces = call.pieces[: max(left, 0)]
        left -= len(call.pieces)
        kept.append(call)
    choice.calls = kept


class _Speaker:
    """Says one choice."""

    def __init__(self, body: Json, reply: Reply, seed: bytes, number: int | None, index: int) -> None:
        self._body = body
        self._reply = reply
        self._seed = seed
        self._number = number
        self._index = index

    def choice(self) -> Choice:
        reply = self._reply
        if reply.refusal is not None:
            return Choice(cut(reply.refusal), refused=True)
        calls = self._calls()
        if calls and reply.text is None and reply.pieces is None:
            legacy = bool(self._body.get("functions")) and not self._body.get("tools")
            return Choice(calls=calls, legacy=legacy, finish_reason=self._finish_of_calls(legacy=legacy))
        pieces = cut(self._text()) if reply.pieces is None else list(reply.pieces)
        choice = Choice(_until_stop(pieces, self._body.get("stop")), calls=calls)
        if calls:
            choice.finish_reason = "tool_calls"
        return choice

    def _finish_of_calls(self, *, legacy: bool) -> str:
        # A forced function ends with "stop", though tools are called: so does the vendor, in recorded traffic.
        forced = self._body.get("function_call" if legacy else "tool_choice")
        if isinstance(forced, dict) and (legacy or forced.get("type") == "function"):
            return "stop"
        return "function_call" if legacy else "tool_calls"

    # Text.

    def _text(self) -> str:
        text = self._reply.text
        if text is not None:
            return text if isinstance(text, str) else text[self._index % len(text)]
        asked = self._body.get("response_format") or {}
        if asked.get("type") == "json_schema":
            return _json(instance(asked["json_schema"]["schema"], self._seed))
        if asked.get("type") == "json_object":
            answer = {"answer": " ".join(words(self._seed, 4))}
            return _json(answer if self._number is None else {**answer, "call": self._number})
        said = speak(self._seed)
        return said if self._number is None else f"Answer {self._number}: {said}"

    # Tools.

    def _calls(self) -> list[ToolCall]:
        tools = {tool[tool["type"]]["name"]: tool for tool in self._body.get("tools") or ()}
        for function in self._body.get("functions") or ():
            tools.setdefault(function["name"], {"type": "function", "function": function})
        wanted = self._reply.tool_calls
        if wanted is None:
            wanted = self._chosen(tools)
        return [self._call(position, asked, tools) for position, asked in enumerate(wanted)]

    def _chosen(self, tools: Mapping[str, Json]) -> tuple[str, ...]:
        """Return the tool that a model would call here: the forced one, else the first, but none after a result."""
        choice = self._body.get("tool_choice") or self._body.get("function_call") or "auto"
        if not tools or choice == "none" or self._reply.text is not None or self._reply.pieces is not None:
            return ()
        names = list(tools)
        if isinstance(choice, dict):
            kind = choice.get("type", "function")
            if kind != "allowed_tools":
                return (str(choice.get(kind, choice)["name"]),)
            allowed = choice["allowed_tools"]
            names = [tool[tool["type"]]["name"] for tool in allowed["tools"]]
            choice = allowed["mode"]
        answered = self._body["messages"][-1]["role"] in ("tool", "function")
        return () if answered and choice == "auto" else tuple(names[:1])

    def _call(self, position: int, asked: str | Mapping[str, Any], tools: Mapping[str, Json]) -> ToolCall:
        given: Mapping[str, Any] = {"name": asked} if isinstance(asked, str) else asked
        name = given["name"]
        tool = tools.get(name, {"type": "custom" if "input" in given else "function"})
        seed = digest(self._seed.hex(), position)
        call_id = given.get("id") or "call_" + letters(seed, 24)
        if tool["type"] == "custom":
            text = given.get("input", " ".join(words(seed, 3)))
            return ToolCall(call_id, "custom", name, cut(text))
        arguments = given.get("arguments")
        if arguments is None:
            parameters = tool.get("function", {}).get("parameters") or {"type": "object"}
            arguments = instance(parameters, seed)
        text = arguments if isinstance(arguments, str) else _json(arguments)
        return ToolCall(call_id, "function", name, cut_json(text))


def _until_stop(pieces: list[str], stop: object) -> list[str]:
    """Return the pieces before the first stop sequence, the last one cut where it begins."""
    sequences = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    sequences = [re.escape(sequence) for sequence in sequences if sequence]
    found = re.search("|".join(sequences), "".join(pieces)) if sequences else None
    if found is None:
        return pieces
    kept, left = [], found.start()
    for piece in pieces:
        if left > 0:
            kept.append(piece[:left])
        left -= len(piece)
    return kept


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
