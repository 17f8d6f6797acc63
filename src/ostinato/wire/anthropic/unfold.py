"""A body as the events of a stream that folds to it.

The cuts are `[blocks, start, end]`. Each block is a list of steps: a number stands for that many characters of the
block's text, a text for a piece of JSON as the vendor wrote it, null for what comes whole (a citation, the
signature). Where a block began otherwise than `opened` says, it is `{"start": …, "steps": […]}`. `start` and `end`
hold the members in which the message of the first event and the last `message_delta` were others than `opening` and
`closing` say, null where they were the same.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.anthropic.inputs import input_of, text_of
from ostinato.wire.contract import Cuts, Event, Json

METRICS = "amazon-bedrock-invocationMetrics"
"""What Bedrock adds to the last event."""

MAIN = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The deltas whose texts are joined, and where they hold them."""

MISSING = "\x00missing"
"""Stands, in a patch, for a member that was not there."""

_CUMULATIVE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "server_tool_use",
    "output_tokens_details",
    "iterations",
)
"""Counts that the last `message_delta` states anew."""


def unfold(body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Yield the events of a stream that folds to `body`, cut as `cuts` says; see `Wire.unfold`."""
    content = body.get("content")
    if type(content) is not list or not all(type(block) is dict for block in content):
        raise APIResponseError("the answer is no message: it has no list of content blocks")
    blocks, start, end = cuts or ([], None, None)
    yield {"type": "message_start", "message": patched(opening(body), start)}
    for index, block in enumerate(content):
        yield from _block_events(index, block, blocks[index] if index < len(blocks) else None)
    yield patched(closing(body), end)
    last: Event = {"type": "message_stop"}
    if METRICS in body:
        last[METRICS] = to_builtins(body[METRICS])
    yield last


def opening(body: Json) -> Json:
    """Return the message as the first event states it: without content, an end or the final counts."""
    message: Json = to_builtins({name: value for name, value in body.items() if name not in {"content", METRICS}})
    message["content"] = []
    for name in ("stop_reason", "stop_sequence", "stop_details"):
        if name in message:
            message[name] = None
    for name in ("container", "context_management"):
        if message.get(name) is not None:
            del message[name]
    usage = message.get("usage")
    if type(usage) is dict and type(usage.get("output_tokens")) is int:
        usage["output_tokens"] = min(usage["output_tokens"], 1)
    return message


def closing(body: Json) -> Event:
    """Return the event that states how the message ended and what it took in all."""
    ends = ("stop_reason", "stop_sequence", "stop_details")
    delta: Json = {name: body[name] for name in ends if name in body}
    if body.get("container") is not None:
        delta["container"] = body["container"]
    event: Event = {"type": "message_delta", "delta": delta}
    usage = body.get("usage")
    if type(usage) is dict:
        event["usage"] = {name: usage[name] for name in _CUMULATIVE if usage.get(name) is not None}
    if body.get("context_management") is not None:
        event["context_management"] = body["context_management"]
    whole: Event = to_builtins(event)
    return whole


def patched(value: Json, patch: Any) -> Json:
    """Return `value` with the members of `patch` over it."""
    if isinstance(patch, dict):
        for name, member in patch.items():
            if member == MISSING:
                value.pop(name, None)
            else:
                value[name] = to_builtins(member)
    return value


def patch_of(value: Json, other: Json) -> Json | None:
    """Return what makes `value` into `other`, or None where they are equal."""
    patch = {name: member for name, member in other.items() if name not in value or value[name] != member}
    patch |= dict.fromkeys(value.keys() - other.keys(), MISSING)
    return patch or None


def opened(block: Json) -> tuple[Json, str | None, str]:
    """Return a block as it begins, the delta that fills it (None where it begins whole) and the text to fill in."""
    kind = block.get("type")
    start: Json = to_builtins(block)
    if kind == "text" and type(block.get("text")) is str:
        start["text"] = ""
        if type(block.get("citations")) is list:
            start["citations"] = []
        return start, "text_delta", block["text"]
    if kind == "thinking" and type(block.get("thinking")) is str:
        start["thinking"] = ""
        if type(block.get("signature")) is str:
            start["signature"] = ""
        return start, "thinking_delta", block["thinking"]
    if type(kind) is str and kind.endswith("tool_use") and "input" in block:
        start["input"] = {}
        return start, "input_json_delta", text_of(block["input"])
    return start, None, ""


def _block_events(index: int, block: Json, cuts: Any) -> Iterator[Event]:
    start, delta, text = opened(block)
    steps = cuts
    if type(cuts) is dict:
        start, steps = to_builtins(cuts.get("start")), cuts.get("steps")
    yield {"type": "content_block_start", "index": index, "content_block": start}
    whole = _whole_deltas(block, start)
    for step in _checked(steps, delta, text, len(whole)):
        if step is None:
            yield {"type": "content_block_delta", "index": index, "delta": whole.pop(0)}
        elif delta is not None:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": delta, MAIN[delta]: step}}
    yield {"type": "content_block_stop", "index": index}


def _whole_deltas(block: Json, start: Json) -> list[Json]:
    """Return what of a block comes whole: its citations, its signature."""
    if block.get("type") == "text":
        citations = block.get("citations")
        return [{"type": "citations_delta", "citation": item} for item in to_builtins(citations or ())]
    if block.get("type") == "thinking" and block.get("signature") and start.get("signature") != block["signature"]:
        return [{"type": "signature_delta", "signature": block["signature"]}]
    if block.get("type") == "compaction" and start != block:
        return [{**to_builtins(block), "type": "compaction_delta"}]
    return []


def _checked(steps: Any, delta: str | None, text: str, whole: int) -> list[str | None]:
    """Return the pieces of a block in the order of `steps`; in one piece each where they do not fit the block."""
    pieces: list[str | None] = []
    place = 0
    for step in steps if type(steps) is list else ():
        if type(step) is int:
            pieces.append(text[place : place + step])
            place += step
        else:
            pieces.append(step)
    if type(steps) is list and pieces.count(None) == whole:
        said = "".join([piece for piece in pieces if piece is not None])
        if said == text or (delta == "input_json_delta" and input_of(said) == input_of(text)):
            return pieces
    one: list[str | None] = [text] if text or (delta == "input_json_delta") else []
    return one + [None] * whole
