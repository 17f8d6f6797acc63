"""Section `usage` of an answer, derived from the disjoint counters: one meaning, whoever the vendor is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    called = calls_named([run.calls for run in runs])
    if called and not calls_of(raw):
        usage["server_tool_use"] = called
    return usage


def counted(usage: Usage) -> dict[str, Any]:
    """Return what a vendor counted: its own usage, and the calls of its tools that it shows and does not count."""
    raw = usage.raw
    called = dict.get(usage, "server_tool_use")
    return {**raw, "server_tool_use": called} if called and "server_tool_use" not in raw else raw


def calls_named(calls: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return how often the vendor's own tools ran, under the names of Anthropic's `server_tool_use`."""
    named: dict[str, int] = {}
    for tools in calls:
        for tool, count in tools.items():
            named[f"{tool}{_REQUESTS}"] = named.get(f"{tool}{_REQUESTS}", 0) + count
    return named


def calls_of(usage: Mapping[str, Any]) -> dict[str, int]:
    """Return how often the vendor's own tools ran, by their names; nothing where a usage does not say.

    Anthropic says so in `server_tool_use`, OpenRouter in `server_tool_use_details`.
    """
    said = usage.get("server_tool_use") or usage.get("server_tool_use_details")
    if not isinstance(said, Mapping):
        return {}
    return {
        name.removesuffix(_REQUESTS): count
        for name, count in said.items()
        if type(count) is int and count > 0 and name.endswith(_REQUESTS)
    }


_REQUESTS = "_requests"
