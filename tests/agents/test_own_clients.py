"""Model clients of the user's own: asked, cached, replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ostinato.agents import OpenAIWrapper
from ostinato.agents.seeds import close_seed_caches
from ostinato.caching import Cache
from ostinato.errors import ReplayMissError
from tests.agents.casts import HELLO

Create = Callable[..., Any]


class Parrot:
    """A model client of the user's own."""

    asked: list[dict[str, Any]]

    def __init__(self, config: dict[str, Any], word: str = "polly") -> None:
        self.config = config
        self.word = word
        self.asked = []

    def create(self, params: dict[str, Any]) -> Any:
        self.asked.append(params)
        message = SimpleNamespace(content=f"{self.word} {len(self.asked)}", function_call=None)
        return SimpleNamespace(choices=[SimpleNamespace(message=message)], model="parrot")

    def message_retrieval(self, response: Any) -> list[Any]:
        return [choice.message.content for choice in response.choices]

    def cost(self, response: Any) -> float:
        response.cost = 0
        return 0

    @staticmethod
    def get_usage(response: Any) -> dict[str, Any]:
        return {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5, "model": response.model}


PARROT = {"model": "p", "model_client_cls": "Parrot", "n": 2, "api_key": "planted-secret-key"}


def test_client_of_one_s_own_answers_and_is_cached(create: Create, folder: Path) -> None:
    asked = OpenAIWrapper(config_list=[PARROT])
    asked.register_model_client(Parrot, word="lora")
    cold, warm = create(asked, messages=HELLO), create(asked, messages=HELLO)
    other = create(asked, messages=HELLO, n=3)
    parrot: Any = asked._entries[0].client
    close_seed_caches()

    assert asked.extract_text_or_completion_object(warm) == ["lora 1"]
    assert cold == warm
    assert other.choices[0].message.content == "lora 2"
    assert parrot.client.asked[0] == {"model": "p", "n": 2, "messages": HELLO}
    assert parrot.client.config["api_key"] == "planted-secret-key"
    assert asked.actual_usage_summary == {
        "total_cost": 1.0,
        "parrot": {"cost": 1.0, "prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6},
    }
    assert asked.total_usage_summary is not None
    assert asked.total_usage_summary["total_cost"] == 1.5
    assert all(b"planted-secret-key" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_client_of_one_s_own_is_asked_by_awaiting_where_it_can_be() -> None:
    class Awaited(Parrot):
        async def acreate(self, params: dict[str, Any]) -> Any:
            self.word = "awaited"
            return self.create(params)

    asked = OpenAIWrapper(config_list=[{"model": "p", "model_client_cls": "Awaited"}])
    asked.register_model_client(Awaited)

    answer = asyncio.run(asked.acreate(messages=HELLO))
    assert answer.choices[0].message.content == "awaited 1"


def test_client_of_one_s_own_replays_and_records(create: Create) -> None:
    store = Cache.memory().store
    asked = OpenAIWrapper(config_list=[PARROT])
    asked.register_model_client(Parrot)
    create(asked, messages=HELLO, cache=Cache(store=store, mode="record"))
    again = create(asked, messages=HELLO, cache=Cache(store=store, mode="record"))

    assert (again.cache_hit, again.choices[0].message.content) == (False, "polly 2")
    assert create(asked, messages=HELLO, cache=Cache(store=store, mode="replay")) == again
    with pytest.raises(ReplayMissError):
        create(asked, messages=HELLO, n=5, cache=Cache(store=store, mode="replay"))


def test_answer_of_a_client_of_one_s_own_that_is_no_json_is_passed_on(
    create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(Parrot):
        def create(self, params: dict[str, Any]) -> Any:
            answer = super().create(params)
            answer.handle = object()
            return answer

    asked = OpenAIWrapper(config_list=[{"model": "p", "model_client_cls": "Odd"}])
    asked.register_model_client(Odd)
    texts = [create(asked, messages=HELLO).choices[0].message.content for _ in range(2)]

    assert texts == ["polly 1", "polly 2"]
    assert len(caplog.records) == 1


def test_client_that_nobody_named_or_registered_is_an_error(create: Create) -> None:
    asked = OpenAIWrapper(config_list=[{"model": "gpt-4o"}, PARROT])

    with pytest.raises(RuntimeError, match="Parrot"):
        create(asked, messages=HELLO)
    with pytest.raises(ValueError, match="was not found in the config_list"):
        asked.register_model_client(SimpleNamespace)
    asked.register_model_client(Parrot)
    with pytest.raises(ValueError, match="is registered already"):
        asked.register_model_client(Parrot)
