"""What goes over the wire, beside what recorded traffic has."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import defaultdict
from typing import Any

import httpx2
from botocore.eventstream import EventStreamBuffer

from ostinato.testing.emulator import Emulator, Reply
from tests.corpus import open_records

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TOOL = {
    "toolSpec": {
        "name": "f",
        "inputSchema": {"json": {"type": "object", "properties": {"n": {"const": 1}}, "required": ["n"]}},
    }
}
INVOKED = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "hi"}],
}

Frames = list[tuple[dict[str, Any], Any]]


def post(http: httpx2.Client, emulator: Emulator, operation: str, body: Any) -> httpx2.Response:
    url = f"{emulator.bedrock_url}/model/{CLAUDE}/{operation}"
    response = http.post(url, json=body, headers={"authorization": "Bearer k"})
    assert response.status_code == 200, response.text
    return response


def frames(data: bytes) -> Frames:
    """Return headers and payload of every frame, by botocore's own reader, which checks both sums."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(dict(frame.headers), json.loads(frame.payload)) for frame in buffer]


def shape(value: Any) -> Any:
    """Return the names in a JSON value, and the kinds of what stands there; of lists, the first."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def shapes(found: Frames) -> dict[str, set[str]]:
    """Return the shapes of the payloads of each type of event, and its headers."""
    known = defaultdict(set)
    for headers, payload in found:
        known[headers[":event-type"]].add(json.dumps([list(headers), shape(payload)]))
    return known


def recorded(api: str) -> Frames:
    return [
        frame
        for record in open_records(api=api)
        if record["response"]["status"] == 200 and "claude" in record["request"]["path"]
        for frame in frames(b64decode(record["response"]["eventstream_base64"]))
    ]


def test_the_frames_of_converse_are_shaped_as_recorded_ones(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text="So.", tool_calls=("f",)))
    asked = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "toolConfig": {"tools": [TOOL]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    }
    ours = shapes(frames(post(http, emulator, "converse-stream", asked).content))
    known = shapes(recorded("converse-stream"))

    # Recorded usage grew members over time; the one of today is that of the body, below.
    ours["metadata"] = known["metadata"]

    assert {name: lines - known[name] for name, lines in ours.items()} == {name: set() for name in ours}
    assert ours.keys() == known.keys()


def test_the_frames_of_invoke_are_shaped_as_recorded_ones(http: httpx2.Client, emulator: Emulator) -> None:
    ours = frames(post(http, emulator, "invoke-with-response-stream", INVOKED).content)
    known = recorded("invoke-stream")

    def inner(found: Frames) -> set[tuple[str, ...]]:
        events = [json.loads(b64decode(payload["bytes"])) for _, payload in found]
        return {(event["type"], *sorted(event)) for event in events if "type" in event}

    assert shapes(ours)["chunk"] <= shapes(known)["chunk"]
    assert inner(ours) <= inner(known)


def test_padding_hides_the_length_of_a_payload(http: httpx2.Client, emulator: Emulator) -> None:
    found = frames(
        post(http, emulator, "converse-stream", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}).content
    )
    paddings = {payload["p"] for _, payload in found}

    assert all(padding.startswith("ab") for padding in paddings)
    assert len(paddings) > 5


def test_a_body_of_converse_is_shaped_as_a_recorded_one(http: httpx2.Client, emulator: Emulator) -> None:
    known = {
        json.dumps(shape(record["response"]["json"]))
        for record in open_records(api="converse")
        if record["response"]["status"] == 200
    }
    ours = post(http, emulator, "converse", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}).json()

    assert json.dumps(shape(ours)) in known


def test_a_body_of_invoke_is_shaped_as_a_recorded_one(http: httpx2.Client, emulator: Emulator) -> None:
    known = [
        record["response"]["json"].keys() | {"stop_details"}
        for record in open_records(api="invoke")
        if record["response"]["status"] == 200 and "claude" in record["request"]["path"]
    ]

    assert post(http, emulator, "invoke", INVOKED).json().keys() in known
