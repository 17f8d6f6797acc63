"""Sound and pictures of a vendor of chat's in the other dialects: none is lost, whole, streamed or as a hit."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.vendors import reply, said

HELLO: Any = [{"role": "user", "content": "hello"}]
SOUND = {"id": "audio_1", "data": "QUJDREVG", "expires_at": 9, "transcript": "hello there"}
PICTURES = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
ASKED: Any = {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "pcm16"}}


def speaking(*, stream: bool) -> Reply:
    if not stream:
        body = said("gpt", "")
        body["choices"][0]["message"] |= {"content": None, "audio": SOUND, "images": PICTURES}
        return reply("gpt", body, stream=False)
    pieces: list[Any] = [
        {"role": "assistant", "audio": {"id": "audio_1", "transcript": "hello"}},
        {"audio": {"data": "QUJD", "transcript": " there"}},
        {"audio": {"data": "REVG"}, "images": PICTURES},
        {"audio": {"expires_at": 9}},
    ]
    choices = [{"index": 0, "delta": piece, "finish_reason": None} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4o"}
    return Reply(raw_events=tuple(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n" for choice in choices))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_sound_and_pictures_come_through_messages(
    stream: bool, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(speaking(stream=stream))
    asked: Any = {"model": "gpt", "messages": HELLO, "max_tokens": 40, "extra_body": ASKED}

    def whole() -> Any:
        answer = claude.messages.create(**asked)
        return [block.to_dict() for block in answer.content], answer.to_dict()

    def streamed() -> Any:
        with claude.messages.stream(**asked) as events:
            (last,) = [event.to_dict() for event in events if event.type == "message_delta"]
            return [block.to_dict() for block in events.get_final_message().content], last

    for ask in (streamed, whole) if stream else (whole, streamed):
        content, holder = ask()
        assert [(block["type"], block["text"]) for block in content] == [("text", "hello there")]
        assert (holder["audio"], holder["images"]) == (SOUND, PICTURES)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_sound_and_pictures_come_through_responses(stream: bool, oai: openai.OpenAI, emulator: Emulator) -> None:
    emulator.script(speaking(stream=stream))
    asked: Any = {"model": "deepseek", "input": "hello", "extra_body": ASKED}

    def whole() -> Any:
        return oai.responses.create(**asked)

    def streamed() -> Any:
        *events, last = oai.responses.create(**asked, stream=True)
        kinds = {"response.audio.delta": "data", "response.audio.transcript.delta": "transcript"}
        for kind, member in kinds.items():
            assert "".join(event.delta for event in events if event.type == kind) == SOUND[member]
            assert [event.type for event in events].count(kind.replace("delta", "done")) == 1
        numbers = [event.sequence_number for event in (*events, last)]
        assert numbers == list(range(len(numbers)))
        return last.response

    for ask in (streamed, whole) if stream else (whole, streamed):
        answer = ask()
        assert answer.output_text == "hello there"
        assert (answer.to_dict()["audio"], answer.to_dict()["images"]) == (SOUND, PICTURES)
    assert len(emulator.calls) == 1


def test_words_beside_the_sound_are_told_once(claude: anthropic.Anthropic, emulator: Emulator) -> None:
    body = said("gpt", "written")
    body["choices"][0]["message"]["audio"] = SOUND
    emulator.script(reply("gpt", body, stream=False))
    asked: Any = {"model": "gpt", "messages": HELLO, "max_tokens": 40}
    answer = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as events:
        again = events.get_final_message()

    assert [block.to_dict()["text"] for block in (*answer.content, *again.content)] == ["written", "written"]
