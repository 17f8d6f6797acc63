"""Marks for a prompt cache on chat's wire: who is sent them, and that no key knows of them.

OpenAI and most who speak like it know no `cache_control`, and some refuse it. OpenRouter passes it on for the models
of vendors that do: a mark on a text part, on a tool, or on the whole request.
Source: https://openrouter.ai/docs/guides/best-practices/prompt-caching (read 2026-11-22), and recorded requests.
"""

from __future__ import annotations

import re
from typing import Any

from ostinato.wire.contract import Json

MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_MARKED = re.compile(r"~?(?:anthropic|google)/")
"""OpenRouter's names of models that take marks."""


def takes_marks(provider: str, model: str) -> bool:
    """Say whether marks are sent to this model of a provider."""
    return provider == "openrouter" and _MARKED.match(model) is not None


def unmarked(value: Any) -> Any:
    """Return an object without its own cache mark; anything else as it is."""
    if isinstance(value, dict) and "cache_control" in value:
        return {name: item for name, item in value.items() if name != "cache_control"}
    return value


def lowered(message: Json) -> Json:
    """Return a message with its own mark on its last text instead, where marks are taken."""
    mark = dict.get(message, "cache_control")
    if mark is None:
        return message
    message = unmarked(message)
    content = dict.get(message, "content")
    if isinstance(content, str) and content:
        return {**message, "content": [{"type": "text", "text": content, "cache_control": mark}]}
    parts: list[Any] = content if isinstance(content, list) else []
    for index in range(len(parts) - 1, -1, -1):
        if dict.get(parts[index], "type") == "text" and parts[index].get("text"):
            marked = {"cache_control": mark, **parts[index]}
            return {**message, "content": [*parts[:index], marked, *parts[index + 1 :]]}
    return message


def without_marks(body: Json) -> Json:
    """Return a body as its key sees it: without marks on parts, and where they are sent, on calls and tools."""
    everywhere = _MARKED.match(str(body.get("model"))) is not None
    messages = body.get("messages")
    if type(messages) is list:
        changed: list[Any] | None = None
        for index, message in enumerate(messages):
            parts = dict.get(message, "content")
            if (type(parts) is list and any(map(_has_mark, parts))) or (everywhere and "tool_calls" in message):
                if changed is None:
                    body = {**body, "messages": (changed := list(messages))}
                changed[index] = _unmarked_message(message, everywhere=everywhere)
    if everywhere and type(body.get("tools")) is list:
        body = {**body, "tools": [unmarked(_inside(tool, "function")) for tool in body["tools"]]}
    return body


def _unmarked_message(message: Json, *, everywhere: bool) -> Json:
    parts, calls = dict.get(message, "content"), dict.get(message, "tool_calls")
    if type(parts) is list:
        message = {**message, "content": [_without(part) for part in parts]}
    if everywhere and type(calls) is list:
        message = {**message, "tool_calls": [unmarked(call) for call in calls]}
    return message


def _inside(owner: Any, name: str) -> Any:
    inner = dict.get(owner, name) if isinstance(owner, dict) else None
    cleaned = unmarked(inner)
    return owner if cleaned is inner else {**owner, name: cleaned}


def _has_mark(part: Any) -> bool:
    return isinstance(part, dict) and not MARKS.isdisjoint(part)


def _without(part: Any) -> Any:
    return {name: item for name, item in part.items() if name not in MARKS} if _has_mark(part) else part
