"""A turn on the wire: the body of `chat.completion`, and the events of `chat.completion.chunk`.

Members stand in the order that recorded traffic has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ostinato.testing.emulator.model import digest, letters
from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.openai.turn import Choice, ToolCall, Turn

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around the choices."""

    id: str
    created: int
    model: str
    service_tier: str
    system_fingerprint: str | None


def envelope(body: Json, number: int, now: float) -> Envelope:
    """Return the envelope of the answer to call `number`."""
    model = models.snapshot(body["model"])
    tier = body.get("service_tier")
    fingerprint = None if models.may_reason(model) else "fp_" + digest(model).hex()[:10]
    answer_id = "chatcmpl-" + letters(digest(body, number), 29)
    return Envelope(answer_id, int(now), model, "default" if tier in (None, "auto") else tier, fingerprint)


def render_body(env: Envelope, turn: Turn, body: Json, usage: Mapping[str, Any]) -> Json:
    """Return the body of an unstreamed answer."""
    return {
        "id": env.id,
        "object": "chat.completion",
        "created": env.created,
        "model": env.model,
        "choices": [_choice(index, choice, body) for index, choice in enumerate(turn.choices)],
        "usage": usage,
        "service_tier": env.service_tier,
        "system_fingerprint": env.system_fingerprint,
    }


def _choice(index: int, choice: Choice, body: Json) -> Json:
    text = "".join(choice.pieces)
    message: Json = {"role": "assistant", "content": text if _has_text(choice) else None}
    if choice.legacy:
        message["function_call"] = _function(choice.calls[0])
    elif choice.calls:
        message["tool_calls"] = [_tool_call(call) for call in choice.calls]
    message["refusal"] = text if choice.refused else None
    message["annotations"] = []
    rendered: Json = {"index": index, "message": message}
    if _shows_logprobs(body):
        rendered["logprobs"] = _logprobs(choice.pieces, choice, body) if body.get("logprobs") else None
    rendered["finish_reason"] = choice.finish_reason
    return rendered


def _has_text(choice: Choice) -> bool:
    return not choice.refused and (bool(choice.pieces) or not choice.calls)


def _function(call: ToolCall) -> Json:
    return {"name": call.name, "arguments": "".join(call.pieces)}


def _tool_call(call: ToolCall) -> Json:
    rendered = {"id": call.id, "type": call.kind}
    if call.kind == "custom":
        return {**rendered, "custom": {"name": call.name, "input": "".join(call.pieces)}}
    return {**rendered, "function": _function(call)}


def _shows_logprobs(body: Json) -> bool:
    """Reasoning models leave the member out unless it is asked for; the others send null."""
    return bool(body.get("logprobs")) or not models.may_reason(body["model"])


def _logprobs(pieces: list[str], choice: Choice, body: Json) -> Json:
    entries = [_logprob(piece, body.get("top_logprobs") or 0) for piece in pieces]
    return {"content": None, "refusal": entries} if choice.refused else {"content": entries, "refusal": None}


def _logprob(piece: str, top: int) -> Json:
    chance = digest(piece)
    entry = {"token": piece, "logprob": -(chance[0] + 1) / 1024, "bytes": list(piece.encode())}
    others = [
        {"token": name, "logprob": -(chance[0] + 1) / 1024 - rank, "bytes": list(name.encode())}
        for rank, name in enumerate([piece, *(letters(chance + bytes([rank]), 4) for rank in range(1, top))][:top])
    ]
    return {**entry, "top_logprobs": others}


def usage_of(turn: Turn, prompt_tokens: int, read: int, written: int | None) -> Json:
    """Return the usage in the vendor's terms. `prompt_tokens` includes what was read and written."""
    prompt_details = {"cached_tokens": read, "audio_tokens": 0}
    if written is not None:
        prompt_details["cache_write_tokens"] = written
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": turn.completion_tokens,
        "total_tokens": prompt_tokens + turn.completion_tokens,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": {
            "reasoning_tokens": turn.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def render_events(env: Envelope, turn: Turn, body: Json, usage: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the chunks of a streamed answer, the usage chunk included where it is asked for."""
    options = body.get("stream_options") or {}
    head = {
        "id": env.id,
        "object": "chat.completion.chunk",
        "created": env.created,
        "model": env.model,
        "service_tier": env.service_tier,
        "system_fingerprint": env.system_fingerprint,
    }
    with_usage = bool(options.get("include_usage"))
    obscured = options.get("include_obfuscation") is not False
    padding = letters(digest(env.id), 4096) if obscured else ""
    for number, choice in enumerate(_choices(turn, body)):
        chunk: Json = {**head, "choices": [choice]}
        if with_usage:
            chunk["usage"] = None
        if obscured:
            chunk["obfuscation"] = _padding(padding, number)
        yield chunk
    if with_usage:
        last: Json = {**head, "choices": [], "usage": usage}
        yield {**last, "obfuscation": _padding(padding, 0)} if obscured else last


def _padding(letters_: str, number: int) -> str:
    start = number * 31 % 4000
    return letters_[start : start + 1 + number * 7 % 15]


def _choices(turn: Turn, body: Json) -> Iterator[Json]:
    """Yield the pieces of all choices: each in order, in turns, all finish reasons at the end."""
    running = [_deltas(choice, body) for choice in turn.choices]
    for round_ in zip_longest(*running):
        for index, piece in enumerate(round_):
            if piece is not None:
                yield _piece(index, piece[0], piece[1], None, body)
    for index, choice in enumerate(turn.choices):
        yield _piece(index, {}, None, choice.finish_reason, body)


def _piece(index: int, delta: Json, logprobs: Json | None, finish_reason: str | None, body: Json) -> Json:
    if _shows_logprobs(body):
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
    return {"index": index, "delta": delta, "finish_reason": finish_reason}


def _deltas(choice: Choice, body: Json) -> Iterator[tuple[Json, Json | None]]:
    """Yield what each chunk adds to the message, and the log probabilities beside it."""

    def logprobs(pieces: list[str]) -> Json | None:
        return _logprobs(pieces, choice, body) if body.get("logprobs") else None

    member = "refusal" if choice.refused else "content"
    if choice.refused:
        yield {"role": "assistant", "content": None, "refusal": ""}, logprobs([])
    elif _has_text(choice):
        yield {"role": "assistant", "content": "", "refusal": None}, logprobs([])
    elif len(choice.calls) != 1:
        yield {"role": "assistant", "content": None}, None
    for piece in choice.pieces:
        yield {member: piece}, logprobs([piece])
    for position, call in enumerate(choice.calls):
        first = _first_of_call(position, call, choice)
        if len(choice.calls) == 1 and not _has_text(choice):
            first = {"role": "assistant", "content": None, **first, "refusal": None}
        yield first, None
        for piece in call.pieces:
            yield _more_of_call(position, call, choice, piece), None


def _first_of_call(position: int, call: ToolCall, choice: Choice) -> Json:
    if choice.legacy:
        return {"function_call": {"name": call.name, "arguments": ""}}
    opened: Json = {"index": position, "id": call.id, "type": call.kind}
    if call.kind == "custom":
        return {"tool_calls": [{**opened, "custom": {"name": call.name, "input": ""}}]}
    return {"tool_calls": [{**opened, "function": {"name": call.name, "arguments": ""}}]}


def _more_of_call(position: int, call: ToolCall, choice: Choice, piece: str) -> Json:
    if choice.legacy:
        return {"function_call": {"arguments": piece}}
    if call.kind == "custom":
        return {"tool_calls": [{"index": position, "custom": {"input": piece}}]}
    return {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}
