"""What a gateway says of itself to whoever runs it: its models, their prices, and how their deployments do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ostinato.errors import ConfigurationError, NotFoundError
from ostinato.gateway.models import Deployment, Models
from ostinato.gateway.router import Health
from ostinato.providers import find_model

Json = dict[str, Any]

LISTED_SINCE = 1677610602
"""What `created` says of every model: LiteLLM's clients expect a number, and nobody knows a date."""
_SHOWN = ("model", "api_base", "api_version", "aws_region_name", "timeout", "num_retries")
_USER = re.compile(r"(?<=://)[^/?#]*@")


def list_models(models: Models) -> Json:
    """Return the models as OpenAI lists them, in the shape that LiteLLM's clients know (`GET /v1/models`)."""
    return {"object": "list", "data": [_listed(name, models) for name in models.names()]}


def one_model(models: Models, name: str) -> Json:
    """Return one model as it is listed. Raises NotFoundError: there is none."""
    models.find(name)
    return _listed(name, models)


def _listed(name: str, models: Models) -> Json:
    deployment = models.find(name).deployments[0]
    facts = _facts(deployment)
    listed: Json = {"id": name, "object": "model", "created": LISTED_SINCE, "owned_by": _provider(deployment)}
    shown = ("mode", "max_input_tokens", "max_output_tokens")
    return listed | {fact: facts[fact] for fact in shown if facts.get(fact) is not None}


def model_info(models: Models, model_id: str | None = None) -> Json:
    """Return every deployment with its facts and prices (`GET /v1/model/info`), or the one with an id.

    A wildcard stands for the known models behind it. Nothing secret is in it.

    Raises: NotFoundError: no deployment has the id.
    """
    rows = [
        _informed(name, deployment)
        for name, deployment in _everyone(models)
        if model_id is None or deployment.id == model_id
    ]
    if model_id is not None and not rows:
        raise NotFoundError(f"there is no deployment with the id {model_id[:64]!r} here", code="model_not_found")
    return {"data": rows}


def _everyone(models: Models) -> Iterator[tuple[str, Deployment]]:
    for name in models.names():
        for deployment in models.find(name).deployments:
            yield name, deployment


def _informed(name: str, deployment: Deployment) -> Json:
    params = {"model": deployment.model, **deployment.params}
    shown = {each: params[each] for each in _SHOWN if params.get(each) is not None}
    if "api_base" in shown:
        shown["api_base"] = _USER.sub("***@", str(shown["api_base"]))
    info = {"id": deployment.id, "db_model": False, **_facts(deployment)}
    return {"model_name": name, "litellm_params": shown, "model_info": info}


def _facts(deployment: Deployment) -> Json:
    """Return what is known of a deployment's model; what the configuration says goes before the table."""
    from ostinato.pricing.models import get_model_info
    from ostinato.pricing.names import is_price

    named = deployment.info.get("base_model")
    try:
        known = get_model_info(str(named or deployment.model))
    except ConfigurationError:
        known = {"key": deployment.model, "litellm_provider": _provider(deployment), "supports_prompt_caching": False}
    own = {each: float(value) for each, value in deployment.params.items() if "_cost" in each and is_price(each)}
    if own:
        known = {each: None if is_price(each) else value for each, value in known.items()} | own
    return {**known, **{each: value for each, value in deployment.info.items() if value is not None}}


def _provider(deployment: Deployment) -> str:
    try:
        return find_model(deployment.model).provider.name
    except ConfigurationError:
        return deployment.model.partition("/")[0]


def health(models: Models, states: Health) -> Json:
    """Return which deployments answer and which rest (`GET /health`), as this worker saw it.

    Nobody is asked for it: what the last calls came to is known, and costs nothing.
    """
    well: list[Json] = []
    ill: list[Json] = []
    for name, group in models.groups():
        for deployment in group:
            row: Json = {"model": deployment.model, "model_name": name, "id": deployment.id}
            state = states.states.get(deployment.id)
            if state is not None:
                row |= {"answers": state.answers, "failures": state.failures}
            if state is not None and state.last_error is not None:
                row["error"] = state.last_error
                ill.append(row)
            else:
                well.append(row)
    return {
        "healthy_endpoints": well,
        "unhealthy_endpoints": ill,
        "healthy_count": len(well),
        "unhealthy_count": len(ill),
    }


def readiness(store_errors: int | None, problem: str | None = None) -> Json:
    """Return that requests are taken (`GET /health/readiness`), and how often the cache's store failed.

    A store that fails is no reason to send nobody here: calls go on without it. None: there is no cache. `problem` is
    that of the books; what it is, is not told to strangers.
    """
    told: Json = {"status": "healthy", "cache": None if store_errors is None else {"store_errors": store_errors}}
    return told if problem is None else {**told, "books": "cannot be used"}
