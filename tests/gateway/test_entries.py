"""One entry for one prompt, whoever asks, in whatever dialect, streamed or not."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator
from tests.gateway.serving import CACHE, KEY, Serving, config_for

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


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
IN_CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "18 degrees"},
    ],
    "max_tokens": 30,
    "temperature": 0.5,
    "stop": ["END"],
    "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": "auto",
}
IN_MESSAGES: dict[str, Any] = {
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And here?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "18 degrees"}]},
    ],
    "max_tokens": 30,
    "temperature": 0.5,
    "stop_sequences": ["END"],
    "tools": [{"type": "custom", "name": "weather", "description": "d", "input_schema": SCHEMA}],
    "tool_choice": {"type": "auto"},
    "metadata": {"user_id": "somebody"},
}


@pytest.mark.parametrize("model", ["gpt", "claude", "converse", "invoke"])
def test_a_conversation_with_tools_and_an_image_is_one_entry_in_either_dialect(
    model: str, http: httpx2.Client, emulator: Emulator
) -> None:
    one = http.post("/v1/chat/completions", json={"model": model, **IN_CHAT})
    other = http.post("/v1/messages", json={"model": model, **IN_MESSAGES})

    assert (one.status_code, other.status_code) == (200, 200), (one.text, other.text)
    assert one.headers["x-ostinato-cache-key"] == other.headers["x-ostinato-cache-key"]
    assert other.headers["x-ostinato-cache"] == "hit"
    assert len(emulator.calls) == 1


def test_a_client_of_the_vendor_s_own_is_passed_through_untouched(http: httpx2.Client, emulator: Emulator) -> None:
    """What the vendor does not know yet, no wire of ours needs to know."""
    unknown = {"service_tier": "auto", "metadata": {"user_id": "a"}}
    http.post("/v1/messages", json={"model": "claude", **IN_MESSAGES, **unknown})
    answer = http.post("/v1/messages", json={"model": "claude", **IN_MESSAGES, "max_tokens": 31})
    call = emulator.calls[0]

    assert call.body == {**IN_MESSAGES, **unknown, "model": "claude-sonnet-4-5"}
    assert answer.json()["type"] == "message"
    assert "cost" not in answer.text


def test_betas_of_anthropic_s_client_go_on_and_count(http: httpx2.Client, emulator: Emulator) -> None:
    asked = {"model": "claude", "messages": HELLO, "max_tokens": 9}
    plain = http.post("/v1/messages", json=asked)
    beta = http.post("/v1/messages", json=asked, headers={"anthropic-beta": "context-1m-2025-08-07"})

    assert emulator.calls[1].headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert plain.headers["x-ostinato-cache-key"] != beta.headers["x-ostinato-cache-key"]


def two_deployments(emulator: Emulator, second: str, name: str = "pair") -> str:
    pair = f"""
  - model_name: {name}
    litellm_params: {{model: openai/gpt-4o, api_base: "{emulator.base_url}", api_key: {KEY}}}
  - model_name: {name}
    litellm_params: {{model: {second}, api_base: "{emulator.anthropic_url}", api_key: {KEY}}}
"""
    return config_for(emulator, pair + CACHE)


def test_deployments_of_one_name_share_their_entries(emulator: Emulator) -> None:
    """Whichever answers, and whatever wire it speaks."""
    config = two_deployments(emulator, "anthropic/claude-sonnet-4-5")
    with Serving(config) as serving, httpx2.Client(base_url=serving.url) as http:
        for number in range(8):
            asked = {"model": "pair", "messages": [{"role": "user", "content": f"hello {number}"}]}
            miss, hit = (http.post("/v1/chat/completions", json=asked) for _ in range(2))

            assert (miss.headers["x-ostinato-cache"], hit.headers["x-ostinato-cache"]) == ("miss", "hit")
            assert hit.json() == miss.json()
    paths = {call.path for call in emulator.calls}

    assert len(emulator.calls) == 8
    assert len(paths) == 2


def test_a_name_that_points_elsewhere_does_not_answer_for_what_it_was(emulator: Emulator) -> None:
    keys = set()
    for second in ("anthropic/claude-sonnet-4-5", "anthropic/claude-haiku-4-5"):
        with Serving(two_deployments(emulator, second)) as serving:
            answer = httpx2.post(f"{serving.url}/v1/chat/completions", json={"model": "pair", "messages": HELLO})
        keys.add(answer.headers["x-ostinato-cache-key"])

    assert len(keys) == 2
