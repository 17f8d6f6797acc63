from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ostinato.errors import ConfigurationError
from ostinato.pricing import (
    completion_cost,
    cost_per_token,
    get_model_info,
    register_model,
    supports_prompt_caching,
)


@pytest.mark.parametrize(
    ("model", "supported"),
    [
        ("gpt-4o", True),
        ("openai/gpt-4o", True),
        ("azure/gpt-4o", True),
        ("anthropic/claude-sonnet-4-5", True),
        ("bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("bedrock/amazon.nova-pro-v1:0", True),
        ("vertex_ai/claude-sonnet-4-5", True),
        ("gemini/gemini-2.5-flash", True),
        ("deepseek/deepseek-chat", True),
        ("openrouter/anthropic/claude-sonnet-4.5", True),
        ("gpt-3.5-turbo", False),
        ("openai/gpt-3.5-turbo", False),
        ("gpt-4", False),
        ("text-embedding-3-small", False),
        ("claude-2.1", False),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", False),
        ("groq/llama-3.3-70b-versatile", False),
        ("bedrock/meta.llama3-3-70b-instruct-v1:0", False),
        ("foo/bar", False),
        ("", False),
    ],
)
def test_a_model_caches_prompts_or_does_not(model: str, supported: bool) -> None:
    assert supports_prompt_caching(model) is supported
    assert supports_prompt_caching(model=model) is supported


def test_the_provider_may_be_given_apart() -> None:
    assert supports_prompt_caching("gpt-4o", custom_llm_provider="azure")
    assert not supports_prompt_caching("gpt-4o", custom_llm_provider="groq")


def test_what_is_known_of_a_model_is_told_under_familiar_names() -> None:
    info = get_model_info("anthropic/claude-opus-4-7")

    assert info["litellm_provider"] == "anthropic"
    assert info["mode"] == "chat"
    assert (info["max_input_tokens"], info["max_output_tokens"], info["max_tokens"]) == (1_000_000, 128_000, 128_000)
    assert info["prompt_cache_min_tokens"] == 2048
    assert info["input_cost_per_token"] == 5e-06
    assert info["output_cost_per_token"] == 2.5e-05
    assert info["cache_read_input_token_cost"] == 5e-07
    assert info["cache_creation_input_token_cost"] == 6.25e-06
    assert info["cache_creation_input_token_cost_above_1hr"] == 1e-05
    assert info["input_cost_per_audio_token"] is None
    assert info["supports_prompt_caching"] is True


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-haiku-4-5", 4096),
        ("claude-opus-5-5", 512),
        ("claude-sonnet-4-5", 1024),
        ("bedrock/us.anthropic.claude-opus-4-7", 4096),
        ("bedrock/us.anthropic.claude-opus-4-8", 1024),
        ("gpt-4o", 1024),
        ("gpt-5.6", 1024),
        ("gpt-5.5", None),
        ("deepseek-chat", 64),
        ("gpt-3.5-turbo", None),
    ],
)
def test_the_smallest_prefix_that_is_cached_is_known_or_not(model: str, minimum: int | None) -> None:
    assert get_model_info(model)["prompt_cache_min_tokens"] == minimum


def test_bands_and_tiers_are_told_too() -> None:
    info = get_model_info("gpt-5.6")

    assert info["input_cost_per_token_above_272k_tokens"] == 8e-06
    assert info["cache_read_input_token_cost_priority"] == 8e-07
    assert info["cache_creation_input_token_cost_above_12hr"] == 1e-05
    assert info["output_cost_per_token_batches"] == 1e-05
    assert get_model_info("xai/grok-4.3")["input_cost_per_token_above_200k_tokens"] == 2.5e-06


def test_prices_are_told_as_of_a_moment() -> None:
    assert get_model_info("o3", at=datetime(2025, 6, 9, tzinfo=UTC))["input_cost_per_token"] == 1e-05
    assert get_model_info("o3", at=datetime(2025, 6, 10, tzinfo=UTC))["input_cost_per_token"] == 2e-06


def test_an_embedding_model_says_so() -> None:
    assert get_model_info("text-embedding-3-small")["mode"] == "embedding"


def test_a_model_without_a_price_for_tokens_still_has_facts() -> None:
    assert get_model_info("whisper-1")["input_cost_per_token"] is None


@pytest.mark.parametrize(("model", "near"), [("gpt-4oo", "gpt-4o"), ("anthropc/claude-opus-5", "claude-opus-5")])
def test_an_unknown_model_is_an_error_that_names_near_ones(model: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=near):
        get_model_info(model)


def test_a_provider_by_another_name_is_searched_for_near_ones() -> None:
    with pytest.raises(ConfigurationError, match="nova-pro"):
        get_model_info("amazon.nova-por-v1:0", custom_llm_provider="aws")


def test_a_registered_model_is_priced() -> None:
    register_model(
        {
            "openai_compatible/house-model": {
                "input_cost_per_token": 1e-06,
                "output_cost_per_token": 2e-06,
                "cache_read_input_token_cost": 1e-07,
                "max_input_tokens": 32_000,
                "max_tokens": 4096,
                "supports_vision": True,
            }
        }
    )
    usage = {"prompt_tokens": 2000, "prompt_tokens_details": {"cached_tokens": 1500}, "completion_tokens": 50}

    assert completion_cost({"model": "house-model", "usage": usage}, model="openai_compatible/house-model") == 0.00075
    info = get_model_info("openai_compatible/house-model")
    assert (info["max_input_tokens"], info["max_tokens"], info["supports_vision"]) == (32_000, 4096, True)
    assert supports_prompt_caching("openai_compatible/house-model")


def test_a_model_registered_without_a_provider_is_anybody_s() -> None:
    register_model({"house-model": {"input_cost_per_token": 1e-06, "output_cost_per_token": 0}})

    assert cost_per_token("house-model", 10) == (1e-05, 0.0)
    assert cost_per_token("house-model", 10, custom_llm_provider="groq") == (1e-05, 0.0)


def test_registered_prices_replace_all_of_the_table_s() -> None:
    register_model({"gpt-4o": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}})

    assert cost_per_token("openai/gpt-4o", 1000, 0, 1000) == (0.001, 0.0)
    assert get_model_info("gpt-4o")["cache_read_input_token_cost"] is None
    assert get_model_info("gpt-4o")["max_output_tokens"] == 16_384


def test_registered_facts_leave_the_prices() -> None:
    register_model({"gpt-3.5-turbo": {"max_output_tokens": 1000, "supports_prompt_caching": True}})

    assert cost_per_token("gpt-3.5-turbo", 1_000_000) == (0.5, 0.0)
    assert supports_prompt_caching("gpt-3.5-turbo")
    register_model({"gpt-4o": {"litellm_provider": "openai", "supports_prompt_caching": False}})
    assert not supports_prompt_caching("openai/gpt-4o")


def test_an_embedding_model_needs_no_output_price() -> None:
    register_model({"house-vectors": {"mode": "embedding", "input_cost_per_token": 1e-08}})

    assert cost_per_token("house-vectors", 100) == (1e-06, 0.0)


@pytest.mark.parametrize(
    ("fields", "near"),
    [
        ({"imput_cost_per_token": 1}, "input_cost_per_token"),
        ({"supports_prompt_cashing": True}, "supports_prompt_caching"),
        ({"max_token": 1}, "max_tokens"),
        ({"litellm_providor": "x"}, "litellm_provider"),
    ],
)
def test_an_unknown_field_is_an_error_that_names_the_nearest(fields: dict[str, Any], near: str) -> None:
    with pytest.raises(ConfigurationError, match=near):
        register_model({"good": {"max_tokens": 1}, "bad": fields})
    with pytest.raises(ConfigurationError):
        get_model_info("good")
