"""boto3's `bedrock-runtime` client, unchanged, against the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError, EventStreamError

from ostinato.testing.emulator import Emulator, Reply

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
HI: list[Any] = [{"role": "user", "content": [{"text": "hi"}]}]
WEATHER = {
    "toolSpec": {
        "name": "get_weather",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]}},
    }
}
TIME = {"toolSpec": {"name": "get_time", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
FORMAT = {
    "textFormat": {
        "type": "json_schema",
        "structure": {"jsonSchema": {"name": "n", "schema": '{"type":"object","properties":{"n":{"const":1}}}'}},
    }
}
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
INVOKED = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "hi"}],
}


def folded(events: Any) -> dict[str, Any]:
    """Return the body that a stream of Converse amounts to."""
    blocks: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {}
    for event in events:
        ((kind, payload),) = event.items()
        if kind == "contentBlockStart":
            blocks[payload["contentBlockIndex"]] = {"toolUse": {**payload["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            _add(blocks.setdefault(payload["contentBlockIndex"], {}), payload["delta"])
        elif kind == "messageStop":
            body["stopReason"] = payload["stopReason"]
        elif kind == "metadata":
            body["usage"] = payload["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    body["content"] = [blocks[index] for index in sorted(blocks)]
    return body


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "redactedContent" in delta["reasoningContent"]:
        block["reasoningContent"] = delta["reasoningContent"]
    else:
        said = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})["reasoningText"]
        for name, piece in delta["reasoningContent"].items():
            said[name] = said.get(name, "") + piece


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"inferenceConfig": {"maxTokens": 4}},
        {"inferenceConfig": {"stopSequences": ["."]}},
        {"toolConfig": {"tools": [WEATHER, TIME]}},
        {"toolConfig": {"tools": [WEATHER, TIME], "toolChoice": {"tool": {"name": "get_time"}}}},
        {"outputConfig": FORMAT},
        {"additionalModelRequestFields": THINK},
        {"modelId": "amazon.nova-lite-v1:0"},
        {"modelId": "meta.llama3-2-1b-instruct-v1:0"},
    ],
    ids=lambda more: ",".join(more) or "plain",
)
def test_a_stream_amounts_to_the_body_of_its_unstreamed_twin(
    emulator: Emulator, runtime: Any, more: dict[str, Any]
) -> None:
    request = {"modelId": MODEL, "messages": HI, **more}
    body = runtime.converse(**request)
    emulator.reset()
    stream = folded(runtime.converse_stream(**request)["stream"])

    assert stream == {
        "content": body["output"]["message"]["content"],
        "stopReason": body["stopReason"],
        "usage": body["usage"],
    }
    assert body["usage"]["totalTokens"] == body["usage"]["inputTokens"] + body["usage"]["outputTokens"]


def test_a_text_carries_the_number_of_its_call(runtime: Any) -> None:
    texts = [runtime.converse(modelId=MODEL, messages=HI)["output"]["message"]["content"][0]["text"] for _ in range(2)]

    assert [text[:9] for text in texts] == ["Answer 1:", "Answer 2:"]


def test_a_tool_is_called_then_its_result_is_answered(runtime: Any) -> None:
    config = {"tools": [WEATHER]}
    called = runtime.converse(modelId=MODEL, messages=HI, toolConfig=config)
    use = called["output"]["message"]["content"][0]["toolUse"]
    result = {
        "toolResult": {"toolUseId": use["toolUseId"], "content": [{"json": {"sky": "grey"}}], "status": "success"}
    }
    history = [*HI, called["output"]["message"], {"role": "user", "content": [result]}]
    answered = runtime.converse(modelId=MODEL, messages=history, toolConfig=config)

    assert (called["stopReason"], use["name"], use["input"]) == ("tool_use", "get_weather", {"city": "Oslo"})
    assert use["toolUseId"].startswith("tooluse_")
    assert answered["stopReason"] == "end_turn"


def test_text_and_parallel_calls_can_be_scripted(emulator: Emulator, runtime: Any) -> None:
    emulator.script(Reply(text="Both.", tool_calls=("get_time", "get_weather")))
    body = folded(runtime.converse_stream(modelId=MODEL, messages=HI, toolConfig={"tools": [WEATHER, TIME]})["stream"])

    assert [next(iter(block)) for block in body["content"]] == ["text", "toolUse", "toolUse"]
    assert [block["toolUse"]["input"] for block in body["content"][1:]] == [{}, {"city": "Oslo"}]


def test_only_a_tools_block_is_announced_and_usage_comes_last(runtime: Any) -> None:
    stream = runtime.converse_stream(modelId=MODEL, messages=HI)["stream"]
    kinds = [next(iter(event)) for event in stream]

    assert kinds[:2] == ["messageStart", "contentBlockDelta"]
    assert kinds[-3:] == ["contentBlockStop", "messageStop", "metadata"]


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_signed_and_can_come_redacted(emulator: Emulator, runtime: Any, streamed: bool) -> None:
    request = {"modelId": MODEL, "messages": HI, "additionalModelRequestFields": THINK}
    emulator.script(Reply(), Reply(redacted_thinking=True))

    def content() -> Any:
        if streamed:
            return folded(runtime.converse_stream(**request)["stream"])["content"]
        return runtime.converse(**request)["output"]["message"]["content"]

    shown, redacted = content()[0]["reasoningContent"], content()[0]["reasoningContent"]

    assert shown["reasoningText"].keys() == {"text", "signature"}
    assert isinstance(redacted["redactedContent"], bytes)


def test_a_refusal_is_filtered_content(emulator: Emulator, runtime: Any) -> None:
    emulator.script(Reply(refusal="No."))

    assert runtime.converse(modelId=MODEL, messages=HI)["stopReason"] == "content_filtered"


# Invoke.


def chunks(response: Any) -> Iterator[dict[str, Any]]:
    for event in response["body"]:
        yield json.loads(event["chunk"]["bytes"])


def test_invoke_answers_in_anthropics_shape_with_its_usage_in_the_headers(runtime: Any) -> None:
    response = runtime.invoke_model(modelId=MODEL, body=json.dumps(INVOKED))
    body = json.loads(response["body"].read())
    headers = response["ResponseMetadata"]["HTTPHeaders"]

    assert (body["type"], body["model"], body["id"][:9]) == ("message", "claude-sonnet-4-5-20250929", "msg_bdrk_")
    assert "service_tier" not in body["usage"]
    assert int(headers["x-amzn-bedrock-input-token-count"]) == body["usage"]["input_tokens"]
    assert int(headers["x-amzn-bedrock-output-token-count"]) == body["usage"]["output_tokens"]
    assert "x-amzn-bedrock-cache-read-input-token-count" not in headers


def test_an_invoked_stream_counts_twice_and_never_pings(runtime: Any) -> None:
    response = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(INVOKED))
    events = list(chunks(response))
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]

    assert {event["type"] for event in events} >= {"message_start", "content_block_delta", "message_stop"}
    assert "ping" not in [event["type"] for event in events]
    assert events[-2]["usage"] == {"output_tokens": metrics["outputTokenCount"]}
    assert events[0]["message"]["usage"]["input_tokens"] == metrics["inputTokenCount"]
    assert response["contentType"] == "application/json"


def test_calls_of_an_invoked_tool_have_bedrocks_ids(runtime: Any) -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    response = runtime.invoke_model(modelId=MODEL, body=json.dumps({**INVOKED, "tools": tools}))

    assert json.loads(response["body"].read())["content"][0]["id"].startswith("toolu_bdrk_01")


@pytest.mark.parametrize(
    "model",
    [MODEL, "anthropic.claude-opus-4-8", "arn:aws:bedrock:eu-north-1:123456789012:application-inference-profile/abc"],
)
def test_a_model_is_known_by_id_or_arn(emulator: Emulator, runtime: Any, model: str) -> None:
    runtime.invoke_model(modelId=model, body=json.dumps(INVOKED))
    runtime.converse(modelId=model, messages=HI)

    assert [call.outcome.status for call in emulator.calls] == [200, 200]


# Counting.


def test_tokens_are_counted_as_a_call_would_count_them(emulator: Emulator, runtime: Any) -> None:
    model = "anthropic.claude-sonnet-4-20250514-v1:0"
    system = [{"text": "Be terse."}]
    counted = runtime.count_tokens(modelId=model, input={"converse": {"messages": HI, "system": system}})
    called = runtime.converse(modelId=model, messages=HI, system=system)
    invoked = runtime.count_tokens(
        modelId=model, input={"invokeModel": {"body": json.dumps({**INVOKED, "system": "Be terse."})}}
    )

    assert counted["inputTokens"] == called["usage"]["inputTokens"] == invoked["inputTokens"]
    assert len(emulator.paid_calls) == 1


def test_a_profile_cannot_count(runtime: Any) -> None:
    with pytest.raises(ClientError, match="doesn't support counting tokens"):
        runtime.count_tokens(modelId=MODEL, input={"converse": {"messages": HI}})


# Errors.


@pytest.mark.parametrize(
    ("reply", "status", "name"),
    [
        (Reply(status=400), 400, "ValidationException"),
        (Reply(status=403), 403, "AccessDeniedException"),
        (
            Reply(status=403, error={"type": "ExpiredTokenException", "message": "is expired"}),
            403,
            "ExpiredTokenException",
        ),
        (Reply(status=404), 404, "ResourceNotFoundException"),
        (Reply(status=408), 408, "ModelTimeoutException"),
        (Reply(status=424), 424, "ModelErrorException"),
        (Reply(status=429), 429, "ThrottlingException"),
        (Reply(status=500), 500, "InternalServerException"),
        (Reply(status=503), 503, "ServiceUnavailableException"),
        (Reply(status=503, error="Service capacity limit has been reached."), 503, "ServiceUnavailableException"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_has_the_vendors_name(
    emulator: Emulator, runtime: Any, reply: Reply, status: int, name: str, streamed: bool
) -> None:
    emulator.script(reply)
    with pytest.raises(ClientError) as raised:
        (runtime.converse_stream if streamed else runtime.converse)(modelId=MODEL, messages=HI)
    response = raised.value.response

    assert response["Error"]["Code"] == name
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-errortype"].startswith(f"{name}:http://")
    if isinstance(reply.error, str):
        assert response["Error"]["Message"] == reply.error


@pytest.mark.parametrize(
    ("reply", "name", "seen"),
    [
        (Reply(error_after_events=3), "internalServerException", 3),
        (Reply(status=429, error_after_events=0), "throttlingException", 0),
        (Reply(status=503, error_after_events=1), "serviceUnavailableException", 1),
        (Reply(status=400, error_after_events=1), "validationException", 1),
        (
            Reply(
                status=424,
                error={"message": "gone", "originalStatusCode": 529, "originalMessage": "Overloaded"},
                error_after_events=2,
            ),
            "modelStreamErrorException",
            2,
        ),
    ],
)
def test_a_stream_can_end_with_an_exception(
    emulator: Emulator, runtime: Any, reply: Reply, name: str, seen: int
) -> None:
    emulator.script(reply, times=2)
    invoked = runtime.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(INVOKED))["body"]
    for stream in (runtime.converse_stream(modelId=MODEL, messages=HI)["stream"], invoked):
        events = []
        with closing(stream), pytest.raises(EventStreamError) as raised:
            events.extend(stream)

        assert len(events) == seen
        assert raised.value.response["Error"]["Code"] == name
    assert [call.outcome.status for call in emulator.calls] == [200, 200]


def test_raw_events_are_framed_by_their_name(emulator: Emulator, runtime: Any) -> None:
    events = (
        {"messageStart": {"role": "assistant"}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"exception": {"type": "throttlingException", "message": "slow"}},
    )
    emulator.script(Reply(raw_events=events, headers={"content-type": "application/vnd.amazon.eventstream"}))
    stream = runtime.converse_stream(modelId=MODEL, messages=HI)["stream"]
    seen = []
    with closing(stream), pytest.raises(EventStreamError, match="slow"):
        seen.extend(stream)

    assert seen == list(events[:2])


# Doors.


def post(http: httpx2.Client, emulator: Emulator, operation: str, body: Any, **headers: str) -> httpx2.Response:
    return http.post(f"{emulator.bedrock_url}/model/{MODEL}/{operation}", json=body, headers=headers)


def test_a_request_must_be_signed_though_nobody_checks_how(http: httpx2.Client, emulator: Emulator) -> None:
    signed = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-north-1/bedrock/aws4_request, SignedHeaders=host, Signature="
    answers = [
        post(http, emulator, "converse", {"messages": HI}, authorization=authorization)
        for authorization in ("", "Basic abc", "AWS4-HMAC-SHA256 Credential=AKID/x", "Bearer token", signed + "00")
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 200, 200]
    assert answers[0].headers["x-amzn-errortype"].startswith("MissingAuthenticationTokenException")


def test_an_unknown_key_is_refused_with_403(http: httpx2.Client) -> None:
    with Emulator(api_keys=["right"]) as emulator:
        answers = [
            post(http, emulator, "converse", {"messages": HI}, authorization=f"Bearer {key}")
            for key in ("wrong", "right")
        ]

    assert [answer.status_code for answer in answers] == [403, 200]
    assert answers[0].headers["x-amzn-errortype"].startswith("UnrecognizedClientException")


def test_a_model_that_does_not_exist_is_a_validation_error(http: httpx2.Client) -> None:
    with Emulator(models=["amazon.nova-lite-v1:0"]) as emulator:
        answer = post(http, emulator, "converse", {"messages": HI}, authorization="Bearer k")

    assert (answer.status_code, answer.json()) == (400, {"message": "The provided model identifier is invalid."})
