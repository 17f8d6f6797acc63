"""Section `usage` of an answer, derived from the disjoint counters: one meaning, whoever the vendor is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ostinato.records import Usage
from ostinato.wire.tokens import Tokens


def usage_of(raw: dict[str, Any], runs: Sequence[Tokens]) -> Usage:
    """Return the usage of a call's runs in OpenAI's inclusive terms, the vendor's own fields beside them.

    `raw` is the usage as the vendor sent it; it is kept as `Usage.raw` and not changed.
    """
    prompt = sum(run.prompt for run in runs)
    read = sum(run.read for run in runs)
    written = sum(sum(run.written.values()) for run in runs)
    output = sum(run.output for run in runs)
    reasoning = sum(run.reasoning for run in runs)
    usage = Usage(raw)
    usage._raw = raw
    usage.update(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=prompt + output,
        prompt_tokens_details={
            **(raw.get("prompt_tokens_details") or {}),
            "cached_tokens": read,
            "cache_creation_tokens": written,
        },
        completion_tokens_details={
            **(raw.get("completion_tokens_details") or {}),
            "reasoning_tokens": reasoning,
        },
        cache_read_input_tokens=read,
        cache_creation_input_tokens=written,
    )
    return usage
