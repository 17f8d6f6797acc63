"""From OpenAI's answer to a Completion, usage in one meaning, and whether the answer may be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ostinato.errors import APIResponseError
from ostinato.records import Completion, Usage
from ostinato.wire.contract import Json
from ostinato.wire.openai_chat.failure import event_error, request_id

_set_raw = Usage.__dict__["_raw"].__set__

_READ_ELSEWHERE = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")
"""Where DeepSeek, Doubleword, Moonshot and Mistral count what was read from the prompt cache."""


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return a chat completion's body as a record; see `Wire.parse`."""
    if not isinstance(body, dict):
        raise APIResponseError(f"the answer is a JSON {type(body).__name__}, not an object")
    if body.get("error") and (failure := event_error(body)):
        failure.request_id = request_id(headers or {})
        raise failure
    choices = body.get("choices")
    if type(choices) is not list:
        raise APIResponseError("the answer is no chat completion: it has no list of choices")
    for choice in choices:
        if not isinstance(choice, dict):
            raise APIResponseError("the answer is no chat completion: one of its choices is no object")
    completion = Completion(body)
    usage = reported_usage(body)
    if usage is not None:
        completion["usage"] = usage_record(usage)
    return completion


def reported_usage(body: Json) -> Json | None:
    """Return the usage that a body or an event reports, or None. Groq may keep it in `x_groq`."""
    usage = dict.get(body, "usage")
    if usage is None and (groq := dict.get(body, "x_groq")) is not None:
        usage = groq.get("usage") if isinstance(groq, dict) else None
    return usage if isinstance(usage, dict) and usage else None


def usage_record(raw: Json) -> Usage:
    """Return the vendor's usage in the one meaning of `Usage`. `raw` is kept as `.raw` and not changed."""
    usage = Usage(raw)
    _set_raw(usage, raw)
    details = raw.get("prompt_tokens_details")
    if type(details) is not dict:
        details = {}
    read = details.get("cached_tokens")
    if type(read) is not int:
        read = _first_count(raw, _READ_ELSEWHERE)
    written = details.get("cache_write_tokens")
    if type(written) is not int:
        written = _count(details.get("cache_creation_tokens")) or _count(raw.get("cache_creation_input_tokens"))
    usage["prompt_tokens_details"] = {**details, "cached_tokens": read, "cache_creation_tokens": written}
    usage["cache_read_input_tokens"] = read
    usage["cache_creation_input_tokens"] = written
    output = raw.get("completion_tokens_details")
    if type(output) is not dict or type(output.get("reasoning_tokens")) is not int:
        output = output if type(output) is dict else {}
        usage["completion_tokens_details"] = {**output, "reasoning_tokens": _count(output.get("reasoning_tokens"))}
    prompt, completion = raw.get("prompt_tokens"), raw.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int or raw.get("total_tokens") != prompt + completion:
        _reconcile(usage)
    return usage


def _reconcile(usage: Usage) -> None:
    """Make total = prompt + completion hold, where the vendor counts something outside of both.

    xAI counts reasoning outside of completion_tokens, Gemini too and without naming it; Mistral counts audio
    outside of prompt_tokens. Seen in recorded traffic (read 2026-11-22).
    """
    plain = cast("dict[str, Any]", usage.raw)
    prompt, completion, total = (_count(plain.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    outside = max(0, total - prompt - completion)
    details = plain.get("prompt_tokens_details")
    audio = _count(details.get("audio_tokens")) if isinstance(details, dict) else 0
    if plain.get("prompt_tokens") is None or outside == audio > 0:
        prompt += outside
    else:
        completion += outside
    usage["prompt_tokens"] = prompt
    usage["completion_tokens"] = completion
    usage["total_tokens"] = prompt + completion


def _first_count(raw: Json, names: tuple[str, ...]) -> int:
    return next((raw[name] for name in names if type(raw.get(name)) is int), 0)


def _count(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and value == value and abs(value) < 1e18 else 0


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    choices = body.get("choices")
    if not choices:
        return "it has no choices"
    usage = reported_usage(body)
    if usage is not None and _counts_nothing(usage):
        return "its usage is all zeros"
    for choice in choices:
        reason = _unfinished(choice)
        if reason is not None:
            return reason
    return None


def _counts_nothing(usage: Json) -> bool:
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    return 0 in counts and not any(counts)


def _unfinished(choice: Json) -> str | None:
    finish = dict.get(choice, "finish_reason")
    if finish == "content_filter":
        return "a content filter refused it"
    if finish in {"error", "insufficient_system_resource"}:
        return f"the vendor broke off: {finish}"
    message = dict.get(choice, "message")
    if not isinstance(message, dict):
        return "a choice has no message"
    cut = finish == "length"
    # A budget spent on reasoning alone leaves no text, and is as final as any other cut by length.
    if not cut and not any(dict.get(message, name) for name in _SAYS):
        return "a message is empty"
    calls = dict.get(message, "tool_calls")
    spoken = [dict.get(call, "function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    for function in (*spoken, dict.get(message, "function_call")):
        if isinstance(function, dict) and not _is_json(dict.get(function, "arguments"), cut=cut):
            return "the arguments of a tool call are no JSON"
    return None


_SAYS = ("content", "refusal", "tool_calls", "function_call", "audio", "images")


def _is_json(arguments: object, *, cut: bool) -> bool:
    """Say whether arguments are whole. None at all means none are needed, unless the answer was cut."""
    if not isinstance(arguments, str) or not arguments:
        return not (cut and arguments == "")
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        # The standard library takes the lone surrogates that a model may write as escapes.
        try:
            json.loads(arguments)
        except ValueError:
            return False
    return True
