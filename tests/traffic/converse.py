"""What a record of Bedrock's Converse says."""

from __future__ import annotations

import copy
import json

from tests.traffic.messages import frames
from tests.traffic.told import Call, Counts, Json, Told, decoded

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def told(response: Json) -> Told:
    """Return what the recorded answer says."""
    if "json" in response:
        return read(copy.deepcopy(response["json"]))
    body: Json = {"output": {"message": {}}}
    blocks: dict[int, Json] = {}
    events, failure, ended = [], None, False
    for kind, payload in frames(response["eventstream_base64"]):
        payload.pop("p", None)
        if kind.endswith("Exception"):
            failure = payload
            break
        events.append({kind: payload})
        ended = ended or kind == "messageStop"
        _gather(body, blocks, kind, payload)
    body["output"]["message"]["content"] = [_closed(blocks[index]) for index in sorted(blocks)]
    answer = read(body)
    answer.events, answer.failure, answer.whole = events, failure, ended and failure is None
    return answer


def read(body: Json) -> Told:
    """Return what a body says."""
    answer = Told(body=body, raw_usage=body.get("usage"), status=body.get("stopReason"))
    spoken = answer.at(0)
    spoken.finish = None if answer.status is None else FINISH.get(answer.status, "stop")
    answer.whole = answer.status is not None
    for block in body["output"]["message"]["content"]:
        if "text" in block:
            spoken.text += block["text"]
        elif "citationsContent" in block:
            spoken.text += "".join(part.get("text", "") for part in block["citationsContent"].get("content") or ())
        elif "reasoningContent" in block:
            spoken.reasoning += block["reasoningContent"].get("reasoningText", {}).get("text", "")
        elif "toolUse" in block and block["toolUse"].get("type", "tool_use") == "tool_use":
            use = block["toolUse"]
            spoken.calls.append(Call(use["toolUseId"], use["name"], json.dumps(use["input"])))
    answer.usage = counts(answer.raw_usage)
    return answer


def _gather(body: Json, blocks: dict[int, Json], kind: str, payload: Json) -> None:
    index = payload.get("contentBlockIndex", 0)
    match kind:
        case "messageStart":
            body["output"]["message"].update(payload)
        case "contentBlockStart":
            for name, value in payload["start"].items():
                blocks.setdefault(index, {})[name] = {**value, "input": ""} if name == "toolUse" else value
        case "contentBlockDelta":
            _grow(blocks.setdefault(index, {}), payload["delta"])
        case "messageStop" | "metadata":
            body.update(payload)


def _grow(block: Json, delta: Json) -> None:
    for name, piece in delta.items():
        match name:
            case "text":
                block["text"] = block.get("text", "") + piece
            case "toolUse":
                block["toolUse"]["input"] += piece.get("input", "")
            case "reasoningContent":
                inner = block.setdefault("reasoningContent", {})
                if "redactedContent" in piece:
                    inner["redactedContent"] = inner.get("redactedContent", "") + piece["redactedContent"]
                    continue
                thought = inner.setdefault("reasoningText", {})
                for part, text in piece.items():
                    thought[part] = thought.get(part, "") + text
            case "toolResult":
                block["toolResult"]["content"] = [*block["toolResult"].get("content", ()), *piece]
            case "citation":
                block.setdefault("citations", []).append(piece)


def _closed(block: Json) -> Json:
    if "toolUse" in block:
        block["toolUse"]["input"] = decoded(block["toolUse"]["input"])
    if "citations" in block:
        return {"citationsContent": {"content": [{"text": block.get("text", "")}], "citations": block["citations"]}}
    return block


def counts(raw: Json | None) -> Counts | None:
    """Return the tokens of a usage, by surprise 1 of the corpus."""
    if not raw:
        return None
    read, written = raw.get("cacheReadInputTokens") or 0, raw.get("cacheWriteInputTokens") or 0
    return Counts(raw["inputTokens"] + read + written, raw["outputTokens"], read, written, 0)
