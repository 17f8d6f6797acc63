"""What the models behind Bedrock take, where they differ, by the name of the model.

An ARN of an application's own profile, of provisioned throughput or of a router hides the model. Such a name is
taken to stand for a model that can do everything: the vendor says so if it is not.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal

import msgspec

from ostinato.wire.contract import Json

_CLAUDE = re.compile(r"claude-(?:v|[a-z]+-)?(?P<major>\d)(?:-(?P<minor>\d{1,2}))?(?!\d)")
_HIDDEN = ("application-inference-profile/", "provisioned-model/", "custom-model", "imported-model/", "prompt-router/")

Reasoning = Literal["adaptive", "budget", "reasoning_effort", "reasoning_config", "nova", "effort"]


class Traits(msgspec.Struct, frozen=True):
    """What one model takes."""

    claude: bool = False
    """Whether it is one of Anthropic's, which take back their reasoning with its signature only."""
    caches: bool = False
    """Whether it knows `cachePoint`."""
    caches_tools: bool = False
    """Whether a `cachePoint` may stand among the tools and behind a tool's result."""
    hour: bool = False
    """Whether a `cachePoint` may ask for an hour."""
    reasoning: Reasoning = "effort"
    """How it is told how much to think."""


@lru_cache(maxsize=1024)
def traits_of(model: str) -> Traits:
    """Return what `model` takes.

    Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html (models, fields, times to
    live) and https://docs.aws.amazon.com/nova/latest/nova2-userguide/core-inference.html (read 2026-11-22), and the
    recorded traffic (thinking, `reasoning_effort`, `reasoning_config`).
    """
    name = model.lower()
    if "claude" in name:
        return _claude(name)
    if "amazon.nova" in name:
        return Traits(caches=True, reasoning="nova")
    if any(hidden in name for hidden in _HIDDEN):
        return Traits(caches=True, caches_tools=True, hour=True)
    if "gpt-oss" in name:
        return Traits(reasoning="reasoning_effort")
    return Traits(reasoning="reasoning_config" if "qwen" in name else "effort")


def _claude(name: str) -> Traits:
    found = _CLAUDE.search(name)
    # A name without a number is taken for a new one, except for the oldest of all.
    version = (1, 0) if "claude-instant" in name else (9, 0)
    if found is not None:
        version = (int(found["major"]), int(found["minor"] or 0))
    return Traits(
        claude=True,
        caches=version >= (3, 5) and "3-5-sonnet-20240620" not in name,
        caches_tools=True,
        hour=version >= (4, 0),
        reasoning="adaptive" if version >= (4, 6) else "budget",
    )


_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
"""Tokens of thinking for each effort, for the models that count them. 1024 is the least that is taken."""


def reasoning_fields(effort: str, traits: Traits) -> tuple[Json, Json]:
    """Return what says `effort` to a model: additional request fields, and members of `outputConfig`."""
    plain = "low" if effort == "minimal" else effort
    fields: Json = {}
    match traits.reasoning:
        case "adaptive" if effort == "none":
            fields = {"thinking": {"type": "disabled"}}
        case "adaptive":
            fields = {"thinking": {"type": "adaptive"}, "output_config": {"effort": plain}}
        case "budget" if effort in _BUDGETS:
            fields = {"thinking": {"type": "enabled", "budget_tokens": _BUDGETS[effort]}}
        case "reasoning_effort" | "reasoning_config" as name if effort != "none":
            fields = {name: plain}
        case "nova" if effort == "none":
            fields = {"reasoningConfig": {"type": "disabled"}}
        case "nova":
            fields = {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": plain}}
        case "effort" if effort != "none":
            return {}, {"effort": plain}
        case _:
            pass
    return fields, {}


def top_k_fields(top_k: Any, traits: Traits) -> Json:
    """Return the additional request fields that say `top_k`."""
    return {"inferenceConfig": {"topK": top_k}} if traits.reasoning == "nova" else {"top_k": top_k}
