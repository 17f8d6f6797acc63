"""Vendors' JSON that a strict reader refuses: half a character, a number beyond the doubles."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import ostinato
from ostinato import Cache
from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import Serving
from tests.gateway.vendors import WIRE_OF, reply, said

HELLO: Any = [{"role": "user", "content": "hello"}]
MODELS = {
    "gpt": "openai/gpt-4o",
    "claude": "anthropic/claude-sonnet-4-5",
    "converse": "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "invoke": "bedrock/invoke/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "responses": "openai/responses/gpt-4o",
}


def spoil(data: bytes) -> bytes:
    """Put in what `json.dumps` does not write; inside a text of JSON the escape is one of that text."""
    return data.replace(b"HALF", rb"\ud800").replace(b"424242", b"1e999")


def odd(model: str, *, called: bool = False) -> Any:
    return said(model, "a HALF b", {"x": "HALF", "y": 424242} if called else None, odd={"score": 424242})


def in_chat(client: openai.OpenAI, model: str, *, stream: bool) -> Any:
    asked: Any = {"model": model, "messages": HELLO, "max_tokens": 40}
    if not stream:
        message: Any = client.chat.completions.create(**asked).choices[0].message
    else:
        with client.chat.completions.stream(**asked) as events:
            message = events.get_final_completion().choices[0].message
    return message.content, [json.loads(call.function.arguments) for call in message.tool_calls or ()]


def in_messages(client: anthropic.Anthropic, model: str, *, stream: bool) -> Any:
    asked: Any = {"model": model, "messages": HELLO, "max_tokens": 40}
    if not stream:
        content: Any = client.messages.create(**asked).content
    else:
        with client.messages.stream(**asked) as events:
            content = events.get_final_message().content
    texts = "".join(block.text for block in content if block.type == "text")
    return texts, [block.input for block in content if block.type == "tool_use"]


def in_responses(client: openai.OpenAI, model: str, *, stream: bool) -> Any:
    asked: Any = {"model": model, "input": HELLO, "max_output_tokens": 40}
    if not stream:
        return client.responses.create(**asked).output_text, []
    with client.responses.create(**asked, stream=True) as events:
        (answer,) = [event.response for event in events if event.type == "response.completed"]
    return answer.output_text, []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", WIRE_OF)
def test_an_answer_with_half_a_character_survives_and_its_hits_are_the_same(
    model: str, stream: bool, oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(reply(model, odd(model), stream=stream, spoil=spoil), times=None)
    told = []
    for how in (stream, not stream):
        told += [in_chat(oai, model, stream=how), in_messages(claude, model, stream=how)]
        if model != "gpt":  # its vendor is asked for responses at another door
            told.append(in_responses(oai, model, stream=how))

    assert told == [("a � b", [])] * len(told)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("model", WIRE_OF)
def test_arguments_of_a_tool_survive_whole(
    model: str, oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(reply(model, odd(model, called=True), stream=False, spoil=spoil), times=None)
    chat, messages = in_chat(oai, model, stream=False), in_messages(claude, model, stream=False)

    assert [type(given["y"]) for _, (given,) in (chat, messages)] == [float, float]
    assert messages == ("a � b", [{"x": "�", "y": 1.7976931348623157e308}])
    assert in_messages(claude, model, stream=False) == messages
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", WIRE_OF)
def test_the_public_call_gives_it_and_its_hit_alike(model: str, stream: bool, emulator: Emulator) -> None:
    emulator.script(reply(model, odd(model), stream=stream, spoil=spoil))
    where = {"claude": emulator.anthropic_url, "converse": emulator.bedrock_url, "invoke": emulator.bedrock_url}
    asked: Any = {
        "messages": HELLO,
        "api_key": "key",
        "api_base": where.get(model, emulator.base_url),
        "num_retries": 0,
    }

    def ask() -> Any:
        answer: Any = ostinato.completion(MODELS[model], stream=stream, **asked)
        if not stream:
            return answer.model_dump()
        return [chunk.model_dump() for chunk in answer]

    with Cache.memory():
        miss, hit = ask(), ask()

    assert "�" in json.dumps(miss, ensure_ascii=False)
    assert miss == hit
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_character_cut_in_two_by_the_vendor_is_whole(path: str, gateway: Serving, emulator: Emulator) -> None:
    pieces = [
        {"choices": [{"index": 0, "delta": {"content": half}, "finish_reason": None}]} for half in ("\ud83d", "\ude00")
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    emulator.script(Reply(raw_events=tuple(f"data: {json.dumps(event)}\n\n" for event in (*pieces, end))))
    with httpx2.Client(base_url=gateway.url) as http:
        body = {"model": "gpt", "messages": HELLO, "max_tokens": 9, "stream": True}
        miss, hit = (http.post(path, json=body).text for _ in range(2))

    assert "😀" in miss.encode().replace(b"\\ud83d\\ude00", "😀".encode()).decode()
    assert "😀" in hit
