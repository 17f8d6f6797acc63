"""`Cache(scope="credential")`: nobody is answered with what another account paid."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato import Cache, completion, embedding
from ostinato.errors import AuthenticationError, ConfigurationError
from ostinato.testing.emulator import Emulator
from tests.client.calls import HELLO, MODEL

HERON = "openai/text-embedding-3-small"


@pytest.fixture
def cache() -> Cache:
    return Cache.memory(scope="credential")


def test_entries_are_kept_apart_by_key_organisation_and_project(ask: Any, cache: Cache) -> None:
    accounts: list[dict[str, Any]] = [
        {},
        {"api_key": "planted-key-of-another"},
        {"extra_headers": {"OpenAI-Organization": "org-1"}},
        {"extra_headers": {"OpenAI-Project": "org-1"}},
        {"extra_headers": {"openai-organization": "org-1", "openai-project": "proj-1"}},
        {"extra_headers": {"Authorization": "Bearer planted-key"}},
    ]
    with cache:
        assert [ask(MODEL, HELLO, **account).cache_hit for account in accounts] == [False] * 6
        assert [ask(MODEL, HELLO, **account).cache_hit for account in accounts] == [True] * 6
        assert ask(MODEL, HELLO, api_key="planted-key").cache_hit  # that of the environment


def test_key_of_the_environment_counts_as_it_is_now(ask: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    with cache:
        ask(MODEL, HELLO)
        monkeypatch.setenv("OPENAI_API_KEY", "planted-key-of-another")
        assert not ask(MODEL, HELLO).cache_hit
        monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
        assert ask(MODEL, HELLO).cache_hit


def test_embeddings_and_keys_of_ones_own_are_kept_apart_too(cache: Cache) -> None:
    with cache:
        embedding(HERON, input=["heron"])
        assert not embedding(HERON, input=["heron"], api_key="planted-key-of-another").cache_hit
        assert embedding(HERON, input=["heron"]).cache_hit
        cache.get_cache_key = lambda **_: "the same"
        completion(MODEL, HELLO)
        assert not completion(MODEL, HELLO, api_key="planted-key-of-another").cache_hit
        assert completion(MODEL, HELLO).cache_hit


def test_bedrock_counts_its_token_or_the_name_of_its_key(
    ask: Any, cache: Cache, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    model = "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0"
    keys = [{"aws_access_key_id": name, "aws_secret_access_key": "planted-secret"} for name in ("AKIA1", "AKIA2")]
    accounts: list[dict[str, Any]] = [*keys, {"api_key": "planted-token"}]
    with cache:
        assert [ask(model, HELLO, **account).cache_hit for account in accounts] == [False] * 3
        assert [ask(model, HELLO, **account).cache_hit for account in accounts] == [True] * 3


def test_clearing_a_cache_clears_all_accounts(ask: Any, cache: Cache) -> None:
    with cache:
        for key in ("planted-key-1", "planted-key-2"):
            ask(MODEL, HELLO, api_key=key)

        assert cache.clear() == 2


def test_whoever_pays_nothing_is_known_of_has_no_entries(
    ask: Any, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with cache, pytest.raises(AuthenticationError):
        ask(MODEL, HELLO)


def test_credential_is_in_no_key_and_no_entry(ask: Any, cache: Cache) -> None:
    with cache:
        ask(MODEL, HELLO)
        stored = b"".join(key + blob for key, blob in cache.store.scan())

    assert b"planted-key" not in stored


def test_ordinary_cache_shares_between_accounts(ask: Any) -> None:
    with Cache.memory():
        ask(MODEL, HELLO)
        assert ask(MODEL, HELLO, api_key="planted-key-of-another").cache_hit


def test_scope_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="credential"):
        Cache.memory(scope="tenant")
