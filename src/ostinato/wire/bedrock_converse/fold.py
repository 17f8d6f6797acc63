"""A stream of ConverseStream, gathered into the body that Converse would have returned.

The cuts are a list with an entry a run of like events, in their order: `[name]` for `messageStart`, `messageStop`
and `metadata`, `["start", block]`, `["stop", block]`, and for deltas `[kind, block, piece, piece, …]`, where a
piece is a length, or what came itself where the body does not say it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable
from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.bedrock_converse.arguments import text_of, value_of
from ostinato.wire.contract import Cuts, Event, Json

PADDING = "p"
"""The member of every event that only hides its length."""

WHOLE = "ostinato"
"""The member of a last event of ours that holds a body which no stream of Converse's folds to; see `unfold`."""

_GROUP = {
    "text": "text",
    "citation": "text",
    "thought": "reasoning",
    "signature": "reasoning",
    "redacted": "reasoning",
    "input": "toolUse",
    "result": "toolResult",
    "other": "other",
}
"""Which kinds of deltas may make up one block."""

_REASONING = {"text": "thought", "signature": "signature", "redactedContent": "redacted"}

_Run = tuple[str, int, list[Any]]


class ConverseFold:
    """Gathers one stream. Every event is read once, and of it only texts and copies are kept."""

    __slots__ = ("_end", "_group", "_head", "_log", "_run", "_stop", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._head: Json = {}
        self._stop: Json = {}
        self._end: Json = {}
        self._log: list[_Run] = []
        self._run: _Run = ("", -1, [])
        self._group: dict[int, str] = {}

    def feed(self, event: Event) -> None:
        if not isinstance(event, dict):
            raise APIResponseError(f"an event of the stream is a JSON {type(event).__name__}, not an object")
        for name, payload in event.items():
            if type(payload) is not dict:
                raise APIResponseError(f"the event {name!r} of the stream is no object")
            if name == "contentBlockDelta":
                self._take_delta(payload)
            elif name in {"contentBlockStart", "contentBlockStop"}:
                self._take_border(name, payload)
            elif name in {"messageStart", "messageStop", "metadata"}:
                self._take_frame(name, payload)

    def _add(self, kind: str, index: int, piece: Any) -> None:
        run = self._run
        if run[0] == kind and run[1] == index:
            run[2].append(piece)
            return
        group = self._group.setdefault(index, _GROUP[kind])
        if group != _GROUP[kind] and "other" not in {group, kind}:
            raise APIResponseError(f"block {index} of the stream is {group} and then {_GROUP[kind]}")
        self._run = run = (kind, index, [piece])
        self._log.append(run)

    def _take_frame(self, name: str, payload: Json) -> None:
        copied = {member: value for member, value in payload.items() if member != PADDING}
        kept = self._head if name == "messageStart" else self._stop if name == "messageStop" else self._end
        kept |= to_builtins(copied)
        self._mark(name, -1, None)
        if name == "messageStop":
            self.complete = True

    def _take_border(self, name: str, payload: Json) -> None:
        index, start = payload.get("contentBlockIndex"), payload.get("start")
        if type(index) is not int:
            raise APIResponseError(f"a block of the stream has the index {index!r}")
        if name == "contentBlockStop":
            self._mark("stop", index, None)
        elif isinstance(start, dict):
            self._mark("start", index, to_builtins(start))
            kind = next(iter(start), "other")
            self._group.setdefault(index, kind if kind in {"toolUse", "toolResult"} else "other")
        else:
            raise APIResponseError("a block of the stream starts with nothing")

    def _mark(self, kind: str, index: int, piece: Any) -> None:
        self._run = (kind, index, [piece])
        self._log.append(self._run)

    def _take_delta(self, payload: Json) -> None:
        index, delta = payload.get("contentBlockIndex"), payload.get("delta")
        if type(delta) is not dict or type(index) is not int:
            raise APIResponseError("a delta of the stream names no block, or holds nothing")
        for name, value in delta.items():
            if name == "text" and type(value) is str:
                self._add("text", index, value)
                continue
            if name == "toolUse" and isinstance(value, dict) and type(value.get("input")) is str:
                self._add("input", index, value["input"])
            elif name == "reasoningContent" and isinstance(value, dict):
                self._take_reasoning(index, value)
            elif name == "citation":
                self._add("citation", index, to_builtins(value))
            elif name == "toolResult" and isinstance(value, list):
                self._add("result", index, to_builtins(value))
            else:
                self._add("other", index, to_builtins({name: value}))

    def _take_reasoning(self, index: int, value: Json) -> None:
        for name, piece in value.items():
            kind = _REASONING.get(name)
            if kind is None:
                self._add("other", index, to_builtins({"reasoningContent": {name: piece}}))
            elif type(piece) is str:
                self._add(kind, index, piece)
            else:
                raise APIResponseError(f"block {index} of the stream holds reasoning that is no text: {name!r}")

    def block(self, index: int) -> Json:
        """Return the block with this index, as far as it has come."""
        return _block([run for run in self._log if run[1] == index])

    def body(self) -> Json:
        whole = self._end.get(WHOLE)
        if isinstance(whole, dict):
            return to_builtins(whole)  # type: ignore[no-any-return]
        content = [_block(runs) for _, runs in self._blocks()]
        body: Json = {"output": {"message": {**self._head, "content": content}}, **self._stop, **self._end}
        return to_builtins(body)  # type: ignore[no-any-return]

    def _blocks(self) -> list[tuple[int, list[_Run]]]:
        blocks: dict[int, list[_Run]] = {}
        for run in self._log:
            if run[1] >= 0:
                blocks.setdefault(run[1], []).append(run)
        return sorted(blocks.items())

    def cuts(self) -> Cuts:
        place = {index: place for place, (index, _) in enumerate(self._blocks())}
        spelled = {index for index, runs in self._blocks() if not _is_told(runs)}
        cuts: Cuts = []
        for kind, index, pieces in self._log:
            if index < 0:
                cuts.append([kind])
            elif kind in {"start", "stop"}:
                cuts.append([kind, place[index]])
            elif kind == "other" or (kind in {"input", "redacted"} and index in spelled):
                cuts.append([kind, place[index], *pieces])
            elif kind == "citation":
                cuts.append([kind, place[index], *([1] * len(pieces))])
            else:
                cuts.append([kind, place[index], *map(len, pieces)])
        return cuts


def _is_told(runs: list[_Run]) -> bool:
    """Say whether the body says what came, so that lengths are enough."""
    redacted = list(_pieces(runs, "redacted"))
    if redacted:
        return len(redacted) == 1
    said = "".join(_pieces(runs, "input"))
    return text_of(value_of(said)) == said


def _pieces(runs: list[_Run], kind: str) -> Iterable[Any]:
    return (piece for run in runs if run[0] == kind for piece in run[2])


def _block(runs: list[_Run]) -> Json:
    """Return the block that these runs make."""
    block: Json = {}
    kinds = {run[0] for run in runs}
    for piece in _pieces(runs, "start"):
        block |= to_builtins(piece)
    if isinstance(block.get("toolUse"), dict):
        if "input" in kinds or "input" not in block["toolUse"]:
            block["toolUse"]["input"] = value_of("".join(_pieces(runs, "input")))
    elif isinstance(block.get("toolResult"), dict):
        items = [item for piece in _pieces(runs, "result") for item in piece]
        block["toolResult"]["content"] = [*block["toolResult"].get("content", ()), *items]
    elif "citation" in kinds:
        block["citationsContent"] = _cited(runs)
    elif "text" in kinds:
        block["text"] = "".join(_pieces(runs, "text"))
    elif not kinds.isdisjoint({"thought", "signature", "redacted"}):
        block["reasoningContent"] = _reasoning(runs)
    for piece in _pieces(runs, "other"):
        _merge(block, to_builtins(piece))
    return block


def _cited(runs: list[_Run]) -> Json:
    cited: Json = {"citations": list(_pieces(runs, "citation"))}
    texts = list(_pieces(runs, "text"))
    return {"content": [{"text": "".join(texts)}], **cited} if texts else cited


def _reasoning(runs: list[_Run]) -> Json:
    redacted = list(_pieces(runs, "redacted"))
    reasoning: Json = {"redactedContent": _joined(redacted)} if redacted else {}
    signature = list(_pieces(runs, "signature"))
    thought = list(_pieces(runs, "thought"))
    if thought or signature:
        reasoning["reasoningText"] = {"text": "".join(thought)}
        if signature:
            reasoning["reasoningText"]["signature"] = "".join(signature)
    return reasoning


def _joined(pieces: list[str]) -> str:
    """Return the base64 of all the bytes that `pieces` are the base64 of."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except (NotBase64, ValueError) as exc:
        raise APIResponseError("the stream holds reasoning that is no base64") from exc


def _merge(into: Json, piece: Json) -> None:
    """Add a delta of a kind that has no rule of its own: objects merge, lists grow, of the rest the last counts."""
    for name, value in piece.items():
        old = into.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            old += value
        else:
            into[name] = value
