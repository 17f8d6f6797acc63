"""The disjoint counters of a call, from a usage that its vendor or a wire wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ostinato.records import Usage
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import calls_of, counted

Json = Mapping[str, Any]


def runs_of(usage: Json | None, *, service_tier: str | None = None) -> list[Tokens] | None:
    """Return the runs of a call, or None where the usage does not say what it took.

    Understood are our own usage and OpenAI's (`prompt_tokens` is the whole prompt), that of the Responses API
    (`input_tokens`, likewise) and Anthropic's (`input_tokens` is what was neither read nor written). Where the parts
    of a prompt are more than `prompt_tokens`, it cannot include them: it is then what was neither read nor written.
    """
    if not usage:
        return None
    # Read as plain JSON: a record takes several times as long.
    usage, raw = dict(usage), dict(counted(usage) if isinstance(usage, Usage) else usage)
    tier = service_tier or _text(raw.get("service_tier"))
    iterations = raw.get("iterations")
    if isinstance(iterations, list) and iterations:
        runs = [_exclusive(run, tier) for run in iterations if isinstance(run, Mapping)]
    elif usage.get("prompt_tokens") is not None or usage.get("completion_tokens") is not None:
        runs = [_inclusive(usage, raw, tier)]
    elif usage.get("input_tokens") is None and usage.get("output_tokens") is None:
        return None
    elif "input_tokens_details" in usage or "total_tokens" in usage:
        runs = [_response(usage, tier)]
    else:
        runs = [_exclusive(usage, tier)]
    calls, geo = calls_of(raw), _text(raw.get("inference_geo"))
    if runs and calls:
        runs[0] = replace(runs[0], calls=calls)
    if geo not in {None, "global", "not_available"}:
        runs = [replace(run, region=geo) for run in runs]
    # A failed stream may end with a usage of zeros. No call takes nothing: it is not known what it took.
    return runs if any(run.prompt or run.output for run in runs) else None


def _inclusive(usage: Json, raw: Json, tier: str | None) -> Tokens:
    given, made = _object(usage, "prompt_tokens_details"), _object(usage, "completion_tokens_details")
    read = _first(
        given.get("cached_tokens"), usage.get("cache_read_input_tokens"), usage.get("prompt_cache_hit_tokens")
    )
    written = _first(
        given.get("cache_creation_tokens"), given.get("cache_write_tokens"), usage.get("cache_creation_input_tokens")
    )
    split = _object(raw, "cache_creation") or _object(given, "cache_creation_token_details") or _details(raw)
    return _tokens(
        _uncached(_count(usage.get("prompt_tokens")), read + written),
        read,
        _by_time(written, split),
        output=_count(usage.get("completion_tokens")),
        reasoning=_count(made.get("reasoning_tokens")),
        parts=(given, made),
        tier=tier,
    )


def _response(usage: Json, tier: str | None) -> Tokens:
    given, made = _object(usage, "input_tokens_details"), _object(usage, "output_tokens_details")
    read, written = _count(given.get("cached_tokens")), _count(given.get("cache_write_tokens"))
    return _tokens(
        _uncached(_count(usage.get("input_tokens")), read + written),
        read,
        _by_time(written, _object(given, "cache_write_tokens_details")),
        output=_count(usage.get("output_tokens")),
        reasoning=_count(made.get("reasoning_tokens")),
        parts=(given, made),
        tier=tier,
    )


def _exclusive(usage: Json, tier: str | None) -> Tokens:
    written = _count(usage.get("cache_creation_input_tokens"))
    return _tokens(
        _count(usage.get("input_tokens")),
        _count(usage.get("cache_read_input_tokens")),
        _by_time(written, _object(usage, "cache_creation")),
        output=_count(usage.get("output_tokens")),
        reasoning=_count(_object(usage, "output_tokens_details").get("thinking_tokens")),
        tier=tier,
        model=_text(usage.get("model")),
    )


def _tokens(
    uncached: int,
    read: int,
    written: dict[str, int],
    *,
    output: int,
    reasoning: int,
    parts: tuple[Json, Json] = ({}, {}),
    tier: str | None = None,
    model: str | None = None,
) -> Tokens:
    """Return one run; `parts` are the details of prompt and output, which may count audio and images apart."""
    given, made = parts
    return Tokens(
        uncached=uncached,
        read=read,
        written=written,
        output=output,
        reasoning=min(reasoning, output),
        audio_input=(heard := min(_count(given.get("audio_tokens")), uncached)),
        audio_output=(said := min(_count(made.get("audio_tokens")), output)),
        image_input=min(_count(given.get("image_tokens")), uncached - heard),
        image_output=min(_count(made.get("image_tokens")), output - said),
        model=model,
        service_tier=tier,
    )


def _uncached(prompt: int, parts: int) -> int:
    return prompt - parts if parts <= prompt else prompt


def _by_time(written: int, split: Json) -> dict[str, int]:
    """Return the writes by the time they are kept.

    The total is what is billed. A split need not add up to it: only what it says of the dearer, longer time counts,
    and the rest was kept for the usual one.
    Source: recorded Anthropic answers with server tools (2026-11-22).
    """
    if not written:
        return {}
    times = {time: _count(split.get(name)) for name, time in _TIMES.items() if name in split}
    usual = "5m" if times.keys() & {"5m", "1h"} else "30m" if times else ""
    longer = min(written, sum(count for time, count in times.items() if time in {"1h", "12h"}))
    by_time = {usual: written - longer} | ({"1h" if usual == "5m" else "12h": longer} if longer else {})
    return {time: count for time, count in by_time.items() if count}


_TIMES = {
    "ephemeral_5m_input_tokens": "5m",
    "ephemeral_1h_input_tokens": "1h",
    "ephemeral_30m_input_tokens": "30m",
    "ephemeral_12h_input_tokens": "12h",
    "ttl_30m_tokens": "30m",
    "ttl_12h_tokens": "12h",
    "5m": "5m",
    "1h": "1h",
}
"""What vendors call the parts of a split."""


def _details(raw: Json) -> Json:
    """Return Bedrock's list of writes, or OpenAI's object of them, as a split by time."""
    details = raw.get("cacheDetails")
    if isinstance(details, list):
        return {str(part.get("ttl")): part.get("inputTokens") for part in details if isinstance(part, Mapping)}
    for name in ("prompt_tokens_details", "input_tokens_details"):
        split = _object(_object(raw, name), "cache_write_tokens_details")
        if split:
            return split
    return {}


def _object(owner: Json, name: str) -> Json:
    value = owner.get(name)
    return value if isinstance(value, dict | Mapping) else {}


def _first(*counts: object) -> int:
    """Return the first count above 0: vendors say the same thing under several names."""
    return next((count for count in map(_count, counts) if count), 0)


def _count(value: object) -> int:
    """Return a count of tokens; null, a negative and anything else is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
