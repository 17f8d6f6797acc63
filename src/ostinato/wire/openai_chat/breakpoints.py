"""`cache_control` marks as OpenAI's own breakpoints, for the models that have them.

A breakpoint stands on a content part, never on an assistant's message or a tool. The vendor places one by itself at
the end of the prompt and writes four in all, so the latest three marks are kept. Chat takes no time to live.
Source: https://platform.openai.com/docs/guides/prompt-caching (read 2026-11-22).
"""

from __future__ import annotations

import re
from typing import Any

MOST_BREAKPOINTS = 3
MARK = "cache_control"
_BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}
_MODELS = re.compile(r"gpt-(5\.(?:[6-9]|\d\d)|[6-9]|\d\d)(?![\d])")


def takes_breakpoints(model: str) -> bool:
    """Return whether `model` knows explicit breakpoints."""
    return _MODELS.match(model) is not None


def with_breakpoints(messages: Any) -> Any:
    """Return `messages` with a breakpoint where a mark stood; the very same where there is none."""
    if not isinstance(messages, (list, tuple)):
        return messages
    left = MOST_BREAKPOINTS
    placed = list(messages)
    for index in range(len(placed) - 1, -1, -1):
        if left and isinstance(placed[index], dict) and dict.get(placed[index], "role") != "assistant":
            placed[index], used = _placed(placed[index], left)
            left -= used
    return messages if left == MOST_BREAKPOINTS else placed


def _placed(message: dict[str, Any], left: int) -> tuple[dict[str, Any], int]:
    """Return a message with at most `left` breakpoints, the last parts first, and how many it took."""
    content = dict.get(message, "content")
    whole = dict.get(message, MARK) is not None
    if isinstance(content, str):
        if not whole or not content:
            return message, 0
        return {**message, "content": [{"type": "text", "text": content, **_BREAKPOINT}]}, 1
    if not isinstance(content, list):
        return message, 0
    parts, used = list(content), 0
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        marked = isinstance(part, dict) and (part.get(MARK) is not None or (whole and at == len(parts) - 1))
        if marked and used < left and "prompt_cache_breakpoint" not in part:
            parts[at] = {**part, **_BREAKPOINT}
            used += 1
    return ({**message, "content": parts} if used else message), used
