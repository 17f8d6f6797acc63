"""What a record with Anthropic's body says, at its own door or behind InvokeModel's."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from tests.traffic.chat import sse
from tests.traffic.told import Call, Counts, Json, Told, decoded

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
METRICS = "amazon-bedrock-invocationMetrics"


def frames(blob: str) -> list[tuple[str, Json]]:
    """Return the kind and the payload of each frame of an AWS event stream, read by botocore."""
    buffer = pytest.importorskip("botocore.eventstream").EventStreamBuffer()
    buffer.add_data(base64.b64decode(blob))
    return [
        (frame.headers.get(":event-type") or frame.headers.get(":exception-type", ""), json.loads(frame.payload))
        for frame in buffer
    ]


def told(response: Json) -> Told:
    """Return what the recorded answer says."""
    if "json" in response:
        return read(copy.deepcopy(response["json"]), response["headers"])
    if "sse_text" in response:
        return _streamed(sse(response["sse_text"]))
    chunks = [json.loads(base64.b64decode(payload["bytes"])) for _, payload in frames(response["eventstream_base64"])]
    return _streamed(chunks)


def read(body: Json, headers: Json | None = None) -> Told:
    """Return what a body says."""
    answer = Told(body=body, model=body.get("model"), raw_usage=body.get("usage"))
    if body.get("type") == "error":
        answer.failure = body
        return answer
    spoken = answer.at(0)
    reason = body.get("stop_reason")
    spoken.finish = None if reason is None else FINISH.get(reason, "stop")
    answer.status, answer.whole = reason, reason is not None
    if "completion" in body:
        spoken.text = body["completion"]
    for block in body.get("content") or ():
        match block["type"]:
            case "text":
                spoken.text += block["text"]
            case "thinking":
                spoken.reasoning += block["thinking"]
            case "tool_use":
                given = block["input"]
                text = given if isinstance(given, str) else json.dumps(given)
                spoken.calls.append(Call(block["id"], block["name"], text))
    answer.usage = counts(body, headers or {})
    return answer


def _streamed(events: list[Json]) -> Told:
    body: Json = {}
    blocks: dict[int, Json] = {}
    told: list[Json] = []
    failure, ended = None, False
    for event in events:
        if event.get("type") == "error":
            failure = event
            break
        told.append(event)
        if "completion" in event:
            body = {**event, "completion": body.get("completion", "") + event["completion"]}
            ended = event.get("stop_reason") is not None
            continue
        _gather(body, blocks, copy.deepcopy(event))
        ended = ended or event["type"] == "message_stop"
        if METRICS in event:
            body[METRICS] = event[METRICS]
    if blocks or "content" in body:
        body["content"] = [_closed(blocks[index]) for index in sorted(blocks)]
    answer = read(body)
    answer.events, answer.failure, answer.whole = told, failure, ended and failure is None
    return answer


def _gather(body: Json, blocks: dict[int, Json], event: Json) -> None:
    match event["type"]:
        case "message_start":
            body.update(event["message"])
        case "content_block_start":
            blocks[event["index"]] = event["content_block"]
        case "content_block_delta":
            _grow(blocks[event["index"]], event["delta"])
        case "message_delta":
            body.update(event["delta"])
            usage = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
            body["usage"] = {**(body.get("usage") or {}), **usage}
            body.update({name: value for name, value in event.items() if name not in {"type", "delta", "usage"}})
            body.pop(METRICS, None)


def _grow(block: Json, delta: Json) -> None:
    match delta.pop("type"):
        case "input_json_delta":
            block["said"] = block.get("said", "") + delta["partial_json"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case _:
            for name, piece in delta.items():
                block[name] = (block.get(name) or "") + piece


def _closed(block: Json) -> Json:
    if "said" in block:
        said = block.pop("said")
        block["input"] = decoded(said) if said else block["input"]
    return block


def counts(body: Json, headers: Json) -> Counts | None:
    """Return the tokens of a body, by surprises 3, 4, 5 and 7 of the corpus."""
    usage = body.get("usage")
    if usage:
        runs = usage.get("iterations") or [usage]
        thinking = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
        return _summed(runs, thinking)
    counted = body.get(METRICS)
    if counted:
        names = ("inputTokenCount", "outputTokenCount", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
        return _plain(*(counted.get(name) or 0 for name in names))
    prefix, suffix = "x-amzn-bedrock-", "-token-count"
    found = [headers.get(f"{prefix}{kind}{suffix}") for kind in ("input", "output", "cache-read-input", "cache-write-input")]
    return None if found[0] is None and found[1] is None else _plain(*(int(count or 0) for count in found))


def _summed(runs: list[Any], thinking: int) -> Counts:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    answer = _plain(*(sum(run.get(name) or 0 for run in runs) for name in names))
    answer.reasoning = thinking
    return answer


def _plain(uncached: int, output: int, read: int, written: int) -> Counts:
    return Counts(uncached + read + written, output, read, written, 0)
