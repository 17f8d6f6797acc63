"""What is sent for turn n is, to the byte, how turn n + 1 begins: the vendors' prompt caches live on it."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from ostinato.providers import PROVIDERS
from ostinato.wire import WIRES, find_wire
from ostinato.wire.contract import Call

SPEAKERS = {
    "openai_chat": ("openai", "gpt-4o"),
    "openai_responses": ("openai", "gpt-5.1"),
    "anthropic": ("anthropic", "claude-sonnet-4-5-20250929"),
    "bedrock_converse": ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "bedrock_invoke": ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
}
TURNS = {"openai_responses": "input"}
PNG = "data:image/png;base64,iVBORw0KGgo="
WORDS = ["river", "Ärger", "日本", "🎻", '"quoted"', "back\\slash", "line\nbreak", "  spaces  ", "{}"]


def said(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(1, 6)))


def asked(dice: random.Random) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": said(dice)}]
    if dice.random() < 0.2:
        parts.append({"type": "image_url", "image_url": {"url": PNG}})
    return {"role": "user", "content": parts if dice.random() < 0.4 or len(parts) > 1 else said(dice)}


def answered(dice: random.Random, turn: int) -> list[dict[str, Any]]:
    """Return an assistant's turn: words, or one to three calls with all their results."""
    if dice.random() < 0.5:
        return [{"role": "assistant", "content": said(dice)}]
    calls = [
        {"id": f"call_{turn}_{n}", "type": "function", "function": {"name": "f", "arguments": f'{{"a":{n}}}'}}
        for n in range(dice.randint(1, 3))
    ]
    content = said(dice) if dice.random() < 0.3 else None
    results = [{"role": "tool", "tool_call_id": call["id"], "content": said(dice)} for call in calls]
    return [{"role": "assistant", "content": content, "tool_calls": calls}, *results]


def conversation(dice: random.Random) -> list[list[dict[str, Any]]]:
    """Return the messages of each request of a conversation, which grows."""
    messages = [{"role": "system", "content": said(dice)}] if dice.random() < 0.7 else []
    messages.append(asked(dice))
    requests = [list(messages)]
    for turn in range(dice.randint(1, 5)):
        messages += answered(dice, turn)
        if messages[-1]["role"] == "assistant" or dice.random() < 0.3:
            messages.append(asked(dice))
        requests.append(list(messages))
    return requests


def sent(wire: str, messages: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Return what stands around the turns of a request, and its turns without the bracket that closes them."""
    provider, model = SPEAKERS[wire]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    call = Call(model, messages, {"tools": [tool], "max_tokens": 100} if wire != "openai_chat" else {"tools": [tool]})
    body = find_wire(wire).build(call, PROVIDERS[provider]).body
    turns = TURNS.get(wire, "messages")
    around = {name: value for name, value in body.items() if name != turns}
    return msgspec.json.encode(around), msgspec.json.encode(body[turns])[:-1]


def check(wire: str, seeds: range) -> None:
    for seed in seeds:
        requests = [sent(wire, messages) for messages in conversation(random.Random(seed))]
        for (around, before), (around_next, after) in pairwise(requests):
            assert around == around_next, seed
            assert after.startswith(before), seed
            assert len(after) > len(before), seed


def test_every_wire_is_among_them() -> None:
    assert set(SPEAKERS) == set(WIRES)


@pytest.mark.parametrize("wire", SPEAKERS)
def test_ten_thousand_conversations_keep_their_beginnings(wire: str) -> None:
    check(wire, range(10_000))
