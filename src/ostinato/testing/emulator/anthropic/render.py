"""A turn on the wire: the body of a message, and the events of its stream.

Members stand in the order that recorded traffic has. Bedrock's dialect renders its Invoke answers here too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.testing.emulator.anthropic import models
from ostinato.testing.emulator.anthropic.prompt import CacheUse
from ostinato.testing.emulator.anthropic.turn import Segment, Turn

Json = dict[str, Any]

_STREAMED_USAGE = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
)
"""What the usage at the end of a stream repeats, as totals."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the content."""

    id: str
    model: str


def usage_of(turn: Turn, prompt_tokens: int, cached: CacheUse, body: Json) -> Json:
    """Return the usage in the vendor's terms: `input_tokens` is what was neither read nor written."""
    model = body["model"]
    usage: Json = {
        "input_tokens": prompt_tokens - cached.read - cached.written,
        "cache_creation_input_tokens": cached.written,
        "cache_read_input_tokens": cached.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": cached.written_5m,
            "ephemeral_1h_input_tokens": cached.written_1h,
        },
        "output_tokens": turn.output_tokens,
    }
    if turn.thinking_tokens or models.counts_thinking(model):
        usage["output_tokens_details"] = {"thinking_tokens": turn.thinking_tokens}
    return {
        **usage,
        "service_tier": "standard",
        "inference_geo": "global" if models.is_recent(model) else "not_available",
    }


def render_body(env: Envelope, turn: Turn, usage: Mapping[str, Any]) -> Json:
    """Return the body of an unstreamed answer."""
    return {
        **_message(env, [_block(segment, env, whole=True) for segment in turn.segments]),
        **_stop(turn),
        "usage": usage,
    }


def _message(env: Envelope, content: list[Json]) -> Json:
    return {"model": env.model, "id": env.id, "type": "message", "role": "assistant", "content": content}


def _stop(turn: Turn) -> Json:
    details = None
    if turn.refusal is not None:
        details = {"type": "refusal", "category": None, "explanation": turn.refusal}
    return {"stop_reason": turn.stop_reason, "stop_sequence": turn.stop_sequence, "stop_details": details}


def _block(segment: Segment, env: Envelope, *, whole: bool) -> Json:
    """Return a block with all of its content, or as a stream opens it."""
    match segment.kind:
        case "thinking":
            signature = segment.signature if whole else ""
            return {"type": "thinking", "thinking": segment.text if whole else "", "signature": signature}
        case "redacted_thinking":
            return {"type": "redacted_thinking", "data": segment.signature}
        case "text":
            return {"type": "text", "text": segment.text if whole else ""}
        case "tool_use":
            called = {"type": "tool_use", "id": segment.id, "name": segment.name}
            called["input"] = segment.input if whole else {}
            return {**called, "caller": {"type": "direct"}} if models.is_recent(env.model) else called


def render_events(env: Envelope, turn: Turn, usage: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the events of a streamed answer, the ping that follows the first block's start among them."""
    opening = {**usage, "output_tokens": min(1, turn.output_tokens)}
    opening.pop("output_tokens_details", None)
    nothing_yet = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**_message(env, []), **nothing_yet, "usage": opening}}
    for index, segment in enumerate(turn.segments):
        block = _block(segment, env, whole=False)
        yield {"type": "content_block_start", "index": index, "content_block": block}
        if not index:
            yield {"type": "ping"}
        for delta in _deltas(segment):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    total = {name: usage[name] for name in _STREAMED_USAGE if name in usage}
    yield {"type": "message_delta", "delta": _stop(turn), "usage": total}
    yield {"type": "message_stop"}


def _deltas(segment: Segment) -> Iterator[Json]:
    match segment.kind:
        case "thinking":
            for piece in segment.pieces if segment.shown else ():
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": segment.signature}
        case "text":
            for piece in segment.pieces:
                yield {"type": "text_delta", "text": piece}
        case "tool_use":
            for piece in ("", *segment.pieces):
                yield {"type": "input_json_delta", "partial_json": piece}
        case "redacted_thinking":
            pass
