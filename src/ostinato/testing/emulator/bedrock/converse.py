"""Converse, both ways: its request as a Messages request, and the model's turn as its answer.

One model speaks behind both wires, so what it says and what the prompt cache makes of a prompt are decided there.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ostinato.testing.emulator.anthropic.prompt import CacheUse
from ostinato.testing.emulator.anthropic.turn import Segment, Turn
from ostinato.testing.emulator.bedrock.models import model_name

Json = dict[str, Any]


def read_converse(model_id: str, body: Json) -> Json:
    """Return a checked Converse request as a Messages request; a `cachePoint` becomes a mark on what precedes it."""
    inference = body.get("inferenceConfig") or {}
    more = body.get("additionalModelRequestFields") or {}
    config = body.get("toolConfig") or {}
    read: Json = {
        "model": model_name(model_id),
        "max_tokens": inference.get("maxTokens"),
        "stop_sequences": inference.get("stopSequences"),
        "system": _marked(body.get("system") or (), _block),
        "messages": [
            {"role": message["role"], "content": _marked(message["content"], _block)} for message in body["messages"]
        ],
        "tools": _marked(config.get("tools") or (), _tool),
        "tool_choice": _choice(config.get("toolChoice")),
        "thinking": more.get("thinking"),
        "output_config": {**(more.get("output_config") or {}), "format": _format(body.get("outputConfig"))},
    }
    return {name: value for name, value in read.items() if value is not None}


def _marked(blocks: Any, read: Any) -> list[Json]:
    marked: list[Json] = []
    for block in blocks:
        point = block.get("cachePoint")
        if point is None:
            marked.append(read(block))
        elif marked:
            marked[-1] = {**marked[-1], "cache_control": {"type": "ephemeral", "ttl": point.get("ttl") or "5m"}}
    return marked


def _block(block: Json) -> Json:
    match block:
        case {"text": text}:
            return {"type": "text", "text": text}
        case {"toolUse": use}:
            return {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": use["input"]}
        case {"toolResult": result}:
            content = [_block(each) for each in result["content"]]
            return {"type": "tool_result", "tool_use_id": result["toolUseId"], "content": content}
        case {"image": image}:
            return {"type": "image", "source": image}
        case {"document": document}:
            return _document(document)
        case {"reasoningContent": {"reasoningText": reasoning}}:
            return {"type": "thinking", "thinking": reasoning["text"], "signature": reasoning.get("signature") or ""}
        case {"reasoningContent": {"redactedContent": data}}:
            return {"type": "redacted_thinking", "data": data}
    return {"type": "other", **block}


def _document(document: Json) -> Json:
    source = document["source"]
    title = {"type": "document", "title": document["name"], "citations": document.get("citations")}
    if "content" in source:
        return {**title, "source": {"type": "content", "content": [_block(each) for each in source["content"]]}}
    text = source.get("text")
    if text is None and document.get("format") != "pdf":
        text = _text(source.get("bytes") or "")
    return {**title, "source": {"type": "other", **source} if text is None else {"type": "text", "data": text}}


def _text(data: str) -> str:
    try:
        return b64decode(data).decode("utf-8", "replace")
    except NotBase64:
        return data


def _tool(tool: Json) -> Json:
    spec = tool.get("toolSpec")
    if spec is None:
        return {"type": "other", "name": "", **tool}
    described = {"description": spec["description"]} if "description" in spec else {}
    return {"name": spec["name"], **described, "input_schema": spec["inputSchema"]["json"]}


def _choice(choice: Json | None) -> Json | None:
    if not choice:
        return None
    kind, value = next(iter(choice.items()))
    return {"type": kind, **value}


def _format(config: Json | None) -> Json | None:
    asked = (config or {}).get("textFormat")
    if asked is None:
        return None
    return {"type": "json_schema", "schema": msgspec.json.decode(asked["structure"]["jsonSchema"]["schema"])}


# Answers.


def usage_of(turn: Turn, prompt_tokens: int, cached: CacheUse | None) -> Json:
    """Return the usage in the vendor's terms; `cached` is None for a model that caches no prompts."""
    fresh = prompt_tokens - (cached.read + cached.written if cached else 0)
    usage: Json = {"inputTokens": fresh, "outputTokens": turn.output_tokens}
    usage["totalTokens"] = prompt_tokens + turn.output_tokens
    if cached is None:
        return usage
    written = (("1h", cached.written_1h), ("5m", cached.written_5m))
    details = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in written if tokens]
    return {
        **usage,
        "cacheReadInputTokens": cached.read,
        "cacheReadInputTokenCount": cached.read,
        "cacheWriteInputTokens": cached.written,
        "cacheWriteInputTokenCount": cached.written,
        **({"cacheDetails": details} if details else {}),
        "serverToolUsage": {},
    }


def render_body(turn: Turn, usage: Mapping[str, Any]) -> Json:
    """Return the body of an unstreamed answer."""
    return {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"content": [_rendered(each) for each in turn.segments], "role": "assistant"}},
        "stopReason": _stop_reason(turn),
        "usage": usage,
    }


def _stop_reason(turn: Turn) -> str:
    return "content_filtered" if turn.stop_reason == "refusal" else turn.stop_reason


def _rendered(segment: Segment) -> Json:
    match segment.kind:
        case "thinking":
            return {"reasoningContent": {"reasoningText": {"signature": segment.signature, "text": segment.text}}}
        case "redacted_thinking":
            return {"reasoningContent": {"redactedContent": segment.signature}}
        case "text":
            return {"text": segment.text}
        case "tool_use":
            return {"toolUse": {"input": segment.input, "name": segment.name, "toolUseId": segment.id}}


def render_events(turn: Turn, usage: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    """Yield the events of a streamed answer: type and payload. Only a tool's block is announced."""
    yield "messageStart", {"role": "assistant"}
    for index, segment in enumerate(turn.segments):
        at = {"contentBlockIndex": index}
        if segment.kind == "tool_use":
            start = {"toolUse": {"name": segment.name, "toolUseId": segment.id}}
            yield "contentBlockStart", {**at, "start": start}
        for delta in _deltas(segment):
            yield "contentBlockDelta", {**at, "delta": delta}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": _stop_reason(turn)}
    yield "metadata", {"metrics": {"latencyMs": 1}, "usage": usage}


def _deltas(segment: Segment) -> Iterator[Json]:
    match segment.kind:
        case "thinking":
            for piece in segment.pieces if segment.shown else ():
                yield {"reasoningContent": {"text": piece}}
            yield {"reasoningContent": {"signature": segment.signature}}
        case "redacted_thinking":
            yield {"reasoningContent": {"redactedContent": segment.signature}}
        case "text":
            for piece in segment.pieces:
                yield {"text": piece}
        case "tool_use":
            for piece in ("", *segment.pieces):
                yield {"toolUse": {"input": piece}}
