"""What the emulator knows of the models behind Bedrock: their own names, and how they cache prompts."""

from __future__ import annotations

import re

from ostinato.testing.emulator.anthropic import models as claude
from ostinato.testing.emulator.anthropic.prompt import CacheRule

_CLAUDE = re.compile(r"anthropic\.(claude-[a-z0-9.-]+?)(?:-v\d+)?(?::[\w:]*)?$")
_PROFILE = re.compile(r"^(?:us|eu|apac|jp|au|ca|global|us-gov)\.")
_MINIMUMS = {("opus", 4, 7): 4096, ("mythos", 0, 0): 4096, ("sonnet", 3, 7): 1024}
"""Where Bedrock's minimum differs from Anthropic's own.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html (read 2026-11-22).
"""
_NOVA = CacheRule(minimum=1000, look_back=1)
"""Nova reads what ends at a checkpoint and nothing before it: the look-back is for Claude alone."""


def model_name(model_id: str) -> str:
    """Return the name that a Claude model has in an answer; for any other, and for an opaque ARN, its id."""
    found = _CLAUDE.search(model_id)
    return found[1] if found else model_id


def is_claude(model_id: str) -> bool:
    """Return whether Anthropic's body is what the model takes. An opaque ARN may lead to a Claude model."""
    return "anthropic.claude" in model_id or (model_id.startswith("arn:") and "foundation-model/" not in model_id)


def is_profile(model_id: str) -> bool:
    """Return whether the id names an inference profile, not the model itself."""
    return _PROFILE.match(model_id) is not None or ":inference-profile/" in model_id


def cache_rule(model_id: str) -> CacheRule | None:
    """Return how a model caches prompts; None when it does not."""
    if "amazon.nova" in model_id:
        return _NOVA
    if not is_claude(model_id):
        return None
    name = model_name(model_id)
    line, *number = claude.version(name)
    if line and number < [3, 5]:
        return None
    return CacheRule(_MINIMUMS.get(claude.version(name), claude.minimum(name)))
