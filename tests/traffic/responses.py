"""What a record of the Responses API says."""

from __future__ import annotations

import copy
from typing import Any

from tests.traffic.chat import sse
from tests.traffic.told import Call, Counts, Json, Told

_ENDS = ("response.completed", "response.incomplete")
_CUT = {"max_output_tokens", "max_tokens", "length"}


def told(response: Json) -> Told:
    """Return what the recorded answer says."""
    if "json" in response:
        return read(copy.deepcopy(response["json"]))
    body: Json = {"output": []}
    items: dict[int, Json] = {}
    events, failure, ended = [], None, False
    for event in sse(response["sse_text"]):
        kind = event.get("type")
        if kind in {"error", "response.failed"}:
            failure = event
            break
        events.append(event)
        if kind == "response.output_item.done":
            items[event["output_index"]] = event["item"]
        elif kind in _ENDS:
            ended = True
            body = copy.deepcopy(event["response"])
    body["output"] = body.get("output") or [items[index] for index in sorted(items)]
    answer = read(body)
    answer.events, answer.failure, answer.whole = events, failure, ended and failure is None
    return answer


def read(body: Json) -> Told:
    """Return what a body says."""
    answer = Told(body=body, model=body.get("model"), raw_usage=body.get("usage"))
    if body.get("error"):
        answer.failure = body
        return answer
    spoken = answer.at(0)
    thoughts = []
    for item in body["output"]:
        match item.get("type", "message"):
            case "message":
                spoken.text += _parts(item["content"], "output_text", "text")
                spoken.refusal += _parts(item["content"], "refusal", "refusal")
            case "reasoning":
                parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
                thoughts += [part["text"] for part in parts if part.get("text")]
            case "function_call":
                spoken.calls.append(Call(item["call_id"], item["name"], item["arguments"]))
            case "custom_tool_call":
                spoken.calls.append(Call(item["call_id"], item["name"], item["input"]))
    spoken.reasoning = "\n\n".join(thoughts)
    _end(answer, body)
    answer.usage = counts(answer.raw_usage)
    return answer


def _parts(content: Any, kind: str, name: str) -> str:
    if isinstance(content, str):
        return content if kind == "output_text" else ""
    return "".join(part[name] for part in content if part["type"] == kind)


def _end(answer: Told, body: Json) -> None:
    status = body.get("status")
    reason = (body.get("incomplete_details") or {}).get("reason")
    answer.status = status if reason is None else f"{status}:{reason}"
    answer.whole = status in {"completed", "incomplete", None}
    spoken = answer.at(0)
    if status == "incomplete":
        spoken.finish = "length" if reason in _CUT else "content_filter"
    elif answer.whole:
        spoken.finish = "tool_calls" if spoken.calls else "stop"


def counts(raw: Json | None) -> Counts | None:
    """Return the tokens of a usage."""
    if not raw or raw.get("input_tokens") is None:
        return None
    given, made = raw.get("input_tokens_details") or {}, raw.get("output_tokens_details") or {}
    output = max(raw["output_tokens"], raw.get("total_tokens", 0) - raw["input_tokens"])
    return Counts(
        raw["input_tokens"],
        output,
        given.get("cached_tokens") or 0,
        given.get("cache_write_tokens") or 0,
        made.get("reasoning_tokens") or 0,
    )
