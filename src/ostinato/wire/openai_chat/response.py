"""From OpenAI's answer to a Completion, and whether the answer may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.errors import APIResponseError
from ostinato.records import Completion
from ostinato.wire.contract import Json
from ostinato.wire.mending import read
from ostinato.wire.openai_chat.failure import event_error, rejection
from ostinato.wire.openai_chat.usage import reported_usage, usage_record

_SAYS = ("content", "refusal", "tool_calls", "function_call", "audio", "images")
"""Members of a message that say something to its reader."""


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return a chat completion's body as a record; see `Wire.parse`."""
    choices: Any = body.get("choices") if type(body) is dict else None
    if type(choices) is not list or ("error" in body and event_error(body) is not None):
        raise rejection(body, headers, event_error, "the answer is no chat completion: it has no list of choices")
    for choice in choices:
        if not isinstance(choice, dict):
            raise APIResponseError("the answer is no chat completion: one of its choices is no object")
    completion = Completion(body)
    usage = body.get("usage")
    if type(usage) is not dict:
        usage = reported_usage(body)
    if usage:
        completion["usage"] = usage_record(usage)
    return completion


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
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


def _unfinished(choice: Any) -> str | None:
    if not isinstance(choice, dict):
        return "a choice is no object"
    finish = dict.get(choice, "finish_reason")
    if finish == "content_filter":
        return "a content filter refused it"
    if finish in ("error", "insufficient_system_resource"):
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


def _is_json(arguments: object, *, cut: bool) -> bool:
    """Say whether arguments are whole. None at all means none are needed, unless the answer was cut."""
    if not isinstance(arguments, str) or not arguments:
        return not (cut and arguments == "")
    try:
        read(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
