"""One entry for one prompt, whoever asks, in whatever dialect, streamed or not."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from ostinato.testing.emulator import Emulator

HELLO: Any = [{"role": "user", "content": "hello"}]


def chat(client: openai.OpenAI, model: str) -> tuple[str, Any]:
    answer = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, max_tokens=40)
    return answer.headers["x-ostinato-cache"], answer.parse()


def chat_streamed(client: openai.OpenAI, model: str) -> tuple[str, Any]:
    """Return the answer as the client's own helper gathers it."""
    with client.chat.completions.stream(
        model=model, messages=HELLO, max_tokens=40, stream_options={"include_usage": True}
    ) as stream:
        return stream._response.headers["x-ostinato-cache"], stream.get_final_completion()


def message(client: anthropic.Anthropic, model: str) -> tuple[str, Any]:
    answer = client.messages.with_raw_response.create(model=model, messages=HELLO, max_tokens=40)
    return answer.headers["x-ostinato-cache"], answer.parse()


def message_streamed(client: anthropic.Anthropic, model: str) -> tuple[str, Any]:
    with client.messages.stream(model=model, messages=HELLO, max_tokens=40) as stream:
        return stream.response.headers["x-ostinato-cache"], stream.get_final_message()


def plain(answer: Any) -> Any:
    """Return what an answer says, without what one of the client's two ways leaves unset."""
    if answer is None or isinstance(answer, str | int | float | bool):
        return answer
    if isinstance(answer, list):
        return [plain(item) for item in answer]
    members = answer if isinstance(answer, dict) else answer.model_dump()
    return {name: plain(value) for name, value in members.items() if value not in (None, [], {}) and name != "cost"}


@pytest.mark.parametrize("first", ["chat", "chat_streamed", "message", "message_streamed"])
def test_hits_are_equal_whoever_stored_the_entry(
    first: str, vendor: str, oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    how: dict[str, Any] = {
        "chat": lambda: chat(oai, vendor),
        "chat_streamed": lambda: chat_streamed(oai, vendor),
        "message": lambda: message(claude, vendor),
        "message_streamed": lambda: message_streamed(claude, vendor),
    }
    stored, _ = how[first]()
    hits = {name: ask() for name, ask in how.items()}

    assert stored == "miss"
    assert {status for status, _ in hits.values()} == {"hit"}
    assert len(emulator.paid_calls) == 1
    whole, streamed = (plain(hits[name][1]) for name in ("chat", "chat_streamed"))
    assert streamed["choices"][0]["message"]["content"] == whole["choices"][0]["message"]["content"]
    assert streamed["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    assert streamed["id"] == whole["id"]
    assert plain(hits["message_streamed"][1]) == plain(hits["message"][1])
