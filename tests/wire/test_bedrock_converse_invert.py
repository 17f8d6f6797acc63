from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import boto3
import botocore.client
import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    InternalServerError,
    NotFoundError,
    OstinatoError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.records import Chunk, Completion
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.bedrock_converse.invert import read_request
from ostinato.wire.bedrock_converse.render import Renderer, error_type, render, render_error
from ostinato.wire.contract import Call
from ostinato.wire.eventstream import encode_exception, encode_frame
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import usage_of
from tests.corpus import open_records
from tests.wire.bedrock import BEDROCK, SONNET, blobs, bodies, complaints, objects

Json = dict[str, Any]

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
marks = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])


def marked(parts: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.builds(lambda part, mark: part | ({"cache_control": mark} if mark else {}), parts, marks)


texts = words.map(lambda text: {"type": "text", "text": text})
images = blobs.map(lambda blob: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{blob}"}})
audio = blobs.map(lambda blob: {"type": "input_audio", "input_audio": {"data": blob, "format": "wav"}})
files = blobs.map(
    lambda blob: {"type": "file", "file": {"file_data": f"data:text/csv;base64,{blob}", "filename": "a.csv"}}
)
guards = words.map(lambda text: {"guardContent": {"text": {"text": text}}})


def plain(parts: list[Json]) -> Any:
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


contents = st.lists(marked(st.one_of(texts, images, audio, files, guards)), min_size=1, max_size=4).map(plain)
arguments = objects.map(lambda value: msgspec.json.encode(value).decode())
thoughts = st.one_of(
    words.map(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}),
    blobs.map(lambda blob: {"type": "redacted_thinking", "data": blob}),
)


def assistant(content: str | None, calls: list[str], thinking: list[Json]) -> Json:
    message: Json = {"role": "assistant", "content": content}
    if thinking:
        message["thinking_blocks"] = thinking
        thought = [block["thinking"] for block in thinking if "thinking" in block]
        if thought:
            message["reasoning_content"] = "".join(thought)
    if calls:
        message["tool_calls"] = [
            {"id": f"t{index}", "type": "function", "function": {"name": "f", "arguments": text}}
            for index, text in enumerate(calls)
        ]
    return message


answers = st.builds(assistant, words, st.lists(arguments, max_size=2), st.lists(thoughts, max_size=2))
results = st.builds(
    lambda index, content, error: (
        {"role": "tool", "tool_call_id": f"t{index}", "content": content} | ({"is_error": True} if error else {})
    ),
    st.integers(0, 9),
    st.one_of(st.just(""), words, st.lists(images, min_size=1, max_size=2)),
    st.booleans(),
)
rounds = st.tuples(
    answers, st.lists(results, max_size=2), contents.map(lambda content: {"role": "user", "content": content})
)
tools = st.builds(
    lambda name, schema, mark: (
        {"type": "function", "function": {"name": name, "description": "d", "parameters": schema or {"a": 1}}}
        | ({"cache_control": mark} if mark else {})
    ),
    st.sampled_from(["f", "g"]),
    objects,
    marks,
)
params = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 99),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.lists(words, min_size=1, max_size=2),
        "tools": st.lists(tools, min_size=1, max_size=3),
        "metadata": st.just({"team": "a"}),
        "service_tier": st.sampled_from(["default", "flex", "priority"]),
        "response_format": st.just({"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object"}}}),
        "additionalModelRequestFields": st.just({"top_k": 3}),
        "guardrailConfig": st.just({"guardrailIdentifier": "a", "guardrailVersion": "1"}),
        "performanceConfig": st.just({"latency": "standard"}),
    },
)


def few(value: Any, left: list[int]) -> Any:
    """Take all marks but the first four out: more of them cannot be sent."""
    if isinstance(value, dict):
        kept = {}
        for name, item in value.items():
            if name == "cache_control":
                left[0] -= 1
            if name != "cache_control" or left[0] >= 0:
                kept[name] = few(item, left)
        return kept
    return [few(item, left) for item in value] if isinstance(value, list) else value


@settings(max_examples=60)
@given(st.lists(rounds, max_size=2), contents, params)
def test_a_request_reads_back_as_the_call_that_it_was_built_from(turns: list[Any], first: Any, asked: Json) -> None:
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": first}]
    for answer, tool_results, question in turns:
        messages += [answer, *tool_results, question]
    messages, asked = few([messages, asked], [4])
    call = Call(SONNET, messages, asked)
    body = WIRE.build(call, BEDROCK).body

    assert complaints(body) == ""
    assert read_request(body, SONNET) == call
    assert WIRE.build(read_request(json.loads(json.dumps(body)), SONNET), BEDROCK).body == body


def test_every_recorded_request_reads_as_a_call_that_builds_it_again() -> None:
    differing = []
    for record in open_records(provider="bedrock-converse"):
        if record["api"] not in {"converse", "converse-stream"}:
            continue
        body = json.loads(json.dumps(record["request"]["json"]))
        model = unquote(record["request"]["path"].split("/")[2])
        call = read_request(body, model)
        again = WIRE.build(Call(model, call.messages, call.params), BEDROCK).body
        if again != normal(body):
            differing.append(record["id"])

    assert differing == []


def normal(body: Json) -> Json:
    """Return a recorded request as we would say it: without what says nothing, turns of one side as one."""
    if body.get("inferenceConfig", {}).get("stopSequences") == []:
        del body["inferenceConfig"]["stopSequences"]
    body = {name: value for name, value in body.items() if value not in ({}, [])}
    if "outputConfig" in body:
        described = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
        described["schema"] = msgspec.json.encode(json.loads(described["schema"])).decode()
    turns: list[Json] = []
    for turn in body["messages"]:
        for block in turn["content"]:
            if block.get("toolResult", {}).get("status") == "success":
                del block["toolResult"]["status"]
            if "toolUse" in block and block["toolUse"].get("type") == "tool_use":
                del block["toolUse"]["type"]
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += turn["content"]
        else:
            turns.append(turn)
    return {**body, "messages": turns}


@pytest.mark.parametrize(
    "body", [{}, {"messages": [{}]}, {"messages": 3}, {"messages": [{"role": "user", "content": [3]}]}]
)
def test_a_request_of_another_kind_is_refused(body: Json) -> None:
    with pytest.raises(BadRequestError, match="none of Converse's"):
        read_request(body)


class Stub:
    """boto3, whose requests never leave the process."""

    def __init__(self) -> None:
        session = boto3.session.Session("a", "b", region_name="us-east-1")
        self.client: botocore.client.BaseClient = session.client(
            "bedrock-runtime", config=Config(retries={"total_max_attempts": 1})
        )
        self.client.meta.events.register("before-send.bedrock-runtime.*", self._answer)
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.request: Any = None

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.request = request
        status, headers, body = self.answer
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), Raw(body))


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, amt: int = 1024, decode_content: bool = False) -> Iterator[bytes]:
        yield from (self._body[at : at + 11] for at in range(0, len(self._body), 11))

    def read(self, amt: int | None = None, decode_content: bool = False) -> bytes:
        body, self._body = self._body, b""
        return body


@pytest.fixture(scope="module")
def aws() -> Stub:
    return Stub()


MESSAGES = [
    {"role": "user", "content": [{"text": "hello"}, {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}]}
]


def foreign() -> Completion:
    """Return an answer that never was Converse's."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": "hi", "tool_calls": [call], "refusal": None}
    usage = usage_of({"prompt_tokens": 9}, [Tokens(uncached=2, read=3, written={"": 4}, output=5)])
    return Completion(
        {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage}
    )


def test_boto3_reads_an_answer_that_we_render(aws: Stub) -> None:
    aws.answer = (200, {"content-type": "application/json"}, json.dumps(render(foreign())).encode())

    answer = aws.client.converse(modelId="m", messages=MESSAGES)

    assert answer["output"]["message"]["content"] == [
        {"text": "hi"},
        {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
    ]
    assert answer["stopReason"] == "tool_use"
    assert answer["usage"] == {
        "inputTokens": 2,
        "outputTokens": 5,
        "totalTokens": 14,
        "cacheReadInputTokens": 3,
        "cacheWriteInputTokens": 4,
    }
    parts = [
        {"type": "text", "text": "hello"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
    ]
    assert read_request(json.loads(aws.request.body)).messages == [{"role": "user", "content": parts}]


def chunks() -> list[Chunk]:
    def chunk(delta: Json, finish: str | None = None) -> Chunk:
        return Chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    usage = usage_of({"prompt_tokens": 9}, [Tokens(uncached=9, output=5)])
    return [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "h"}),
        chunk({"reasoning_content": "m"}),
        chunk({"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}),
        chunk({"thinking_blocks": [{"type": "redacted_thinking", "data": "YWJj"}]}),
        chunk({"content": "h"}),
        chunk({"content": "i"}),
        chunk(
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]}),
        chunk(
            {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}
        ),
        chunk({}, "tool_calls"),
        Chunk({"choices": [], "usage": usage}),
    ]


def rendered(made: list[Chunk]) -> list[Json]:
    renderer = Renderer()
    return [event for chunk in made for event in renderer.feed(chunk)] + renderer.end()


def test_boto3_reads_a_stream_that_we_render(aws: Stub) -> None:
    events = rendered(chunks())
    frames = b"".join(encode_frame(name, payload) for event in events for name, payload in event.items())
    aws.answer = (200, {"content-type": "application/vnd.amazon.eventstream"}, frames)

    read = list(aws.client.converse_stream(modelId="m", messages=MESSAGES)["stream"])

    assert "/converse-stream" in aws.request.url
    for event in read:
        redacted = event.get("contentBlockDelta", {}).get("delta", {}).get("reasoningContent", {})
        if "redactedContent" in redacted:
            redacted["redactedContent"] = base64.b64encode(redacted["redactedContent"]).decode()
    assert read == events
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    assert fold.body()["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "YWJj"}},
        {"text": "hi"},
        {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "c2", "name": "g", "input": {}}},
    ]


@given(bodies)
def test_a_stream_through_chunks_and_back_says_the_same(body: Json) -> None:
    content = body["output"]["message"]["content"]
    if "provider_specific_fields" in WIRE.parse({**body}).choices[0].message:
        return
    translator, fold = WIRE.translator(), WIRE.fold()
    made = [chunk for event in WIRE.unfold(body, None) for chunk in translator.feed(event)]

    for event in rendered(made):
        fold.feed(event)

    assert [block for block in fold.body()["output"]["message"]["content"] if block != {}] == content
    assert fold.body()["usage"] == body["usage"]


def test_boto3_raises_an_error_that_we_render(aws: Stub) -> None:
    error = RateLimitError("slow down")
    headers = {"content-type": "application/json", "x-amzn-errortype": error_type(error)}
    aws.answer = (429, headers, json.dumps(render_error(error)).encode())

    with pytest.raises(ClientError, match="slow down") as raised:
        aws.client.converse(modelId="m", messages=MESSAGES)
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"


def test_boto3_raises_an_exception_that_we_send_in_mid_stream(aws: Stub) -> None:
    frames = encode_frame("messageStart", {"role": "assistant"}) + encode_exception(
        "throttlingException", {"message": "slow down"}
    )
    aws.answer = (200, {"content-type": "application/vnd.amazon.eventstream"}, frames)
    events = iter(aws.client.converse_stream(modelId="m", messages=MESSAGES)["stream"])

    assert next(events) == {"messageStart": {"role": "assistant"}}
    with pytest.raises(EventStreamError, match="slow down"):
        next(events)


@pytest.mark.parametrize(
    "kind",
    [
        AuthenticationError,
        BudgetExceededError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        ServiceUnavailableError,
        Timeout,
    ],
)
def test_an_error_reads_back_as_its_class(kind: type[OstinatoError]) -> None:
    error = kind("x")
    headers = {"x-amzn-errortype": error_type(error)}

    again = WIRE.error(error.status_code or 500, headers, json.dumps(render_error(error)).encode())

    assert type(again) is kind
