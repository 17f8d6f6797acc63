"""What is of the wrong shape is the caller's error, and says so, by every door and for every vendor."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato import AsyncClient, Cache, Client
from ostinato.caching.key import Scope, request_key
from ostinato.client.request import chat_parts
from ostinato.client.way import Way, way_to
from ostinato.errors import BadRequestError, OstinatoError
from ostinato.gateway.models import Deployment
from ostinato.wire.dialects import find_dialect
from tests.mutations import BY_DIALECT, CHATS, EMBEDDINGS, OTHERS, mutated

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MODELS = [
    "openai/gpt-4o",
    "openai/gpt-5.6",
    "openai/responses/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "anthropic/claude-opus-4-8",
    f"bedrock/converse/{CLAUDE}",
    f"bedrock/invoke/{CLAUDE}",
    "bedrock/converse/amazon.nova-lite-v1:0",
    "deepseek/deepseek-chat",
    "openrouter/anthropic/claude-3.5-sonnet",
]


class Colour(Enum):
    RED = 1


PYTHON: list[Any] = [*OTHERS, float("nan"), b"x", (1,), {1: 2}, {1}, object(), object, Colour.RED, lambda: 0, "\ud800"]
"""What a program may hand in beside JSON."""


@pytest.mark.parametrize("name", BY_DIALECT)
def test_no_request_of_a_dialect_breaks_what_translates_it(name: str) -> None:
    dialect, client = find_dialect(name), AsyncClient()
    ways = [way_to(client, dialect, Deployment(model, model, {"api_key": "key"})) for model in MODELS]

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(ways), mutated(BY_DIALECT[name]))
    def any_request(way: Way, body: Any) -> None:
        with suppress(OstinatoError):
            request = way.request(body, {})
            way.route.wire.bypass(request.built.body)
            request_key(Scope(), "chat", chat_parts(request))
            request.outgoing(stream=False)
            request.outgoing(stream=True)

    any_request()


def test_no_argument_breaks_the_public_call() -> None:
    with Client(cache=Cache(type="memory", mode="replay")) as client:

        @settings(max_examples=400, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(MODELS), mutated(CHATS, PYTHON))
        def any_call(model: str, body: Any) -> None:
            body = {"messages": None, **body, "model": model, "api_key": "key"}
            with pytest.raises(OstinatoError):  # in replay nothing is sent: at best it was never recorded
                list(client.completion(**body))

        @settings(max_examples=100, suppress_health_check=list(HealthCheck))
        @given(mutated(EMBEDDINGS, PYTHON))
        def any_embedding(body: Any) -> None:
            with pytest.raises(OstinatoError):
                client.embedding(**{"input": None, **body, "model": "openai/text-embedding-3-small", "api_key": "key"})

        any_call()
        any_embedding()


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", f"bedrock/converse/{CLAUDE}"])
@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("hi", "messages must be a list"),
        ([1, 2], "messages[0]"),
        ([{"role": {}, "content": "x"}], "messages[0]"),
        ([{"role": "user", "content": [{"type": []}]}], "messages[0].content[0]"),
    ],
)
def test_an_error_says_where(model: str, messages: Any, says: str) -> None:
    with Client() as client, pytest.raises(BadRequestError) as caught:
        client.completion(model, messages, api_key="key")

    assert says in caught.value.message
