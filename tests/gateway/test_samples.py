"""Several draws of one request through the gateway, each an entry of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator
from tests.gateway.serving import Serving, config_for

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def http(emulator: Emulator) -> Iterator[httpx2.Client]:
    with Serving(config_for(emulator)) as serving, httpx2.Client(base_url=serving.url) as client:
        yield client


def asked(http: httpx2.Client, path: str, **members: Any) -> httpx2.Response:
    answer = http.post(path, json=members)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("model", ["gpt", "claude", "converse", "responses"])
def test_k_samples_are_k_answers_that_are_repeated_and_no_vendor_hears_of_it(
    model: str, http: httpx2.Client, emulator: Emulator
) -> None:
    def draw(*indexes: int | None) -> list[str]:
        said: dict[str, Any] = {"model": model, "messages": HELLO, "temperature": 1}
        return [
            asked(http, "/v1/chat/completions", **said, **({} if index is None else {"sample_index": index}))
            .json()["choices"][0]["message"]["content"]
            for index in indexes
        ]  # fmt: skip

    drawn = draw(0, 1, 2, 3)

    assert len(set(drawn)) == len(emulator.calls) == 4
    assert draw(3, 2, 1, 0, None) == [*reversed(drawn), drawn[0]]
    assert len(emulator.calls) == 4
    assert all("sample_index" not in call.body for call in emulator.calls)


def test_a_sample_is_the_same_in_either_dialect(http: httpx2.Client, emulator: Emulator) -> None:
    said: dict[str, Any] = {"model": "claude", "messages": HELLO, "max_tokens": 50, "sample_index": 1}
    asked(http, "/v1/chat/completions", **said)

    assert asked(http, "/v1/messages", **said).headers["x-ostinato-cache"] == "hit"
    assert asked(http, "/v1/messages", **said | {"sample_index": 2}).headers["x-ostinato-cache"] == "miss"


def test_k_samples_of_an_embedding_are_asked_for_k_times(http: httpx2.Client, emulator: Emulator) -> None:
    found = [
        asked(http, "/v1/embeddings", model="embed", input="heron", sample_index=index).headers["x-ostinato-cache"]
        for index in (0, 1, 0, 1)
    ]

    assert found == ["miss", "miss", "hit", "hit"]
    assert all("sample_index" not in call.body for call in emulator.calls)
