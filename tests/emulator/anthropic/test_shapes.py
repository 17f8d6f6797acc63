"""What goes over the wire, beside what recorded traffic has."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply
from ostinato.testing.emulator.anthropic.check import Refused, check_count, check_messages
from ostinato.testing.emulator.anthropic.prompt import read_prompt
from tests.corpus import open_records, sse_events

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"n": {"const": 1}}, "required": ["n"]}}


def post(http: httpx2.Client, emulator: Emulator, **more: Any) -> httpx2.Response:
    body = {"model": "claude-sonnet-4-6", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}], **more}
    response = http.post(f"{emulator.anthropic_url}/v1/messages", json=body, headers=HEADERS)
    assert response.status_code == 200, response.text
    return response


def test_a_stream_names_its_events_and_pads_their_data(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text="So.", tool_calls=("f",)))
    response = post(http, emulator, tools=[TOOL], stream=True)
    blocks = [block.split("\n") for block in response.text.removesuffix("\n\n").split("\n\n")]
    data = [json.loads(line.removeprefix("data: ")) for _, line in blocks]

    assert [name.removeprefix("event: ") for name, _ in blocks] == [each["type"] for each in data]
    assert [each["type"] for each in data] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 2,
        "content_block_stop",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert any(re.search(r" +}$", line) for _, line in blocks)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_an_answer_without_content_is_a_stream_without_blocks(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text="alpha"))
    response = post(http, emulator, stop_sequences=["alpha"], stream=True)

    assert re.findall("event: (.*)", response.text) == ["message_start", "message_delta", "message_stop"]


def test_raw_events_are_framed_by_their_type(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(raw_events=({"type": "ping"}, "event: odd\ndata: {\n\n")))

    assert post(http, emulator).text == 'event: ping\ndata: {"type":"ping"}\n\nevent: odd\ndata: {\n\n'


def shape(value: Any) -> Any:
    """Return the names in a JSON value, and the kinds of what stands there; of lists, the first."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def test_a_body_has_the_members_of_a_recorded_one(http: httpx2.Client, emulator: Emulator) -> None:
    recorded = [
        record["response"]["json"]
        for record in open_records(provider="anthropic", api="messages", stream=False)
        if record["response"]["status"] == 200 and record["response"]["json"]["model"] == "claude-sonnet-4-6"
    ]
    texts = [shape(body) for body in recorded if [block["type"] for block in body["content"]] == ["text"]]
    calls = [shape(body) for body in recorded if [block["type"] for block in body["content"]] == ["tool_use"]]
    ours = [shape(post(http, emulator, tools=tools).json()) for tools in ([], [TOOL])]
    for body in (*calls, ours[1]):
        del body["content"][0]["input"]

    assert ours[0] in texts
    assert ours[1] in calls


def test_a_stream_has_the_members_of_a_recorded_one(http: httpx2.Client, emulator: Emulator) -> None:
    recorded = [
        {event["type"]: shape(event) for event in sse_events(record)}
        for record in open_records(provider="anthropic", api="messages", stream=True)
        if record["response"]["status"] == 200 and record["request"]["json"]["model"].startswith("claude-sonnet-4-6")
    ]
    lines = post(http, emulator, stream=True).text.splitlines()
    ours = {event["type"]: shape(event) for event in (json.loads(line[6:]) for line in lines if line[:5] == "data:")}

    assert ours in recorded


def test_every_recorded_request_that_was_answered_is_taken() -> None:
    refused = {}
    for record in open_records(provider="anthropic"):
        if record["response"]["status"] != 200 or record["api"] == "models":
            continue
        try:
            (check_messages if record["api"] == "messages" else check_count)(record["request"]["json"])
        except Refused as exc:
            refused[record["id"]] = str(exc)
        read_prompt(record["request"]["json"])

    assert refused == {}


@pytest.mark.parametrize(
    "id_",
    ["ant-msg-0549a0a720", "ant-msg-11531c8d9f", "ant-msg-196d25caf5", "ant-msg-5b5585b2e0", "ant-msg-cee743ee59"],
)
def test_a_recorded_mistake_is_refused_with_the_recorded_words(id_: str) -> None:
    (record,) = [record for record in open_records(provider="anthropic") if record["id"] == id_]
    with pytest.raises(Refused) as refused:
        check_messages(record["request"]["json"])

    assert refused.value.error == record["response"]["json"]["error"]
