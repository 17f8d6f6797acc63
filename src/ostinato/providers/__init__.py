"""Who answers: one row a vendor, and the rule that finds the row for a model's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ostinato.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Provider:
    """A vendor: where it listens, how it knows you, which wire it speaks."""

    name: str
    wire: str
    """The name of the wire: `openai_chat`, `anthropic`, `bedrock_converse`."""
    base_url: str | None
    """Where requests go unless told otherwise; None where only the caller can know."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, in order."""
    base_env: tuple[str, ...] = ()
    """Environment variables that may hold the base URL, in order."""
    auth: Literal["bearer", "x-api-key", "aws", "optional"] = "bearer"
    models: re.Pattern[str] | None = None
    """Which bare model names belong here."""


PROVIDERS: dict[str, Provider] = {
    row.name: row
    for row in (
        Provider(
            "openai",
            wire="openai_chat",
            base_url="https://api.openai.com/v1",
            key_env=("OPENAI_API_KEY",),
            base_env=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
            models=re.compile(r"(gpt-|chatgpt-|o\d|text-embedding-|ft:)"),
        ),
        Provider(
            "deepseek",
            wire="openai_chat",
            base_url="https://api.deepseek.com",
            key_env=("DEEPSEEK_API_KEY",),
            base_env=("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE"),
            models=re.compile(r"deepseek-"),
        ),
        Provider(
            "openai_compatible",
            wire="openai_chat",
            base_url=None,
            key_env=("OPENAI_COMPATIBLE_API_KEY",),
            base_env=("OPENAI_COMPATIBLE_BASE_URL", "OPENAI_COMPATIBLE_API_BASE"),
            auth="optional",
        ),
    )
}


def find_provider(model: object) -> tuple[Provider, str]:
    """Return the provider of `model` and the model's name without the provider's.

    Raises: ConfigurationError: no row matches; the message lists those there are.
    """
    if not isinstance(model, str) or not model:
        raise ConfigurationError(f"model must be a non-empty string such as 'openai/gpt-4o', not {model!r}")
    prefix, slash, rest = model.partition("/")
    row = PROVIDERS.get(prefix)
    if slash and row is not None and rest:
        return row, rest
    if not slash:
        for row in PROVIDERS.values():
            if row.models is not None and row.models.match(model):
                return row, model
    near = get_close_matches(prefix, PROVIDERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(
        f"no provider for model {model!r}{hint} Write provider/model with one of: {', '.join(sorted(PROVIDERS))}"
    )
