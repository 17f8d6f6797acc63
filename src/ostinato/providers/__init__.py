"""Who answers: one row a vendor, and the rule that finds the row for a model's name.

Addresses and variable names are the vendors' own, from their API references: OpenAI, Anthropic, DeepSeek,
https://console.groq.com/docs/openai, https://docs.mistral.ai/api, https://docs.together.ai/docs/openai-api-compatibility,
https://docs.fireworks.ai/tools-sdks/openai-compatibility, https://openrouter.ai/docs/quickstart, https://docs.x.ai/docs/api-reference,
https://docs.ollama.com/api/openai-compatibility, https://docs.vllm.ai/en/latest/serving/openai_compatible_server
(read 2026-11-22).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.providers.aws import BASE_ENV, REGION_ENV, TOKEN_ENV, door_of

Auth = Literal["bearer", "x-api-key", "api-key", "aws", "optional"]


class Provider(msgspec.Struct, frozen=True):
    """A vendor: where it listens, how it knows you, which wire it speaks."""

    name: str
    wire: str
    """The name of the wire: `openai_chat`, `anthropic`, `bedrock_converse` …"""
    base_url: str | None
    """Where requests go unless told otherwise; None where only the caller or the environment can know."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, in order."""
    base_env: tuple[str, ...] = ()
    """Environment variables that decide the address, in order."""
    auth: Auth = "bearer"
    models: re.Pattern[str] | None = None
    """Which bare model names belong here."""
    doors: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Other wires, by the prefix that asks for them: `openai/responses/gpt-5`."""


def _compatible(name: str, base_url: str | None, *prefixes: str, auth: Auth = "bearer") -> Provider:
    """Return the row of a vendor that speaks OpenAI's chat."""
    return Provider(
        name,
        wire="openai_chat",
        base_url=base_url,
        key_env=tuple(f"{prefix}_API_KEY" for prefix in prefixes),
        base_env=tuple(f"{prefix}_{name}" for prefix in prefixes for name in ("BASE_URL", "API_BASE")),
        auth=auth,
        doors={"responses": "openai_responses"},
    )


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
            doors={"responses": "openai_responses"},
        ),
        Provider(
            "anthropic",
            wire="anthropic",
            base_url="https://api.anthropic.com",
            key_env=("ANTHROPIC_API_KEY",),
            base_env=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
            auth="x-api-key",
            models=re.compile(r"claude-"),
        ),
        Provider(
            "bedrock",
            wire="bedrock_converse",
            base_url=None,
            key_env=(TOKEN_ENV,),
            base_env=(*BASE_ENV, *REGION_ENV),
            auth="aws",
            doors={"converse": "bedrock_converse", "invoke": "bedrock_invoke"},
        ),
        Provider(
            "deepseek",
            wire="openai_chat",
            base_url="https://api.deepseek.com",
            key_env=("DEEPSEEK_API_KEY",),
            base_env=("DEEPSEEK_BASE_URL", "DEEPSEEK_API_BASE"),
            models=re.compile(r"deepseek-"),
            doors={"responses": "openai_responses"},
        ),
        Provider(
            "azure",
            wire="openai_chat",
            base_url=None,
            key_env=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
            base_env=("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"),
            auth="api-key",
            doors={"responses": "openai_responses"},
        ),
        _compatible("groq", "https://api.groq.com/openai/v1", "GROQ"),
        _compatible("mistral", "https://api.mistral.ai/v1", "MISTRAL"),
        _compatible("together", "https://api.together.xyz/v1", "TOGETHER", "TOGETHERAI"),
        _compatible("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS"),
        _compatible("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER"),
        _compatible("xai", "https://api.x.ai/v1", "XAI"),
        _compatible("ollama", "http://127.0.0.1:11434/v1", "OLLAMA", auth="optional"),
        _compatible("vllm", None, "VLLM", "HOSTED_VLLM", auth="optional"),
        _compatible("openai_compatible", None, "OPENAI_COMPATIBLE", auth="optional"),
    )
}


class Found(msgspec.Struct, frozen=True):
    """What a model's name says."""

    provider: Provider
    name: str
    """The vendor's own name for the model."""
    wire: str
    region: str | None = None
    """The AWS region that the name asks for."""


def find_model(model: object) -> Found:
    """Return the provider of `model`, the vendor's name for it, and the wire to ask on.

    Raises: ConfigurationError: no row matches; the message lists those there are.
    """
    if not isinstance(model, str) or not model:
        raise ConfigurationError(f"model must be a non-empty string such as 'openai/gpt-4o', not {model!r}")
    prefix, slash, rest = model.partition("/")
    row = PROVIDERS.get(prefix)
    if slash and row is not None and rest:
        return _behind(row, rest)
    if not slash:
        for row in PROVIDERS.values():
            if row.models is not None and row.models.match(model):
                return Found(row, model, row.wire)
    from difflib import get_close_matches

    near = get_close_matches(prefix, PROVIDERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(
        f"no provider for model {model!r}{hint} Write provider/model with one of: {', '.join(sorted(PROVIDERS))}"
    )


def _behind(row: Provider, rest: str) -> Found:
    if row.auth == "aws":
        door = door_of(rest)
        return Found(row, door.model, row.doors[door.api], door.region)
    prefix, slash, name = rest.partition("/")
    if slash and name and prefix in row.doors:
        return Found(row, name, row.doors[prefix])
    return Found(row, rest, row.wire)
