"""Tokens as the Responses API counts them, in the one meaning of `Usage`.

`input_tokens` includes what was read from and written to the prompt cache; what was written is split by how long it
is kept where the model has both times.

Source: https://developers.openai.com/api/docs/guides/prompt-caching (read 2026-11-22), and the types of openai 3.54.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.records import Usage
from ostinato.wire.contract import Json
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import calls_named, calls_of, usage_of

_STANDARD_TIERS = frozenset({"auto", "default", "standard", "on_demand"})

_set_raw = Usage.__dict__["_raw"].__set__


def usage_record(body: Json) -> Usage | None:
    """Return the usage of a body in the one meaning of `Usage`, or None when it does not say."""
    raw = body.get("usage")
    if type(raw) is not dict:
        return None
    prompt, output = raw.get("input_tokens"), raw.get("output_tokens")
    total = raw.get("total_tokens")
    details, spent = raw.get("input_tokens_details"), raw.get("output_tokens_details")
    if type(prompt) is not int or type(output) is not int or total != prompt + output or type(details) is not dict:
        runs = tokens(body)
        return None if runs is None else usage_of(raw, runs)
    read, written = details.get("cached_tokens", 0), details.get("cache_write_tokens", 0)
    reasoning = spent.get("reasoning_tokens", 0) if type(spent) is dict else 0
    whole = type(read) is int and type(written) is int and type(reasoning) is int
    if not whole or read < 0 or written < 0 or not 0 <= reasoning <= output or read + written > prompt:
        runs = tokens(body)
        return None if runs is None else usage_of(raw, runs)
    # What nearly every answer has: the same sums as `usage_of`, at a quarter of the time.
    usage = Usage(raw)
    _set_raw(usage, raw)
    usage["prompt_tokens"] = prompt
    usage["completion_tokens"] = output
    usage["prompt_tokens_details"] = {"cached_tokens": read, "cache_creation_tokens": written}
    usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    usage["cache_read_input_tokens"] = read
    usage["cache_creation_input_tokens"] = written
    if calls := _calls(body):
        usage["server_tool_use"] = calls_named([calls])
    return usage


def tokens(body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
    """Return what a call used, as one run, or None when its body does not say."""
    raw = body.get("usage")
    if type(raw) is not dict or not (type(raw.get("input_tokens")) is int or type(raw.get("output_tokens")) is int):
        return None
    details, spent = _details(raw, "input_tokens_details"), _details(raw, "output_tokens_details")
    prompt, output = _count(raw.get("input_tokens")), _count(raw.get("output_tokens"))
    # xAI has counted reasoning outside of the output: what the total has more is output.
    output += max(0, _count(raw.get("total_tokens")) - prompt - output)
    written = min(prompt, _count(details.get("cache_write_tokens")))
    read = min(prompt - written, _count(details.get("cached_tokens")))
    tier = body.get("service_tier")
    return [
        Tokens(
            uncached=prompt - read - written,
            read=read,
            written=_by_time(written, details.get("cache_write_tokens_details")),
            output=output,
            reasoning=min(output, _count(spent.get("reasoning_tokens"))),
            calls=_calls(body),
            service_tier=tier if isinstance(tier, str) and tier not in _STANDARD_TIERS else None,
        )
    ]


_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
}
"""Items of an output that stand for a tool of the vendor's own which is billed apart.

Source: https://platform.openai.com/docs/pricing, built-in tools (read 2026-11-22)."""


def _calls(body: Json) -> dict[str, int]:
    """Return how often tools ran that are billed by the call: the usage does not say, the output does.

    Of a web search, only the action `search` is billed, not the opening of a page.
    Source: https://platform.openai.com/docs/guides/tools-web-search (read 2026-11-22).
    """
    output = body.get("output")
    if not isinstance(output, list):
        return calls_of(body.get("usage") or {})
    calls: dict[str, int] = {}
    for item in output:
        tool = _TOOLS.get(item.get("type", "")) if isinstance(item, dict) else None
        if tool is not None and _details(item, "action").get("type", "search") == "search":
            calls[tool] = calls.get(tool, 0) + 1
    return calls


def _by_time(written: int, split: Any) -> dict[str, int]:
    """Return what was written by the time it is kept; all of it under "" where no split is given."""
    if not written:
        return {}
    if not isinstance(split, dict):
        return {"": written}
    long = min(written, _count(split.get("ttl_12h_tokens")))
    short = min(written - long, _count(split.get("ttl_30m_tokens")))
    kept = {"30m": short, "12h": long, "": written - long - short}
    return {time: count for time, count in kept.items() if count}


def _details(raw: Json, name: str) -> dict[str, Any]:
    value = raw.get(name)
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    if type(value) is int:
        return max(0, value)
    return max(0, int(value)) if type(value) is float and abs(value) < 1e18 else 0
