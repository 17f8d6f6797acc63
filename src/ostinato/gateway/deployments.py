"""The list of models in a configuration file, read into deployments."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.client.route import _is_price
from ostinato.errors import ConfigurationError
from ostinato.gateway.models import Deployment
from ostinato.gateway.section import Section
from ostinato.providers import Found, find_model

Groups = dict[str, list[Deployment]]

_TEXTS = (
    "api_key", "api_version", "aws_access_key_id", "aws_profile_name", "aws_secret_access_key", "aws_session_token",
)  # fmt: skip
_SHAPES = ("cache_control_injection_points", "extra_body", "extra_headers", "extra_query")
_UNHEEDED = (
    "api_type", "budget_duration", "configurable_clientside_auth_params", "litellm_credential_name", "max_budget",
    "max_file_size_mb", "max_parallel_requests", "merge_reasoning_content_in_choices", "mock_response",
    "s3_bucket_name", "stream_timeout", "tags", "use_in_pass_through", "use_litellm_proxy",
)  # fmt: skip
"""Settings of a deployment that LiteLLM's users have and that are not carried out here."""
_UNHEEDED_PRICES = (
    "input_cost_per_character", "input_cost_per_image", "input_cost_per_pixel", "input_cost_per_query",
    "input_cost_per_request", "input_cost_per_second", "output_cost_per_character", "output_cost_per_image",
    "output_cost_per_pixel", "output_cost_per_second", "search_context_cost_per_query",
)  # fmt: skip
_OF_SERVERS = (
    "best_of", "dimensions", "encoding_format", "guided_choice", "guided_grammar", "guided_json", "guided_regex",
    "ignore_eos", "keep_alive", "length_penalty", "min_p", "min_tokens", "mirostat", "num_ctx", "num_predict",
    "repeat_penalty", "repetition_penalty", "safety_settings", "top_a", "top_k", "use_beam_search",
)  # fmt: skip
"""Parameters that no wire of ours names and that servers behind OpenAI's chat take."""


def read_models(root: Section, notes: list[str], usual: Mapping[str, Any]) -> Groups:
    """Return the deployments of `model_list` by the name that clients write.

    What is not carried out goes to `notes`; `usual` are the settings of a deployment that says nothing itself.

    Raises: ConfigurationError: something is wrong; the message names file, line and the nearest known name.
    """
    groups: Groups = {}
    for item in root.sections("model_list"):
        name = item.text("model_name")
        if not name:
            raise item.wrong("a model needs a model_name: the name that clients write")
        group = groups.setdefault(name, [])
        group.append(_told_apart(_Item(item, notes, usual).deployment(name), group))
    return groups


def _told_apart(deployment: Deployment, group: list[Deployment]) -> Deployment:
    """Return a deployment with an id of its own: the same one with two keys is two."""
    taken = {other.id for other in group}
    number = 1
    while (own := deployment.id if number == 1 else f"{deployment.id}-{number}") in taken:
        number += 1
    return msgspec.structs.replace(deployment, id=own)


class _Item:
    """One item of `model_list`."""

    def __init__(self, item: Section, notes: list[str], usual: Mapping[str, Any]) -> None:
        if "litellm_params" in item and "params" in item:
            raise item.wrong("litellm_params and params are one setting; keep one")
        self._item = item
        self._params = item.section("params" if "params" in item else "litellm_params")
        self._info = item.section("model_info")
        self._notes = notes
        self._usual = usual

    def deployment(self, name: str) -> Deployment:
        """Return the deployment that the item describes."""
        section = self._params
        model = self._model(name)
        found = self._found(name, model)
        params = self._way(found)
        if found is not None and found.provider.base_url is None and found.provider.auth != "aws":
            self._require_base(found, params)
        weight, order = self._weight(), section.whole("order") or 0
        own, info = self._info.text("id"), self._info.rest()
        params |= self._prices(info, model)
        self._notes += section.unheeded(*_UNHEEDED, *_UNHEEDED_PRICES)
        params |= self._defaults()
        self._item.end()
        made = Deployment("", model, params, weight, order, info)
        return msgspec.structs.replace(made, id=own or _id_of(name, made))

    def _model(self, name: str) -> str:
        section = self._params
        model, vendor = section.text("model"), section.text("custom_llm_provider")
        if not model:
            raise section.wrong(f"model {name!r} needs litellm_params with a model, such as openai/gpt-4o")
        return f"{vendor}/{model}" if vendor and not model.startswith(f"{vendor}/") else model

    def _found(self, name: str, model: str) -> Found | None:
        """Return what the model's name says; None where only a client says it."""
        if "*" in model and "*" not in name:
            raise self._params.wrong(f"no '*' in {name!r} says what stands for the one in {model!r}")
        try:
            return None if model == "*" else find_model(model)
        except ConfigurationError as error:
            raise self._params.wrong(error.message) from error

    def _way(self, found: Found | None) -> dict[str, Any]:
        """Return where the deployment is and how it is let in there."""
        section = self._params
        given: dict[str, Any] = {name: section.text(name) for name in _TEXTS}
        # Where the environment says it, the name points elsewhere when the environment does.
        given["api_base"] = section.text("api_base", "base_url", "aws_bedrock_runtime_endpoint") or self._base_of(found)
        given["aws_region_name"] = section.text("aws_region_name", "region_name")
        given["timeout"] = section.number("timeout", "request_timeout", least=0.001)
        given["num_retries"] = section.whole("num_retries", "max_retries")
        given["drop_params"] = section.flag("drop_params")
        given |= {name: section.plain(name) for name in _SHAPES}
        organization, headers = section.text("organization"), section.plain("headers")
        if organization or headers:
            of_openai = {"openai-organization": organization} if organization else {}
            given["extra_headers"] = {**of_openai, **(headers or {}), **(given["extra_headers"] or {})}
        return {**self._usual, **{name: value for name, value in given.items() if value is not None}}

    def _require_base(self, found: Found, params: Mapping[str, Any]) -> None:
        if "api_base" not in params:
            names = " or ".join(found.provider.base_env)
            raise self._params.wrong(f"provider {found.provider.name!r} needs an api_base here, or {names}")

    def _base_of(self, found: Found | None) -> str | None:
        if found is None or found.provider.auth == "aws":
            return None
        environ = self._item.file.environ
        return next((environ[name] for name in found.provider.base_env if environ.get(name)), None)

    def _weight(self) -> float:
        """Return the share of the calls: the weight, else what the limits say of it, as LiteLLM's shuffle does."""
        given = [self._params.number(name) for name in ("weight", "rpm", "tpm")]
        return next((weight for weight in given if weight is not None), 1.0)

    def _prices(self, info: dict[str, Any], model: str) -> dict[str, Any]:
        """Take the prices that the item names; half a set is completed from the table of prices."""
        costs = {name: info.pop(name) for name in list(info) if "_cost" in name}
        self._notes += [
            f"{self._info.file.name}:{self._info.line}: {name}" for name in costs if name in _UNHEEDED_PRICES
        ]
        costs = {name: value for name, value in costs.items() if name not in _UNHEEDED_PRICES}
        costs |= {name: self._params.plain(name) for name in self._params.left if _is_price(name)}
        costs = {name: value for name, value in costs.items() if value is not None}
        base_model = info.get("base_model")
        if not costs and not base_model:
            return {}
        from ostinato.pricing import Prices, get_model_info

        if not {"input_cost_per_token", "output_cost_per_token"} <= costs.keys():
            listed: dict[str, Any] = {"output_cost_per_token": 0} if info.get("mode") == "embedding" else {}
            try:
                listed |= get_model_info(str(base_model or model))
            except ConfigurationError:
                pass  # an unknown model has the prices that are named here, or none
            costs = {name: value for name, value in listed.items() if _is_price(name) and value is not None} | costs
        try:
            if costs:
                Prices.of(costs)
        except ConfigurationError as error:
            raise self._params.wrong(error.message) from error
        return costs

    def _defaults(self) -> dict[str, Any]:
        """Take the parameters that calls get unless they say otherwise.

        Raises: ConfigurationError: something is left that is none.
        """
        section = self._params
        known = _parameters() if section.left else set()
        given = {name: section.plain(name) for name in section.left if name in known}
        section.end(known, " What only your server knows goes into extra_body")
        return {name: value for name, value in given.items() if value is not None}


def _parameters() -> set[str]:
    """Return the names of all parameters that calls may have."""
    from ostinato.pricing.names import KINDS
    from ostinato.wire.anthropic import settings as anthropic
    from ostinato.wire.openai_chat.request import PARAMS
    from ostinato.wire.openai_responses import settings as responses

    named = PARAMS | anthropic.CARRIED | anthropic.MAPPED | responses.CARRIED | responses.MAPPED
    return {*named, *_OF_SERVERS, *KINDS, "prompt_caching"}


def _id_of(name: str, deployment: Deployment) -> str:
    shown = {key: str(value) for key, value in deployment.shown_params.items()}
    return hashlib.sha256(msgspec.json.encode([name, deployment.model, shown], order="deterministic")).hexdigest()[:16]
