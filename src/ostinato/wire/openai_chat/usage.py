"""Tokens as OpenAI and those who speak like it count them, in the one meaning of `Usage`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ostinato.records import Usage
from ostinato.wire.contract import Json
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import calls_of

_set_raw = Usage.__dict__["_raw"].__set__

_READ_ELSEWHERE = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")
"""Where DeepSeek, Doubleword, Moonshot and Mistral count what was read from the prompt cache."""

_STANDARD_TIERS = frozenset({"auto", "default", "standard", "on_demand"})
"""What OpenAI, Mistral and Groq call their standard tier."""


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
    try:
        # The usual shape, without a detour: this is on the path of every hit.
        details = raw["prompt_tokens_details"]
        read = details["cached_tokens"]
        written = details.get("cache_write_tokens", 0)
        if (
            type(read) is int
            and type(written) is int
            and type(reasoning := raw["completion_tokens_details"]["reasoning_tokens"]) is int
            and reasoning <= raw["completion_tokens"]
            and raw["total_tokens"] == raw["prompt_tokens"] + raw["completion_tokens"]
            and read + written <= raw["prompt_tokens"]
            and "cache_creation_tokens" not in details  # where others than OpenAI count what was written
            and "cache_creation_input_tokens" not in raw
        ):
            usage["prompt_tokens_details"] = {**details, "cache_creation_tokens": written}
            usage["cache_read_input_tokens"] = read
            usage["cache_creation_input_tokens"] = written
            return usage
    except (KeyError, TypeError):
        pass
    return _unusual(usage, raw)


def _unusual(usage: Usage, raw: Json) -> Usage:
    """Fill in `usage` whatever its shape. OpenRouter has named more reasoning than there was output."""
    details = raw.get("prompt_tokens_details")
    if type(details) is not dict:
        details = {}
    read = details.get("cached_tokens")
    if type(read) is not int:
        read = _first_count(raw, _READ_ELSEWHERE)
    written = details.get("cache_write_tokens")
    if written is None:
        written = details.get("cache_creation_tokens")
    if written is None:
        written = raw.get("cache_creation_input_tokens", 0)
    if type(written) is not int:
        written = _count(written)
    usage["prompt_tokens_details"] = {**details, "cached_tokens": read, "cache_creation_tokens": written}
    usage["cache_read_input_tokens"] = read
    usage["cache_creation_input_tokens"] = written
    _settle(usage, read, written)
    output = _details(raw, "completion_tokens_details")
    reasoning = min(usage["completion_tokens"], _count(output.get("reasoning_tokens")))
    usage["completion_tokens_details"] = {**output, "reasoning_tokens": reasoning}
    return usage


def _settle(usage: Usage, read: int, written: int) -> None:
    """Make the sums hold, where they do not yet."""
    raw = usage.raw
    try:
        prompt = raw["prompt_tokens"]
        if raw["total_tokens"] == prompt + raw["completion_tokens"] and read + written <= prompt:
            return
    except (KeyError, TypeError):
        pass
    _reconcile(usage, read, written)


def _reconcile(usage: Usage, read: int, written: int) -> None:
    """Make total = prompt + completion hold, and read + written <= prompt, where the vendor counts otherwise.

    xAI counts reasoning outside of completion_tokens, Gemini too and without naming it; Mistral counts audio
    outside of prompt_tokens; xAI on Azure has reported more tokens read than the prompt has. Seen in recorded
    traffic (read 2026-11-22).
    """
    raw = usage.raw
    prompt, completion, total = (_count(raw.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    outside = max(0, total - prompt - completion)
    if raw.get("prompt_tokens") is None or outside == _count(
        _details(raw, "prompt_tokens_details").get("audio_tokens")
    ):
        prompt += outside
    else:
        completion += outside
    written = min(max(0, written), prompt)
    read = min(max(0, read), prompt - written)
    details = dict.__getitem__(usage, "prompt_tokens_details")
    details["cached_tokens"] = usage["cache_read_input_tokens"] = read
    details["cache_creation_tokens"] = usage["cache_creation_input_tokens"] = written
    usage["prompt_tokens"] = prompt
    usage["completion_tokens"] = completion
    usage["total_tokens"] = prompt + completion


def _first_count(raw: Json, names: tuple[str, ...]) -> int:
    return next((raw[name] for name in names if type(raw.get(name)) is int), 0)


def _count(value: object) -> int:
    if type(value) is int:
        return max(0, value)
    return max(0, int(value)) if isinstance(value, int | float) and isfinite(value) else 0


def used_tokens(body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
    """Return what a call used, as one run, or None when its body does not say."""
    raw = reported_usage(body)
    if raw is None:
        return None
    usage = usage_record(raw)
    read = _count(usage["cache_read_input_tokens"])
    written = _count(usage["cache_creation_input_tokens"])
    prompt, made = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
    uncached, output = max(0, _count(usage["prompt_tokens"]) - read - written), _count(usage["completion_tokens"])
    tier = body.get("service_tier")
    return [
        Tokens(
            uncached=uncached,
            read=read,
            written={"": written} if written else {},
            output=output,
            reasoning=_count(made.get("reasoning_tokens")),
            audio_input=(heard := min(uncached, _count(prompt.get("audio_tokens")))),
            audio_output=(said := min(output, _count(made.get("audio_tokens")))),
            image_input=min(uncached - heard, _count(prompt.get("image_tokens"))),
            image_output=min(output - said, _count(made.get("image_tokens"))),
            calls=calls_of(raw),
            service_tier=tier if isinstance(tier, str) and tier not in _STANDARD_TIERS else None,
        )
    ]


def _details(usage: Json, name: str) -> dict[str, Any]:
    value = dict.get(usage, name)
    return value if isinstance(value, dict) else {}
