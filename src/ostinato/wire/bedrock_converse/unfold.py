"""A body, taken apart again into the events of a stream, and events as the chunks a caller reads.

`unfold` is exact for every body: what it is about to send is folded first. Should that be another body (one that
no stream of Converse's folds to), the last event carries the body whole, in a member `ostinato` that other
readers ignore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.errors import APIResponseError
from ostinato.records import Chunk
from ostinato.wire.bedrock_converse.arguments import text_of
from ostinato.wire.bedrock_converse.fold import WHOLE, ConverseFold
from ostinato.wire.bedrock_converse.response import finish_of, is_server_tool, place_rest, read_content, read_thought
from ostinato.wire.contract import Cuts, Event, Json

_AT_STOP = ("stopReason", "additionalModelResponseFields")
"""What Converse says with `messageStop`; everything else beside the message comes with `metadata`."""


def unfold(body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Yield the events of a stream that folds to `body`; see `Wire.unfold`. Cuts that do not fit do no harm."""
    events = _cut(body, cuts) if cuts else None
    if events is None or _folded(events) != body:
        events = _uncut(body)
        if _folded(events) != body:
            events[-1]["metadata"][WHOLE] = body
    return iter(events)


def _folded(events: list[Event]) -> Json | None:
    fold = ConverseFold()
    try:
        for event in events:
            fold.feed(event)
        return fold.body()
    except APIResponseError:
        return None


def _parts(body: Json) -> tuple[Json, list[Any], Json, Json]:
    """Return the head of the message, its blocks, and what comes with its stop and behind it."""
    output = body.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    head = {name: value for name, value in message.items() if name != "content"}
    stop = {name: body[name] for name in _AT_STOP if name in body}
    end = {name: value for name, value in body.items() if name not in _AT_STOP and name != "output"}
    return head, content if isinstance(content, list) else [], stop, end


def _uncut(body: Json) -> list[Event]:
    """Return the events of a body that came in one piece: a block is one delta."""
    head, blocks, stop, end = _parts(body)
    events: list[Event] = [{"messageStart": head}]
    for index, block in enumerate(blocks):
        events += _block_events(index, block)
    return [*events, {"messageStop": stop}, {"metadata": end}]


def _block_events(index: int, block: Any) -> list[Event]:
    start, deltas = _deltas(block if isinstance(block, dict) else {})
    opening = [] if start is None else [{"contentBlockStart": {"contentBlockIndex": index, "start": start}}]
    pieces = [{"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}} for delta in deltas]
    return [*opening, *pieces, {"contentBlockStop": {"contentBlockIndex": index}}]


def _deltas(block: Json) -> tuple[Json | None, list[Json]]:
    """Return how a block starts, or None for one that just begins, and its deltas."""
    name, value = next(iter(block.items()), ("", None))
    if name == "text":
        return None, [{"text": value}]
    if not isinstance(value, dict) or len(block) > 1:
        return block, []
    if name == "toolUse" and "input" in value:
        return {name: _without(value, "input")}, [{name: {"input": text_of(value["input"])}}]
    if name == "toolResult" and isinstance(value.get("content"), list):
        return {name: _without(value, "content")}, [{name: value["content"]}]
    if name == "image" and "format" in value:
        return {name: {"format": value["format"]}}, [{name: _without(value, "format")}]
    if name == "reasoningContent":
        inner = value.get("reasoningText")
        parts = inner if isinstance(inner, dict) else value
        return None, [{name: {part: parts[part]}} for part in ("text", "signature", "redactedContent") if part in parts]
    if name == "citationsContent" and _is_cited(value):
        return None, [*({"citation": citation} for citation in value["citations"]), *value.get("content", ())]
    return block, []


def _is_cited(value: Json) -> bool:
    """Say whether a text with citations is one that a stream can carry: one text at most, and a citation."""
    texts, citations = value.get("content"), value.get("citations")
    if not isinstance(citations, list) or not citations or len(value) != 1 + ("content" in value):
        return False
    return "content" not in value or (
        isinstance(texts, list) and len(texts) == 1 and isinstance(texts[0], dict) and texts[0].keys() == {"text"}
    )


def _without(value: Json, name: str) -> Json:
    return {member: item for member, item in value.items() if member != name}


def _cut(body: Json, cuts: Cuts) -> list[Event] | None:
    """Return the events of a body cut as its stream was, or None where the cuts are not of this body."""
    head, blocks, stop, end = _parts(body)
    frames = {"messageStart": head, "messageStop": stop, "metadata": end}
    events: list[Event] = []
    sources: dict[int, _Source] = {}
    try:
        for kind, *rest in cuts:
            if kind in frames:
                events.append({kind: frames[kind]})
                continue
            index, pieces = rest[0], rest[1:]
            source = sources.get(index)
            if source is None:
                source = sources[index] = _Source(blocks[index])
            at = {"contentBlockIndex": index}
            if kind == "start":
                events.append({"contentBlockStart": {**at, "start": source.start or {}}})
            elif kind == "stop":
                events.append({"contentBlockStop": at})
            else:
                events += [{"contentBlockDelta": {**at, "delta": source.delta(kind, piece)}} for piece in pieces]
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        return None
    return events


class _Source:
    """One block, and how much of it has been sent."""

    __slots__ = ("_at", "_said", "start")

    def __init__(self, block: Json) -> None:
        self.start, deltas = _deltas(block)
        self._at = dict.fromkeys(("text", "thought", "signature", "redacted", "input", "result", "citation"), 0)
        self._said: Json = {"citation": [delta["citation"] for delta in deltas if "citation" in delta]}
        for delta in deltas:
            for name, value in delta.items():
                if name == "reasoningContent":
                    self._said |= {_SAID[part]: text for part, text in value.items()}
                elif name == "toolUse":
                    self._said["input"] = value["input"]
                elif name in {"text", "toolResult"}:
                    self._said["text" if name == "text" else "result"] = value

    def delta(self, kind: str, piece: Any) -> Json:
        """Return the next delta of a kind. `piece` is its length, or the piece itself."""
        if kind == "other":
            return piece  # type: ignore[no-any-return]
        if type(piece) is int:
            at = self._at[kind]
            self._at[kind] = at + piece
            piece = self._said[kind][at] if kind == "citation" else self._said[kind][at : at + piece]
        match kind:
            case "text" | "citation":
                return {kind: piece}
            case "input":
                return {"toolUse": {"input": piece}}
            case "result":
                return {"toolResult": piece}
            case _:
                return {"reasoningContent": {_REASONING[kind]: piece}}


_SAID = {"text": "thought", "signature": "signature", "redactedContent": "redacted"}
_REASONING = {kind: part for part, kind in _SAID.items()}


class ConverseTranslator:
    """Turns the events of one stream into chunks.

    Reasoning comes as `reasoning_content` while it is written, and as one of `thinking_blocks` once its block
    ends, signature and all. What only `provider_specific_fields` can say comes with the finish reason.
    """

    __slots__ = ("_calls", "_fold")

    def __init__(self) -> None:
        self._fold = ConverseFold()
        self._calls: dict[int, bool] = {}
        """The block of each tool call, in their order → whether arguments came."""

    def feed(self, event: Event) -> list[Chunk]:
        self._fold.feed(event)
        for name, payload in event.items():
            if name == "contentBlockDelta":
                return self._delta(payload)
            if name == "messageStart":
                return [_chunk({"role": payload.get("role", "assistant"), "content": ""})]
            if name == "contentBlockStart":
                return self._start(payload)
            if name == "contentBlockStop":
                return self._stop(payload["contentBlockIndex"])
            if name == "messageStop":
                return [self._finish(payload)]
            if name == "metadata":
                return self._end(payload)
        return []

    def end(self) -> list[Chunk]:
        return []

    def _delta(self, payload: Json) -> list[Chunk]:
        delta = payload["delta"]
        text = delta.get("text")
        if text:
            return [_chunk({"content": text})]
        if "toolUse" in delta:
            use, index = delta["toolUse"], payload["contentBlockIndex"]
            piece = use.get("input") if isinstance(use, dict) else None
            if piece and isinstance(piece, str) and index in self._calls:
                self._calls[index] = True
                return [self._call(index, {"function": {"arguments": piece}})]
        elif isinstance(delta.get("reasoningContent"), dict):
            thought = delta["reasoningContent"].get("text")
            if thought and isinstance(thought, str):
                return [_chunk({"reasoning_content": thought})]
        elif "citation" in delta:
            return [_chunk({"citations": [delta["citation"]]})]
        return []

    def _start(self, payload: Json) -> list[Chunk]:
        use = payload["start"].get("toolUse")
        if not isinstance(use, dict):
            said = read_content([payload["start"]])
            delta = {name: said[name] for name in ("content", "reasoning_content", "citations") if said.get(name)}
            return [_chunk(delta)] if delta else []
        if is_server_tool(use):
            return []
        index = payload["contentBlockIndex"]
        self._calls[index] = "input" in use
        function = {"name": use.get("name"), "arguments": text_of(use["input"]) if "input" in use else ""}
        opening: Json = {"id": use.get("toolUseId"), "type": "function", "function": function}
        rest = {name: value for name, value in use.items() if name not in {"toolUseId", "name", "input"}}
        if rest:
            opening["provider_specific_fields"] = rest
        return [self._call(index, opening)]

    def _call(self, index: int, piece: Json) -> Chunk:
        return _chunk({"tool_calls": [{"index": list(self._calls).index(index), **piece}]})

    def _stop(self, index: int) -> list[Chunk]:
        if self._calls.get(index) is False:
            # A tool without arguments is called with an empty object, which the vendor may leave unsaid.
            return [self._call(index, {"function": {"arguments": "{}"}})]
        reasoning = self._fold.block(index).get("reasoningContent")
        thought, _ = read_thought(reasoning) if isinstance(reasoning, dict) else (None, True)
        return [] if thought is None else [_chunk({"thinking_blocks": [thought]})]

    def _finish(self, payload: Json) -> Chunk:
        stop = payload.get("stopReason")
        message = self._fold.body()["output"]["message"]
        said = read_content(message["content"])
        delta = {name: said[name] for name in ("provider_specific_fields",) if name in said}
        chunk = _chunk(delta)
        choice = dict.__getitem__(chunk, "choices")[0]
        choice["finish_reason"] = finish_of(stop)
        choice["native_finish_reason"] = stop
        place_rest(chunk, {name: value for name, value in payload.items() if name != "p"})
        return chunk

    def _end(self, payload: Json) -> list[Chunk]:
        chunk = Chunk({"object": "chat.completion.chunk", "choices": []})
        place_rest(chunk, {name: value for name, value in payload.items() if name not in {"p", WHOLE}})
        return [chunk] if len(chunk) > 2 else []


def _chunk(delta: Json) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    return Chunk({"object": "chat.completion.chunk", "choices": [choice]})
