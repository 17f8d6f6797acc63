from __future__ import annotations

import json

import pytest

from ostinato.errors import InternalServerError, NotFoundError
from ostinato.gateway.config import read
from ostinato.gateway.operations import health, list_models, model_info, one_model, readiness
from ostinato.gateway.router import Router

MODELS = """
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-4o, api_key: sk-planted, api_base: "https://user:planted@vendor.invalid/v1"}
  - model_name: gpt
    litellm_params: {model: azure/ours, api_base: "https://a.invalid", extra_headers: {x-key: planted}}
    model_info: {base_model: openai/gpt-4o, mode: chat, id: the-second, max_input_tokens: 9}
  - model_name: own
    litellm_params: {model: vllm/llama, api_base: "http://127.0.0.1:1/v1"}
    model_info: {input_cost_per_token: 1.0e-06, output_cost_per_token: 2.0e-06}
  - model_name: "anthropic/*"
    litellm_params: {model: "anthropic/*"}
"""
CONFIG = read(MODELS, "c.yaml", {})


def test_models_are_listed_as_openai_s_clients_read_them() -> None:
    listed = list_models(CONFIG.models)
    by_name = {model["id"]: model for model in listed["data"]}

    assert listed["object"] == "list"
    assert by_name["gpt"] == {
        "id": "gpt", "object": "model", "created": 1677610602, "owned_by": "openai", "mode": "chat",
        "max_input_tokens": 128_000, "max_output_tokens": 16_384,
    }  # fmt: skip
    assert by_name["anthropic/claude-sonnet-4-5"]["owned_by"] == "anthropic"
    assert by_name["own"]["owned_by"] == "vllm"


def test_one_model_is_found_behind_a_wildcard_and_an_unknown_one_is_not() -> None:
    assert one_model(CONFIG.models, "anthropic/claude-of-tomorrow")["id"] == "anthropic/claude-of-tomorrow"
    with pytest.raises(NotFoundError):
        one_model(CONFIG.models, "nobody")


def test_model_info_has_the_facts_and_prices_of_every_deployment() -> None:
    rows = model_info(CONFIG.models)["data"]
    first, second, own = rows[:3]

    assert [row["model_name"] for row in rows[:3]] == ["gpt", "gpt", "own"]
    assert first["litellm_params"]["model"] == "openai/gpt-4o"
    assert first["model_info"]["supports_prompt_caching"] is True
    assert first["model_info"]["input_cost_per_token"] == 2.5e-06
    assert first["model_info"]["cache_read_input_token_cost"] == 1.25e-06
    assert first["model_info"]["db_model"] is False
    assert second["model_info"]["id"] == "the-second"
    assert second["model_info"]["max_input_tokens"] == 9
    assert second["model_info"]["input_cost_per_token"] == 2.5e-06
    assert own["model_info"]["supports_prompt_caching"] is False
    assert (own["model_info"]["input_cost_per_token"], own["model_info"]["output_cost_per_token"]) == (1e-06, 2e-06)
    assert any(row["model_name"] == "anthropic/claude-sonnet-4-5" for row in rows)


def test_model_info_of_one_deployment_is_asked_by_its_id() -> None:
    assert [row["model_info"]["id"] for row in model_info(CONFIG.models, "the-second")["data"]] == ["the-second"]
    with pytest.raises(NotFoundError, match="'nobody'"):
        model_info(CONFIG.models, "nobody")


def test_nothing_secret_is_told() -> None:
    told = json.dumps([model_info(CONFIG.models), list_models(CONFIG.models)])

    assert "planted" not in told
    assert "https://***@vendor.invalid/v1" in told


def test_health_tells_who_failed_and_asks_nobody() -> None:
    router = Router(CONFIG.routing)
    plan = router.plan(CONFIG.models.find("gpt"), b"prefix")
    failed = plan.deployment.id
    plan.ask()
    plan.failed(InternalServerError("down"))
    plan.ask()
    plan.answered()
    told = health(CONFIG.models, router.health)

    assert (told["healthy_count"], told["unhealthy_count"]) == (3, 1)
    assert [(row["id"], row["error"], row["failures"]) for row in told["unhealthy_endpoints"]] == [
        (failed, "InternalServerError", 1)
    ]
    assert {"anthropic/*", "own"} <= {row["model_name"] for row in told["healthy_endpoints"]}


def test_a_failing_store_is_told_and_turns_nobody_away() -> None:
    assert readiness(None) == {"status": "healthy", "cache": None}
    assert readiness(3) == {"status": "healthy", "cache": {"store_errors": 3}}
