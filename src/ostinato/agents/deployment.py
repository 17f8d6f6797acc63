"""A configuration of AutoGen's, read as a call of ours: which model, where, let in by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.providers import PROVIDERS, find_model

OWN = frozenset(
    {
        "agent", "allow_format_str_template", "api_rate_limit", "api_type", "cache", "cache_path_root", "cache_seed",
        "config_list", "context", "filter_func", "model_client_cls", "price", "sample_index", "tags",
    }
)  # fmt: skip
"""What a configuration or a call says to us, and no vendor ever sees."""

SECRETS = frozenset(
    {
        "api_key", "aws_access_key", "aws_access_key_id", "aws_secret_access_key", "aws_secret_key",
        "aws_session_token", "azure_ad_token", "credentials",
    }
)  # fmt: skip
"""What never stands in a key or in what is printed."""

_REFUSED = {
    "http_client": "requests go over one pool of connections of ours; set base_url, timeout or the proxy variables",
    "azure_ad_token": "pass the deployment's api_key",
    "azure_ad_token_provider": "pass the deployment's api_key",
    "prompt": "text completions are not supported; pass messages",
}
_RENAMED = {
    "base_url": "api_base",
    "azure_endpoint": "api_base",
    "max_retries": "num_retries",
    "default_query": "extra_query",
    "aws_access_key": "aws_access_key_id",
    "aws_secret_key": "aws_secret_access_key",
    "aws_region": "aws_region_name",
}
"""AutoGen's names of settings that `completion` knows by another."""

_API_TYPES = {"open_ai": "openai", "azure_openai": "azure"}
_ACCOUNT_HEADERS = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}


class Deployment(msgspec.Struct, frozen=True):
    """Where the calls of one configuration go."""

    model: str
    """`provider/name`."""
    settings: dict[str, Any]
    """Keywords of `completion` that hold for every call."""
    names_tools: bool = False
    """Whether the vendor wants a tool declared wherever the conversation speaks of it, also to who may not call it.

    Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-22).
    """


def deployment_of(config: Mapping[str, Any]) -> Deployment:
    """Return what a configuration means: an entry of a `config_list`, with what the call adds.

    Raises: ConfigurationError: no model, an unknown provider, or a setting that cannot be kept.
    """
    for name, way_out in _REFUSED.items():
        if config.get(name) is not None:
            raise ConfigurationError(f"{name}= cannot be used here: {way_out}")
    settings: dict[str, Any] = {}
    headers: dict[str, str] = dict(config.get("extra_headers") or {})
    for name, value in config.items():
        if value is None or name in OWN or name in {"model", "messages", "extra_headers", "azure_deployment"}:
            continue
        if name in _ACCOUNT_HEADERS:
            headers[_ACCOUNT_HEADERS[name]] = value
        elif name == "default_headers":
            headers = {**value, **headers}
        else:
            settings[_RENAMED.get(name, name)] = value
    if headers:
        settings["extra_headers"] = headers
    if config.get("price") is not None:
        settings.update(_prices(config["price"]))
    model = _model(config, settings)
    if not model.startswith("azure/"):
        settings.pop("api_version", None)
    return Deployment(model, settings, names_tools=find_model(model).wire == "bedrock_converse")


def _model(config: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    name = config.get("model")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            "specify a non-empty 'model' either in 'llm_config' or in each config of 'config_list'"
        )
    api_type = config.get("api_type")
    if api_type is not None:
        provider = _API_TYPES.get(str(api_type).lower(), str(api_type).lower())
        if provider not in PROVIDERS:
            raise ConfigurationError(f"unknown api_type {api_type!r}; there are: {', '.join(sorted(PROVIDERS))}")
        name = config.get("azure_deployment") or name if provider == "azure" else name
        return name if name.startswith(f"{provider}/") else f"{provider}/{name}"
    if name.partition("/")[0] in PROVIDERS and "/" in name:
        return name
    if "api_base" in settings:
        return f"openai/{name}"
    try:
        return f"{find_model(name).provider.name}/{name}"
    except ConfigurationError:
        return f"openai/{name}"  # as AutoGen does with every model that it does not know


def _prices(price: object) -> dict[str, float]:
    """Return AutoGen's `[dollars per 1,000 prompt tokens, … completion tokens]` as prices of ours."""
    if not isinstance(price, list | tuple) or len(price) != 2:
        raise ConfigurationError(f"price must be [prompt_price_per_1k, completion_token_price_per_1k], not {price!r}")
    prompt, completion = price
    return {"input_cost_per_token": prompt / 1000, "output_cost_per_token": completion / 1000}
