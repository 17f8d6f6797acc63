"""The bytes on the wire, as recorded traffic has them."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from ostinato.testing.emulator import Emulator, Reply

HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("first", "second")]


def chat(http: httpx2.Client, emulator: Emulator, **request: Any) -> httpx2.Response:
    return http.post(f"{emulator.base_url}/chat/completions", json={"model": "gpt-4o", "messages": HI, **request})


def events(response: httpx2.Response) -> list[Any]:
    """Return the stream's events, decoded; `[DONE]` as its text."""
    lines = response.text.split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else msgspec.json.decode(line[6:]) for line in lines]


def test_a_body_has_the_members_and_the_order_of_the_vendor_s(http: httpx2.Client, emulator: Emulator) -> None:
    response = chat(http, emulator)
    body = response.json()

    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    assert " ".join(body) == "id object created model choices usage service_tier system_fingerprint"
    assert " ".join(body["choices"][0]) == "index message logprobs finish_reason"
    assert " ".join(body["choices"][0]["message"]) == "role content refusal annotations"
    assert body["choices"][0]["message"]["annotations"] == []
    assert body["choices"][0]["message"]["refusal"] is None
    assert body["model"] == "gpt-4o-2024-08-06"
    assert body["id"].startswith("chatcmpl-")
    assert (body["service_tier"], body["system_fingerprint"][:3]) == ("default", "fp_")
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "audio_tokens": 0}


def test_a_reasoning_model_has_no_fingerprint_and_no_logprobs(http: httpx2.Client, emulator: Emulator) -> None:
    body = chat(http, emulator, model="gpt-5").json()

    assert body["system_fingerprint"] is None
    assert " ".join(body["choices"][0]) == "index message finish_reason"


def test_a_stream_begins_with_the_role_and_ends_with_done(http: httpx2.Client, emulator: Emulator) -> None:
    response = chat(http, emulator, stream=True)
    first, *middle, last, done = events(response)

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert " ".join(first) == "id object created model service_tier system_fingerprint choices obfuscation"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in middle)
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert done == "[DONE]"


def test_usage_is_null_in_all_chunks_but_an_extra_last_one(http: httpx2.Client, emulator: Emulator) -> None:
    *chunks, last, _ = events(chat(http, emulator, stream=True, stream_options={"include_usage": True}))

    assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    assert last["choices"] == []
    assert last["usage"] == emulator.calls[0].outcome.usage


def test_obfuscation_can_be_turned_off(http: httpx2.Client, emulator: Emulator) -> None:
    chunks = events(chat(http, emulator, stream=True, stream_options={"include_obfuscation": False}))[:-1]

    assert not any("obfuscation" in chunk for chunk in chunks)


def test_one_tool_rides_on_the_first_chunk_and_several_follow_it(http: httpx2.Client, emulator: Emulator) -> None:
    single = events(chat(http, emulator, stream=True, tools=TOOLS))[0]["choices"][0]["delta"]
    emulator.script(Reply(tool_calls=("first", "second")))
    opening, *rest = (
        chunk["choices"][0]["delta"] for chunk in events(chat(http, emulator, stream=True, tools=TOOLS))[:-2]
    )

    assert " ".join(single) == "role content tool_calls refusal"
    assert single["tool_calls"][0]["function"] == {"name": "first", "arguments": ""}
    assert opening == {"role": "assistant", "content": None}
    assert [call["tool_calls"][0]["index"] for call in rest] == [0, 0, 1, 1]
    assert rest[1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_choices_take_turns_and_finish_together(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text=("a", "b c")))
    chunks = events(chat(http, emulator, stream=True, n=2))[:-1]

    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1, 0, 1, 1, 0, 1]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"] * 2


def test_a_refusal_streams_in_its_own_member(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(refusal="No way."))
    deltas = [chunk["choices"][0]["delta"] for chunk in events(chat(http, emulator, stream=True))[:-1]]

    assert deltas == [
        {"role": "assistant", "content": None, "refusal": ""},
        {"refusal": "No"},
        {"refusal": " way"},
        {"refusal": "."},
        {},
    ]


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_routes_answer_with_and_without_v1(http: httpx2.Client, emulator: Emulator, prefix: str) -> None:
    sent = {"model": "gpt-4o", "messages": HI}

    assert http.post(f"{emulator.url}{prefix}/chat/completions", json=sent).status_code == 200
    assert http.get(f"{emulator.url}{prefix}/models").json()["object"] == "list"
