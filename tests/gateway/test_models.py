from __future__ import annotations

from typing import Any

import pytest

from ostinato.errors import ConfigurationError, NotFoundError
from ostinato.gateway.models import MAX_FOUND, Alias, Deployment, Models


def deployment(model: str = "openai/gpt-4o", **params: Any) -> Deployment:
    return Deployment("d", model, params)


def digest(*deployments: Deployment) -> str:
    return Alias.of("name", deployments).digest


def test_the_exact_name_goes_before_wildcards_and_the_longer_wildcard_before_the_shorter() -> None:
    models = Models(
        {
            "*": [deployment("*")],
            "openai/*": [deployment("openai/*")],
            "openai/gpt-*": [deployment("azure/gpt-*")],
            "openai/gpt-4o": [deployment("openai/gpt-4o-mini")],
        }
    )
    found = {
        name: models.find(name).deployments[0].model for name in ("openai/gpt-4o", "openai/gpt-5", "openai/o3", "xai/x")
    }

    assert found == {
        "openai/gpt-4o": "openai/gpt-4o-mini",
        "openai/gpt-5": "azure/gpt-5",
        "openai/o3": "openai/o3",
        "xai/x": "xai/x",
    }


def test_what_a_wildcard_matches_stands_where_the_model_has_its_star() -> None:
    models = Models({"mine-*-fast": [deployment("groq/*")]})

    assert models.find("mine-llama-3-fast").deployments[0].model == "groq/llama-3"


@pytest.mark.parametrize("name", ["mine--fast", "mine-fast", "mine-x", ""])
def test_a_star_stands_for_some_text(name: str) -> None:
    with pytest.raises(NotFoundError):
        Models({"mine-*-fast": [deployment("groq/*")]}).find(name)


def test_a_bare_name_is_looked_for_behind_its_provider() -> None:
    models = Models({"anthropic/*": [deployment("anthropic/*")], "openai/gpt-4o": [deployment()]})

    assert models.find("claude-sonnet-4-5").deployments[0].model == "anthropic/claude-sonnet-4-5"
    assert models.find("gpt-4o").name == "openai/gpt-4o"


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    models = Models({"gpt-4o": [deployment()], "claude": [deployment()]})

    with pytest.raises(NotFoundError, match="did you mean 'gpt-4o'") as caught:
        models.find("gpt-4p")
    assert (caught.value.status_code, caught.value.code) == (404, "model_not_found")
    with pytest.raises(NotFoundError, match="there are: 'claude', 'gpt-4o'"):
        models.find("something else")


def test_a_name_as_long_as_a_book_is_not_looked_for() -> None:
    with pytest.raises(NotFoundError) as caught:
        Models({"*": [deployment("*")]}).find("x" * 100_000)

    assert len(str(caught.value)) < 1000


def test_names_that_clients_make_up_do_not_fill_the_memory() -> None:
    models = Models({"*": [deployment("*")]})
    for number in range(MAX_FOUND + 10):
        models.find(f"openai/{number}")

    assert len(models._found) <= MAX_FOUND


def test_another_name_for_a_model_is_the_same_alias() -> None:
    models = Models({"gpt": [deployment()]}, renamed={"gpt-4": "gpt"})

    assert models.find("gpt-4") is models.find("gpt")
    assert models.names() == ["gpt", "gpt-4"]


def test_a_wildcard_lists_the_known_models_under_the_names_that_clients_write() -> None:
    names = Models({"ours/*": [deployment("anthropic/*")], "gpt": [deployment()]}).names()

    assert names[0] == "gpt"
    assert "ours/claude-sonnet-4-5" in names
    assert all(name == "gpt" or name.startswith("ours/claude-") for name in names)


def test_two_stars_or_nobody_to_ask_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one '\\*', not 2"):
        Models({"*/*": [deployment("*")]})
    with pytest.raises(ConfigurationError, match="weight above 0"):
        Models({"gpt": [Deployment("d", "openai/gpt-4o", weight=0)]})


@pytest.mark.parametrize(
    "other",
    [
        deployment(api_key="another"),
        deployment(timeout=3, num_retries=0),
        deployment(input_cost_per_token=1, cache_control_injection_points=[{"location": "message"}]),
        deployment(extra_headers={"Authorization": "Bearer another"}),
        Deployment("another id", "openai/gpt-4o", weight=3, order=1),
    ],
    ids=["key", "patience", "prices and marks", "a secret header", "id and weight"],
)
def test_what_changes_no_answer_changes_no_digest(other: Deployment) -> None:
    assert digest(other) == digest(deployment())


@pytest.mark.parametrize(
    "other",
    [
        deployment("openai/gpt-4o-mini"),
        deployment("azure/gpt-4o"),
        deployment(api_base="http://127.0.0.1:1/v1"),
        deployment(temperature=0.5),
        deployment(extra_body={"num_ctx": 4096}),
        deployment(extra_headers={"anthropic-beta": "context-1m"}),
    ],
    ids=["model", "provider", "address", "parameter", "body", "header"],
)
def test_another_model_address_or_default_is_another_digest(other: Deployment) -> None:
    assert digest(other) != digest(deployment())


def test_deployments_that_are_alike_share_a_digest_and_their_order_does_not_count() -> None:
    one, other = deployment(api_base="http://127.0.0.1:1"), deployment(api_base="http://127.0.0.1:2")

    assert digest(one, one, other) == digest(other, one)
    assert digest(one) != digest(one, other)


def test_behind_a_named_base_model_deployments_come_and_go_without_another_digest() -> None:
    here, there = (
        Deployment(base, "vllm/llama", {"api_base": base}, info={"base_model": "llama-3-70b"})
        for base in ("http://127.0.0.1:1", "http://127.0.0.1:2")
    )

    assert digest(here) == digest(here, there)


def test_a_deployment_shows_no_secret() -> None:
    shown = repr(deployment(api_key="sk-planted", aws_secret_access_key="planted", extra_headers={"x-key": "planted"}))

    assert "planted" not in shown
