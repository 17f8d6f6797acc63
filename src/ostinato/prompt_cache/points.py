"""Marks placed by rule: `cache_control_injection_points`, as users of LiteLLM write them.

A point puts a `cache_control` mark on messages, chosen by role or by index, or on the last tool. It never
replaces a mark that is there, and no more than four marks come of it, the caller's own included, since that is
what the vendors take. What is marked is a copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ostinato.errors import ConfigurationError, warn

MARK = "cache_control"
MOST_MARKS = 4
_DEFAULT = {"type": "ephemeral"}


def place_points(messages: Any, params: dict[str, Any], points: Any) -> tuple[Any, dict[str, Any]]:
    """Return `messages` and `params` with the marks that `points` ask for.

    Raises: ConfigurationError: a point is none.
    """
    if not isinstance(points, Sequence) or not all(isinstance(point, Mapping) for point in points):
        raise ConfigurationError("cache_control_injection_points must be a list of mappings with a 'location'")
    if not isinstance(messages, Sequence):
        return messages, params  # the wire says what is wrong with them
    marked, tools = list(messages), list(params.get("tools") or ())
    left = MOST_MARKS - _marks_in(messages) - _marks_in(tools)
    for point in points:
        control = point.get("control") or _DEFAULT
        match point.get("location"):
            case "message":
                chosen, items = _chosen(point, marked), marked
            case "tool_config":
                chosen, items = ([len(tools) - 1] if tools else []), tools
            case other:
                raise ConfigurationError(f"an injection point's location is 'message' or 'tool_config', not {other!r}")
        for index in chosen:
            if left > 0 and isinstance(items[index], Mapping) and not _marks_in([items[index]]):
                items[index] = {**items[index], MARK: control}
                left -= 1
    return marked, {**params, "tools": tools} if tools else params


def _chosen(point: Mapping[str, Any], messages: list[Any]) -> list[int]:
    index, role = point.get("index"), point.get("role")
    if index is not None:
        try:
            at = int(index)
        except (TypeError, ValueError):
            raise ConfigurationError(f"an injection point's index must be a number, not {index!r}") from None
        if not -len(messages) <= at < len(messages):
            warn("injection point at index %d: there are %d messages", at, len(messages))
            return []
        return [at % len(messages)]
    return [at for at, message in enumerate(messages) if isinstance(message, Mapping) and message.get("role") == role]


def _marks_in(items: Sequence[Any]) -> int:
    """Return how many marks there are on messages or tools and on their blocks."""
    count = 0
    for item in items:
        if isinstance(item, Mapping):
            content = item.get("content")
            blocks = content if isinstance(content, list) else [item.get("function")]
            count += (item.get(MARK) is not None) + sum(
                isinstance(block, Mapping) and block.get(MARK) is not None for block in blocks
            )
    return count
