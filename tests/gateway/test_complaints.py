"""What a vendor's error says beside its message reaches a client that speaks as the vendor does, and no key with it."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import KEY, Serving
from tests.gateway.vendors import reply, said

HELLO: Any = [{"role": "user", "content": "hello"}]
GROQ = {
    "error": {
        "message": "Failed to call a function.\n  See 'failed_generation'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "tool_use_failed",
        "failed_generation": '<function=f>{"a": 1}\n</function>',
        "inner_error": {"code": "inner", "key": KEY},
    },
    "user_id": "user_1",
}
CLAUDE = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "a\n\nb", "details": {"error_visibility": "user_facing"}},
    "request_id": "req_1",
    "own": [1],
}
WITHOUT_KEY = json.loads(json.dumps(GROQ).replace(KEY, "***"))


def failing(body: Any, status: int = 400) -> Reply:
    return Reply(status=status, raw_body=json.dumps(body), headers={"content-type": "application/json"})


@pytest.mark.parametrize("stream", [False, True])
def test_an_openai_client_gets_what_the_vendor_said(stream: bool, oai: openai.OpenAI, emulator: Emulator) -> None:
    emulator.script(failing(GROQ), times=None)
    with pytest.raises(openai.BadRequestError) as caught:
        oai.chat.completions.create(model="gpt", messages=HELLO, stream=stream)

    assert caught.value.response.json() == WITHOUT_KEY
    assert caught.value.body == WITHOUT_KEY["error"]


def test_an_anthropic_client_gets_what_the_vendor_said(claude: anthropic.Anthropic, emulator: Emulator) -> None:
    emulator.script(failing(CLAUDE))
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model="claude", messages=HELLO, max_tokens=9)

    assert caught.value.body == CLAUDE


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ([GROQ], WITHOUT_KEY),
        (
            {"object": "error", "message": "m", "type": "invalid_model", "param": None, "code": "1500"},
            {"error": {"object": "error", "message": "m", "type": "invalid_model", "param": None, "code": "1500"}},
        ),
        (
            {"code": "c", "error": "words"},
            {"code": "c", "error": {"message": "words", "type": "invalid_request_error", "param": None, "code": "c"}},
        ),
        (
            {"error": {"message": "m", "code": 400, "metadata": {"provider_name": "p"}}},
            {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": 400}},
        ),
    ],
)
def test_whatever_shape_a_vendor_of_this_kind_uses(
    body: Any, kept: Any, oai: openai.OpenAI, emulator: Emulator
) -> None:
    emulator.script(failing(body))
    with pytest.raises(openai.BadRequestError) as caught:
        oai.chat.completions.create(model="gpt", messages=HELLO)

    told: Any = caught.value.response.json()
    assert told["error"].pop("metadata", {"provider_name": "p"}) == {"provider_name": "p"}
    assert told == kept


def test_another_dialect_gets_its_own_shape_alone(
    oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(failing(CLAUDE))
    with pytest.raises(openai.BadRequestError) as in_chat:
        oai.chat.completions.create(model="claude", messages=HELLO)
    emulator.script(failing(GROQ))
    with pytest.raises(anthropic.BadRequestError) as in_messages:
        claude.messages.create(model="gpt", messages=HELLO, max_tokens=9)

    message: Any = in_messages.value.body
    assert in_chat.value.response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert message["error"].keys() == {"message", "type"}


def test_what_has_no_room_is_left_out(oai: openai.OpenAI, emulator: Emulator) -> None:
    emulator.script(failing({"error": {"message": "m", "long": "x" * 300_000, "short": 1}}))
    with pytest.raises(openai.BadRequestError) as caught:
        oai.chat.completions.create(model="gpt", messages=HELLO)

    body: Any = caught.value.body
    assert (body.get("long"), body["short"]) == (None, 1)


def test_an_error_in_mid_stream_says_as_much(
    oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    begun = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    emulator.script(Reply(raw_events=tuple(f"data: {json.dumps(event)}\n\n" for event in (begun, GROQ))))
    with (
        pytest.raises(openai.APIError) as in_chat,
        oai.chat.completions.create(model="gpt", messages=HELLO, stream=True) as events,
    ):
        list(events)
    first, *_ = reply("claude", said("claude", "a"), stream=True).raw_events or ()
    emulator.script(Reply(raw_events=(first, f"event: error\ndata: {json.dumps(CLAUDE)}\n\n")))
    with (
        pytest.raises(anthropic.APIStatusError) as in_messages,
        claude.messages.create(model="claude", messages=HELLO, max_tokens=9, stream=True) as messages,
    ):
        list(messages)

    assert in_chat.value.body == WITHOUT_KEY["error"]
    assert in_messages.value.body == CLAUDE


def test_a_response_that_failed_in_mid_stream_is_told_whole(gateway: Serving, emulator: Emulator) -> None:
    created, *_ = reply("responses", said("responses", "a"), stream=True).raw_events or ()
    error = {"code": "server_error", "message": "it\nbroke"}
    failed = {**said("responses", "a"), "status": "failed", "error": error, "user": KEY}
    event = {"type": "response.failed", "response": failed, "sequence_number": 1}
    emulator.script(Reply(raw_events=(created, f"event: response.failed\ndata: {json.dumps(event)}\n\n")))
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        *_, last = client.responses.create(model="responses", input="hello", stream=True)

    assert last.type == "response.failed"
    assert last.to_dict() == {**event, "response": {**failed, "user": "***"}}


def test_a_response_that_failed_at_once_is_a_plain_error(http: httpx2.Client, emulator: Emulator) -> None:
    failed = {**said("responses", "a"), "status": "failed", "error": {"code": "invalid_prompt", "message": "no"}}
    emulator.script(Reply(raw_body=json.dumps(failed), headers={"content-type": "application/json"}), times=None)
    answer = http.post("/v1/responses", json={"model": "responses", "input": "hello"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_prompt")
    assert answer.json().keys() == {"error"}
