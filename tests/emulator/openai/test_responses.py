"""The Responses API of the emulator, asked by the official client and by our own wire."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import httpx2
import msgspec
import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from ostinato.providers import Provider
from ostinato.testing.emulator import Emulator, Reply
from ostinato.wire.contract import Call
from ostinato.wire.openai_responses import WIRE

Json = dict[str, Any]

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}
MATH: Any = {"type": "custom", "name": "math", "description": "d"}
PROVIDER = Provider("openai", wire="openai_responses", base_url=None)


class Step(pydantic.BaseModel):
    title: str
    kind: Literal["soup", "salad"]


def post(http: httpx2.Client, emulator: Emulator, **request: Any) -> httpx2.Response:
    sent = {"model": "gpt-4o", "input": "hi", **request}
    return http.post(f"{emulator.base_url}/responses", json=sent, headers={"authorization": "Bearer k"})


def events(response: httpx2.Response) -> list[Json]:
    """Return the stream's events, decoded; each is named as it names itself."""
    blocks = response.text.split("\n\n")
    assert blocks.pop() == ""
    found = []
    for block in blocks:
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def test_a_body_has_the_members_and_the_order_of_the_vendor_s(http: httpx2.Client, emulator: Emulator) -> None:
    response = post(http, emulator)
    body = response.json()

    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    assert " ".join(body) == (
        "id object created_at status background completed_at error frequency_penalty incomplete_details instructions "
        "max_output_tokens max_tool_calls model output parallel_tool_calls presence_penalty previous_response_id "
        "prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier store temperature text "
        "tool_choice tools top_logprobs top_p truncation usage user metadata"
    )
    assert (body["object"], body["status"], body["model"]) == ("response", "completed", "gpt-4o-2024-08-06")
    (message,) = body["output"]
    assert " ".join(message) == "id type status content role"
    assert message["content"][0]["text"].startswith("Answer 1:")
    assert Response.model_validate(body).output_text == message["content"][0]["text"]
    assert body["usage"].keys() == {
        "input_tokens",
        "input_tokens_details",
        "output_tokens",
        "output_tokens_details",
        "total_tokens",
    }


@pytest.mark.parametrize("base", ["", "/v1"])
def test_the_endpoint_answers_with_and_without_its_version(http: httpx2.Client, emulator: Emulator, base: str) -> None:
    root = emulator.base_url.removesuffix("/v1")

    assert http.post(f"{root}{base}/responses", json={"model": "gpt-4o", "input": "hi"}).status_code == 200
    assert http.get(f"{root}{base}/responses").status_code == 405


def test_a_stream_has_the_events_of_the_vendor_in_its_order(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text="one two", tool_calls=({"name": "get_weather", "arguments": "{}"},)))
    response = post(http, emulator, model="gpt-5", stream=True, tools=[WEATHER], reasoning={"summary": "auto"})
    found = events(response)

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 12,
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[0]["response"]["status"] == "in_progress"
    assert found[0]["response"]["usage"] is None
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    for event in found:
        if "response" not in event:
            assert adapter.validate_python(event).type == event["type"]


def test_padding_is_left_out_when_told(http: httpx2.Client, emulator: Emulator) -> None:
    padded, bare = (
        events(post(http, emulator, stream=True, stream_options={"include_obfuscation": wanted}))
        for wanted in (True, False)
    )

    assert all("obfuscation" in event for event in padded if event["type"].endswith(".delta"))
    assert not any("obfuscation" in event for event in bare)


TWINS: list[tuple[Json, Reply]] = [
    ({}, Reply(text="Hello, world.")),
    ({"max_output_tokens": 16}, Reply(text="a b c d e f g h i j k l m n o p q r s t")),
    ({"instructions": "be brief", "temperature": 0.5, "metadata": {"a": "b"}}, Reply(text="ok")),
    ({}, Reply(refusal="I cannot do that.")),
    ({"tools": [WEATHER]}, Reply(tool_calls=({"name": "get_weather", "id": "call_1"},))),
    (
        {"tools": [WEATHER, MATH]},
        Reply(tool_calls=({"name": "get_weather", "id": "a"}, {"name": "math", "id": "b", "input": "1 + 1"})),
    ),
    ({"model": "gpt-5", "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}, Reply(text="x")),
    ({"model": "o4-mini", "reasoning": {"summary": "auto"}}, Reply(text="x y")),
    ({"model": "gpt-5", "max_output_tokens": 20}, Reply(text="x")),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, Reply(text="x y")),
    ({}, Reply(text="x", finish_reason="content_filter")),
]


@pytest.mark.parametrize(("request_", "reply"), TWINS)
def test_a_stream_folds_to_the_body_of_its_unstreamed_twin(
    http: httpx2.Client, emulator: Emulator, request_: Json, reply: Reply
) -> None:
    emulator.script(reply, times=2)
    body = post(http, emulator, **request_).json()
    found = events(post(http, emulator, **request_, stream=True))
    fold = WIRE.fold()
    for event in found:
        fold.feed(event)
    bare = WIRE.fold()
    for event in found[:-1]:
        bare.feed(event)
    bare.feed({**found[-1], "response": {**found[-1]["response"], "output": []}})

    assert fold.complete
    assert same(fold.body()) == same(bare.body()) == same(body)


def same(value: Any) -> Any:
    """Return a response without what differs from call to call."""
    if isinstance(value, dict):
        apart = {"id", "created_at", "completed_at", "encrypted_content"}
        if value.get("type") == "reasoning":
            apart.add("summary")
        if value.get("type") == "function_call" and value["name"] == "get_weather":
            apart.add("arguments")
        return {name: same(item) for name, item in value.items() if name not in apart}
    return [same(item) for item in value] if isinstance(value, list) else value


def test_the_official_client_creates_and_streams(client: openai.OpenAI, emulator: Emulator) -> None:
    emulator.script(Reply(text="Hello there."), times=3)
    created = client.responses.create(model="gpt-4o", input="hi")
    with client.responses.stream(model="gpt-4o", input="hi") as stream:
        heard = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    raw = list(client.responses.create(model="gpt-4o", input="hi", stream=True))

    assert created.output_text == heard == final.output_text == "Hello there."
    assert final.usage is not None
    assert final.usage.output_tokens == 3
    assert raw[-1].type == "response.completed"


def test_the_official_client_runs_asynchronously(emulator: Emulator) -> None:
    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=emulator.base_url, api_key="k", max_retries=0) as client:
            return (await client.responses.create(model="gpt-4o", input="hi")).output_text

    assert asyncio.run(ask()).startswith("Answer 1:")


def test_the_official_client_parses_a_format(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model="gpt-4o", input="hi", text_format=Step)

    assert isinstance(parsed.output_parsed, Step)


def test_a_tool_is_called_and_its_output_answered(client: openai.OpenAI) -> None:
    first = client.responses.create(model="gpt-5", input="hi", tools=[WEATHER])
    call = first.output[-1]
    assert call.type == "function_call"
    given = [{"role": "user", "content": "hi"}, *(item.to_dict() for item in first.output)]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = client.responses.create(model="gpt-5", input=[*given, result], tools=[WEATHER])  # type: ignore[list-item]

    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert msgspec.json.decode(call.arguments).keys() == {"city", "days"}
    assert second.output_text.startswith("Answer 2:")


@pytest.mark.parametrize("choice", [{"type": "custom", "name": "math"}, "required"])
def test_a_forced_tool_is_called(client: openai.OpenAI, choice: Any) -> None:
    answer = client.responses.create(model="gpt-4o", input="hi", tools=[MATH, WEATHER], tool_choice=choice)

    assert [item.type for item in answer.output] == ["custom_tool_call"]


def test_reasoning_is_counted_and_sealed_when_asked(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="gpt-5",
        input="hi",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
    )
    item = answer.output[0]

    assert item.type == "reasoning"
    assert item.encrypted_content is not None
    assert item.summary[0].text.startswith("I think of ")
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 64


def test_a_limit_spent_on_reasoning_leaves_no_message(http: httpx2.Client, emulator: Emulator) -> None:
    body = post(http, emulator, model="gpt-5", max_output_tokens=20).json()

    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["type"] for item in body["output"]] == ["reasoning"]
    assert body["usage"]["output_tokens"] == 20


def test_what_runs_in_the_background_is_queued_and_not_billed(http: httpx2.Client, emulator: Emulator) -> None:
    body = post(http, emulator, background=True).json()

    assert (body["status"], body["output"], body["usage"]) == ("queued", [], None)
    assert not emulator.paid_calls
    assert WIRE.incomplete(body) is not None


def test_a_failed_response_says_so(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(finish_reason="failed"), times=2)
    body = post(http, emulator).json()
    last = events(post(http, emulator, stream=True))[-1]

    assert (body["status"], body["output"], body["error"]["code"]) == ("failed", [], "server_error")
    assert last["type"] == "response.failed"
    for told in (body, last):
        error = WIRE.event_error(told)
        assert type(error).__name__ == "InternalServerError"


def test_an_error_in_a_stream_is_an_event(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(error_after_events=3, error="it broke"))
    found = events(post(http, emulator, stream=True))

    assert len(found) == 4
    assert found[-1] == {
        "type": "error",
        "code": None,
        "message": "it broke",
        "param": None,
        "sequence_number": 3,
    }
    assert WIRE.event_error(found[-1]) is not None


def test_events_that_are_spelt_out_are_named(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(raw_events=({"type": "keepalive", "sequence_number": 0},)))

    assert events(post(http, emulator, stream=True)) == [{"type": "keepalive", "sequence_number": 0}]


def asked(http: httpx2.Client, emulator: Emulator, **request: Any) -> tuple[int, int, Any]:
    """Return what was read from the prompt cache, what was written to it, and the split of that by time."""
    response = post(http, emulator, **request)
    assert response.status_code == 200, response.text
    details = response.json()["usage"]["input_tokens_details"]
    return details["cached_tokens"], details["cache_write_tokens"], details.get("cache_write_tokens_details")


def test_the_prompt_cache_reads_what_an_earlier_call_sent(http: httpx2.Client, emulator: Emulator) -> None:
    request = {"instructions": "a" * 4 * 2000, "input": "hi"}

    assert asked(http, emulator, **request) == (0, 0, None)
    assert asked(http, emulator, **request) == (1920, 0, None)
    emulator.advance(3700)
    assert asked(http, emulator, **request) == (0, 0, None)


def test_what_is_written_is_split_by_its_time(http: httpx2.Client, emulator: Emulator) -> None:
    mark = {"mode": "explicit", "ttl": "12h"}
    parts = [
        {"type": "input_text", "text": "a" * 4 * 1500, "prompt_cache_breakpoint": mark},
        {"type": "input_text", "text": "b" * 4 * 500},
    ]
    request = {"model": "gpt-5.6-sol", "input": [{"role": "user", "content": parts}]}

    assert asked(http, emulator, **request) == (0, 2003, {"ttl_30m_tokens": 500, "ttl_12h_tokens": 1503})
    assert asked(http, emulator, **request) == (2003, 0, {"ttl_30m_tokens": 0, "ttl_12h_tokens": 0})
    emulator.advance(3600)
    assert asked(http, emulator, **request)[0] == 1503


def test_an_answer_that_goes_back_keeps_the_prefix(http: httpx2.Client, emulator: Emulator) -> None:
    messages: list[Any] = [{"role": "system", "content": "a" * 4 * 1500}, {"role": "user", "content": "hi"}]
    params: Json = {"include": ["reasoning.encrypted_content"]}
    sent = WIRE.build(Call("gpt-5.6-sol", messages, params), PROVIDER).body
    completion = WIRE.parse(post(http, emulator, **sent).json())
    messages += [completion.choices[0].message, {"role": "user", "content": "go on"}]
    again = WIRE.parse(post(http, emulator, **WIRE.build(Call("gpt-5.6-sol", messages, params), PROVIDER).body).json())

    assert completion.usage is not None
    assert again.usage is not None
    written = completion.usage.cache_creation_input_tokens
    assert written is not None
    assert written > 1500
    assert again.usage.cache_read_input_tokens == written
