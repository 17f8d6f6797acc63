"""What the emulator knows of Claude models: snapshots, how they think, and from which length they cache prompts."""

from __future__ import annotations

import re
from typing import Any

_SNAPSHOTS = {
    "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
    "claude-3-5-sonnet-latest": "claude-3-5-sonnet-20241022",
    "claude-3-7-sonnet-latest": "claude-3-7-sonnet-20250219",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-opus-4-0": "claude-opus-4-20250514",
    "claude-opus-4-1": "claude-opus-4-1-20250805",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-0": "claude-sonnet-4-20250514",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
"""The name that an answer carries for the name that was asked for."""

LISTED = (
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-sonnet-4-6",
    "claude-opus-4-6",
    "claude-opus-4-5-20251101",
    "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5-20250929",
)
"""What `GET /v1/models` lists where an emulator is not told which models exist."""

_NAME = re.compile(
    r"claude-(?:(\d)(?:-(\d))?-)?(?P<line>opus|sonnet|haiku|fable|mythos)(?:-(\d)(?:-(\d)(?!\d))?)?", re.ASCII
)

MINIMUMS: dict[tuple[str, int, int], int] = {
    **dict.fromkeys([("opus", 5, 5), ("sonnet", 5, 5), ("haiku", 5, 5), ("opus", 5, 0)], 512),
    **dict.fromkeys([("fable", 5, 0), ("fable", 5, 1), ("mythos", 5, 0), ("mythos", 5, 1)], 512),
    **dict.fromkeys([("opus", 4, 7), ("mythos", 0, 0), ("haiku", 3, 5), ("haiku", 3, 0)], 2048),
    **dict.fromkeys([("opus", 4, 6), ("opus", 4, 5), ("haiku", 4, 5)], 4096),
}
"""Tokens that a cached prefix must have, where it is not `MINIMUM`, by line and version; no version is a preview.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22), in the reading of
July 2026; older copies of the page have other numbers for Opus 4.7 and 4.8.
"""
MINIMUM = 1024


def version(model: str) -> tuple[str, int, int]:
    """Return line, major and minor version of a Claude model, wherever its name stands in `model`."""
    found = _NAME.search(model)
    if found is None:
        return "", 0, 0
    major, minor = (found[1], found[2]) if found[1] else (found[4], found[5])
    return found["line"], int(major or 0), int(minor or 0)


def snapshot(model: str) -> str:
    """Return the name that answers carry for `model`."""
    return _SNAPSHOTS.get(model, model)


def minimum(model: str) -> int:
    """Return how many tokens a prefix must have to be cached; a shorter one is silently left out."""
    return MINIMUMS.get(version(model), MINIMUM)


def keeps_thinking(model: str) -> bool:
    """Return whether the thinking of earlier turns stays in the prompt when the user speaks again.

    Where it does not, a prefix that holds such thinking is no prefix any more.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22): older Opus and
    Sonnet models and all Haiku models strip it.
    """
    line, *number = version(model)
    if line == "haiku":
        return False
    return number >= ([4, 5] if line == "opus" else [4, 6])


def hides_thinking(model: str, thinking: dict[str, Any]) -> bool:
    """Return whether thinking comes without its text: where the request says, else by the model's own habit."""
    display = thinking.get("display")
    return display == "omitted" or (display is None and version(model)[1:] >= (4, 7))


def takes_system_turns(model: str) -> bool:
    """Return whether a message may have the role `system`."""
    return version(model)[1:] >= (4, 8)


def counts_thinking(model: str) -> bool:
    """Return whether usage says how many tokens were thinking, thinking or not."""
    return version(model)[1:] >= (4, 8)


def is_recent(model: str) -> bool:
    """Return whether answers say where they were made and who called a tool (Claude 4.6 and later)."""
    return version(model)[1:] >= (4, 6)
