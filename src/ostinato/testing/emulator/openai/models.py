"""What the emulator knows of OpenAI's models: snapshots, reasoning, and how their prompts are cached."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SNAPSHOTS = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "gpt-5.1": "gpt-5.1-2025-11-13",
    "gpt-5.4": "gpt-5.4-2026-03-05",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
    "text-embedding-ada-002": "text-embedding-ada-002-v2",
}
"""The name that an answer carries for the name that was asked for, as recorded traffic has it."""

LISTED = (*_SNAPSHOTS, "gpt-5.6-sol", "text-embedding-3-small", "text-embedding-3-large")
"""What `GET /models` lists where an emulator is not told which models exist."""

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}

_REASONS = re.compile(r"o\d|gpt-5(?!-chat)|gpt-[6-9]")
_REASONS_UNASKED = re.compile(r"o\d|gpt-5(-mini|-nano|-pro|-20\d\d.*)?$|gpt-[6-9]")
_EXPLICIT = re.compile(r"gpt-5\.([6-9]|\d\d)|gpt-[6-9]")
_UNCACHED = re.compile(r"gpt-3\.5|gpt-4(-|$)|text-")

MINUTE_S = 60.0
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class CacheRule:
    """How a family of models caches prompts on its own."""

    minimum: int
    """Tokens that a prefix must have."""
    step: int
    """Hits come in multiples of so many tokens."""
    retention: str
    """Which of `RETENTIONS` holds unless the request says."""


RETENTIONS = {"in_memory": (10 * MINUTE_S, HOUR_S), "24h": (24 * HOUR_S, 24 * HOUR_S)}
"""Seconds without use, and seconds in all, after which a prefix is gone. The vendor says 5 to 10 minutes and at
most an hour; the emulator takes the longer, so that what it forgets the vendor has forgotten too.

Source: https://developers.openai.com/api/docs/guides/prompt-caching (read 2026-11-22).
"""

# The vendor's default is 24h for an organisation that lets data be retained, where the model has it, and in_memory
# for others. The emulator is an organisation of the second kind, so that tests see prefixes expire.
_AUTOMATIC = CacheRule(minimum=1024, step=128, retention="in_memory")
_GPT_5_5 = CacheRule(minimum=2048, step=2048, retention="24h")

EXPLICIT_MINIMUM = 1024
"""Tokens that a prefix must have where breakpoints are explicit (gpt-5.6 and later)."""


def snapshot(model: str) -> str:
    """Return the name that answers carry for `model`."""
    return _SNAPSHOTS.get(model, model)


def may_reason(model: str) -> bool:
    """Return whether `model` is of a family that reasons."""
    return _REASONS.match(model) is not None


def effort(model: str, asked: str | None) -> str:
    """Return the reasoning effort of a call: what was asked, or the model's own."""
    if not may_reason(model):
        return "none"
    return asked or ("medium" if _REASONS_UNASKED.match(model) else "none")


def has_breakpoints(model: str) -> bool:
    """Return whether `model` caches up to breakpoints and bills what it writes."""
    return _EXPLICIT.match(model) is not None


def cache_rule(model: str) -> CacheRule | None:
    """Return how `model` caches prompts on its own; None when it does not."""
    if _UNCACHED.match(model):
        return None
    return _GPT_5_5 if model.startswith("gpt-5.5") else _AUTOMATIC
