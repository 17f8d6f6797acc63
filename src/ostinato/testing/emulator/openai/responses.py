"""A turn in the shape of the Responses API: the body of a `response`, and the events of its stream.

Members stand in the order that recorded traffic has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.testing.emulator.model import cut, digest, letters, words
from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.openai.prompt import CacheUse
from ostinato.testing.emulator.openai.render import _logprob, _padding
from ostinato.testing.emulator.openai.turn import Choice, ToolCall, Turn

Json = dict[str, Any]

_LOGPROBS = "message.output_text.logprobs"
_SEALED = "reasoning.encrypted_content"
_INCOMPLETE = {
    "length": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
    "content_filter": "content_filter",
}
_FAILURE = {"code": "server_error", "message": "The model failed to generate a response."}


def usage_of(turn: Turn, prompt_tokens: int, cached: CacheUse) -> Json:
    """Return the usage in the API's terms. `prompt_tokens` includes what was read and written."""
    details: Json = {"cached_tokens": cached.read, "cache_write_tokens": cached.written or 0}
    if cached.written is not None:
        split = {"ttl_30m_tokens": cached.written - cached.written_12h, "ttl_12h_tokens": cached.written_12h}
        details["cache_write_tokens_details"] = split
    return {
        "input_tokens": prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": turn.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": turn.reasoning_tokens},
        "total_tokens": prompt_tokens + turn.completion_tokens,
    }


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and what the model says to it."""

    body: Json
    """The request."""
    turn: Turn
    usage: Mapping[str, Any]
    number: int
    """Of the call."""
    at: float
    """In seconds."""

    @property
    def choice(self) -> Choice:
        return self.turn.choices[0]

    @property
    def key(self) -> str:
        """What the ids of the response and of its items have in common."""
        return letters(digest(self.body, self.number), 48)


def render_response(answered: Answered) -> Json:
    """Return the body of an unstreamed answer."""
    finish = answered.choice.finish_reason
    reason = _INCOMPLETE.get(finish)
    status = "incomplete" if reason else "failed" if finish == "failed" else "completed"
    body = _envelope(answered, status)
    if status == "completed":
        body["completed_at"] = int(answered.at)
    body["incomplete_details"] = {"reason": reason} if reason else None
    body["error"] = _FAILURE if status == "failed" else None
    body["output"] = [item for item, _ in _items(answered, status)] if status != "failed" else []
    body["usage"] = answered.usage
    return body


def render_queued(answered: Answered) -> Json:
    """Return what a request for the background gets at once."""
    return _envelope(answered, "queued")


def _envelope(answered: Answered, status: str) -> Json:
    """Return a response without output, end or usage, what was asked for repeated in it."""
    body, model = answered.body, answered.body["model"]
    text = {"format": {"type": "text"}, **({"verbosity": "medium"} if models.may_reason(model) else {})}
    reasoning: Json = {"effort": None, "summary": None}
    if models.may_reason(model):
        reasoning["effort"] = models.effort(model, None)
    tier = body.get("service_tier") or "auto"
    begun = status == "in_progress"
    return {
        "id": "resp_" + answered.key,
        "object": "response",
        "created_at": int(answered.at),
        "status": status,
        "background": bool(body.get("background")),
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": models.snapshot(model),
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "prompt_cache_retention": body.get("prompt_cache_retention"),
        "reasoning": {**reasoning, **(body.get("reasoning") or {})},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default" if tier == "auto" and not begun else tier,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {**text, **(body.get("text") or {})},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [_strict(tool) for tool in body.get("tools") or ()],
        "top_logprobs": body.get("top_logprobs", 0),
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _strict(tool: Json) -> Json:
    """Return a tool as the vendor repeats it: without a word of it, a function is strict."""
    return {"strict": True, **tool} if tool.get("type") == "function" else tool


def _items(answered: Answered, status: str) -> Iterator[tuple[Json, list[str]]]:
    """Yield the output items, each with the tokens of its text."""
    choice, key = answered.choice, answered.key
    if answered.turn.reasoning_tokens:
        yield _reasoning(answered)
    if choice.pieces or not (choice.calls or status == "incomplete"):
        part: Json = {"type": "refusal", "refusal": "".join(choice.pieces)}
        if not choice.refused:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(choice.pieces)}
            if _wants_logprobs(answered.body):
                part["logprobs"] = [_logprob(piece, answered.body.get("top_logprobs") or 0) for piece in choice.pieces]
        message = {"id": "msg_" + key, "type": "message", "status": status, "content": [part], "role": "assistant"}
        yield message, choice.pieces
    for position, call in enumerate(choice.calls):
        last = position == len(choice.calls) - 1
        yield _call(call, f"{key}{position}", status if last else "completed"), call.pieces


def _wants_logprobs(body: Json) -> bool:
    return _LOGPROBS in (body.get("include") or ())


def _reasoning(answered: Answered) -> tuple[Json, list[str]]:
    seed = digest(answered.key)
    item: Json = {"id": "rs_" + answered.key, "type": "reasoning", "summary": []}
    asked = answered.body.get("reasoning") or {}
    pieces: list[str] = []
    if asked.get("summary"):
        pieces = cut("I think of " + " ".join(words(seed, 8)) + ".")
        item["summary"] = [{"type": "summary_text", "text": "".join(pieces)}]
    if _SEALED in (answered.body.get("include") or ()):
        item |= {"content": [], "encrypted_content": "gAAAA" + letters(seed, 120)}
    return item, pieces


def _call(call: ToolCall, key: str, status: str) -> Json:
    text = "".join(call.pieces)
    if call.kind == "custom":
        head = {"id": "ctc_" + key, "type": "custom_tool_call", "status": status}
        return {**head, "call_id": call.id, "input": text, "name": call.name}
    head = {"id": "fc_" + key, "type": "function_call", "status": status}
    return {**head, "arguments": text, "call_id": call.id, "name": call.name}


def render_events(answered: Answered) -> Iterator[Json]:
    """Yield the events of a streamed answer."""
    options = answered.body.get("stream_options") or {}
    padding = "" if options.get("include_obfuscation") is False else letters(digest(answered.key), 4096)
    for number, event in enumerate(_events(answered)):
        event["sequence_number"] = number
        if padding and event["type"].endswith(".delta"):
            event["obfuscation"] = _padding(padding, number)
        yield event


def error_event(error: Json, number: int) -> Json:
    """Return the event that tells of an error in the middle of a stream."""
    told = {name: error[name] for name in ("code", "message", "param")}
    return {"type": "error", **told, "sequence_number": number}


def _events(answered: Answered) -> Iterator[Json]:
    yield {"type": "response.created", "response": _envelope(answered, "in_progress")}
    yield {"type": "response.in_progress", "response": _envelope(answered, "in_progress")}
    final = render_response(answered)
    if final["status"] != "failed":
        for index, (item, pieces) in enumerate(_items(answered, final["status"])):
            yield from _item_events(index, item, pieces)
    yield {"type": f"response.{final['status']}", "response": final}


def _item_events(index: int, item: Json, pieces: list[str]) -> Iterator[Json]:
    place = {"item_id": item["id"], "output_index": index}
    begun: Json = {**item, **{name: [] for name in ("summary", "content") if name in item}}
    begun |= {name: "" for name in ("arguments", "input") if name in item}
    if "status" in begun:
        begun["status"] = "in_progress"
    yield {"type": "response.output_item.added", "item": begun, "output_index": index}
    match item["type"]:
        case "reasoning" if item["summary"]:
            part = item["summary"][0]
            yield from _part_events("reasoning_summary", {**place, "summary_index": 0}, part, pieces)
        case "message":
            yield from _part_events("output", {**place, "content_index": 0}, item["content"][0], pieces)
        case "function_call":
            yield from _argument_events("function_call_arguments", "arguments", place, item, pieces)
        case "custom_tool_call":
            yield from _argument_events("custom_tool_call_input", "input", place, item, pieces)
    yield {"type": "response.output_item.done", "item": item, "output_index": index}


def _part_events(name: str, place: Json, part: Json, pieces: list[str]) -> Iterator[Json]:
    member = "refusal" if part["type"] == "refusal" else "text"
    parts = "reasoning_summary_part" if name == "reasoning_summary" else "content_part"
    text = "refusal" if member == "refusal" else f"{name}_text"
    empty: Json = {**part, member: "", **({"logprobs": []} if "logprobs" in part else {})}
    yield {"type": f"response.{parts}.added", **place, "part": empty}
    tells = text == "output_text"
    for position, piece in enumerate(pieces):
        delta = {"type": f"response.{text}.delta", **place, "delta": piece}
        yield {**delta, "logprobs": part["logprobs"][position : position + 1]} if tells else delta
    done = {"type": f"response.{text}.done", **place, member: part[member]}
    yield {**done, "logprobs": part["logprobs"]} if tells else done
    yield {"type": f"response.{parts}.done", **place, "part": part}


def _argument_events(name: str, member: str, place: Json, item: Json, pieces: list[str]) -> Iterator[Json]:
    for piece in pieces:
        yield {"type": f"response.{name}.delta", **place, "delta": piece}
    yield {"type": f"response.{name}.done", **place, member: item[member]}
