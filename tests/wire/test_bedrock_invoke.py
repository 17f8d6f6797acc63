from __future__ import annotations

import base64
import copy
from typing import Any

import msgspec
import pytest

from ostinato.errors import BadRequestError
from ostinato.providers import Provider
from ostinato.wire.bedrock_invoke import WIRE
from ostinato.wire.contract import Built, Call
from ostinato.wire.eventstream import Decoder
from ostinato.wire.tokens import Tokens
from tests.corpus import open_index, open_records
from tests.wire.anthropic_oracle import METRICS, lost_leaves, official_fold

PROVIDER = Provider("bedrock", wire="bedrock_converse", base_url=None, auth="aws")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MARK = {"type": "ephemeral"}


def build(*messages: Any, model: str = CLAUDE, **params: Any) -> Built:
    return WIRE.build(Call(model, list(messages) or [{"role": "user", "content": "u"}], params), PROVIDER)


def test_the_model_is_in_the_path_encoded_once_and_the_version_in_the_body() -> None:
    built = build(max_tokens=5)

    assert built.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
    assert built.body == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "u"}],
    }
    assert built.headers == {}
    assert WIRE.streaming(built) == Built(f"{built.path}-with-response-stream", built.body, {})


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc/invoke",
        ),
    ],
)
def test_an_arn_is_a_model_too(model: str, path: str) -> None:
    assert build(model=model).path == path


@pytest.mark.parametrize("model", ["amazon.nova-pro-v1:0", "meta.llama3-8b-instruct-v1:0", "us.cohere.embed-v4:0"])
def test_another_makers_model_is_an_error_that_points_to_converse(model: str) -> None:
    with pytest.raises(BadRequestError, match=f"bedrock/converse/{model}") as raised:
        build(model=model)

    assert raised.value.provider == "bedrock"


def test_betas_are_in_the_body_and_the_tier_in_a_header() -> None:
    assert build(betas="a,b").body["anthropic_beta"] == ["a", "b"]
    assert build(anthropic_beta=["a"]).body["anthropic_beta"] == ["a"]
    assert build(service_tier="priority").headers == {"x-amzn-bedrock-service-tier": "priority"}
    assert build(service_tier="auto").headers == {}
    assert "service_tier" not in build(service_tier="flex").body


def test_marks_are_kept_and_the_one_of_the_request_goes_to_the_last_block() -> None:
    marked = {"role": "user", "content": "u", "cache_control": {**MARK, "ttl": "1h"}}
    first = build(marked, {"role": "user", "content": "v"}, cache_control=MARK).body

    assert "cache_control" not in first
    assert first["messages"][0]["content"][0]["cache_control"] == {**MARK, "ttl": "1h"}
    assert first["messages"][1]["content"] == [{"type": "text", "text": "v", "cache_control": MARK}]
    assert build(marked, cache_control=MARK).body["messages"][0]["content"][0]["cache_control"]["ttl"] == "1h"
    keyed = WIRE.keyed_body(first)
    assert b"cache_control" not in msgspec.json.encode(keyed)
    assert keyed["anthropic_version"] == "bedrock-2023-05-31"


def test_a_url_is_refused_since_bedrock_fetches_none() -> None:
    with pytest.raises(BadRequestError, match="turn 0 holds a URL"):
        build({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/p.png"}}]})


def test_counts_come_from_the_body_then_the_metrics_then_the_headers() -> None:
    headers = {
        "x-amzn-bedrock-input-token-count": "1",
        "x-amzn-bedrock-output-token-count": "2",
        "x-amzn-bedrock-cache-read-input-token-count": "3",
        "x-amzn-bedrock-cache-write-input-token-count": "4",
    }
    metrics = {"inputTokenCount": 5, "outputTokenCount": 6, "cacheReadInputTokenCount": 7, "invocationLatency": 8}
    usage = {"input_tokens": 9, "output_tokens": 10}

    assert WIRE.tokens({"usage": usage, METRICS: metrics}, headers) == [Tokens(9, output=10)]
    assert WIRE.tokens({METRICS: metrics}, headers) == [Tokens(5, 7, output=6)]
    assert WIRE.tokens({}, headers) == [Tokens(1, 3, {"5m": 4}, 2)]
    assert WIRE.tokens({}) is None
    answer = WIRE.parse({"type": "completion", "completion": "a", "stop_reason": "max_tokens", "stop": None}, headers)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.choices[0].finish_reason) == (8, "length")


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"exception": {"type": "throttlingException", "message": "Too many requests"}}, "RateLimitError"),
        ({"exception": {"type": "modelTimeoutException", "message": "m"}}, "Timeout"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "ServiceUnavailableError"),
        ({"type": "message_stop"}, "NoneType"),
        ({"completion": " The", "stop_reason": None}, "NoneType"),
    ],
)
def test_an_exception_in_a_stream_is_an_error(event: dict[str, Any], name: str) -> None:
    assert type(WIRE.event_error(event)).__name__ == name


def answered(api: str) -> list[dict[str, Any]]:
    records = open_records(api=api, provider="bedrock-invoke")
    return [
        record
        for record in records
        if record["response"]["status"] == 200 and "non-anthropic-body" not in record["tags"]
    ]


def events_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    decoder = Decoder()
    data = base64.b64decode(record["response"]["eventstream_base64"])
    return [msgspec.json.decode(event) for event in [*decoder.feed(data), *decoder.end()]]


def folded(events: Any) -> Any:
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold


def test_every_recorded_body_is_read_without_loss() -> None:
    index = open_index()
    read = 0
    for record in answered("invoke"):
        name, headers = record["id"], record["response"]["headers"]
        body = copy.deepcopy(record["response"]["json"])
        completion = WIRE.parse(copy.deepcopy(body), headers)
        runs = WIRE.tokens(body, headers)
        read += 1

        assert not lost_leaves(body, completion), name
        assert folded(WIRE.unfold(body, None)).body() == body, name
        if "usage" in body and "x-amzn-bedrock-input-token-count" in headers:
            assert runs == WIRE.tokens({}, headers), name
        assert completion.usage is not None, name
        assert completion.usage.completion_tokens == (runs or [])[0].output, name
        if index[name]["finish"] is not None:
            assert completion.choices[0].native_finish_reason == index[name]["finish"], name

    assert read == 35


def test_every_recorded_stream_is_read_as_the_official_client_reads_it() -> None:
    read = 0
    for record in answered("invoke-stream"):
        name, events = record["id"], events_of(record)
        fold = folded(events)
        body = fold.body()
        cuts = msgspec.json.decode(msgspec.json.encode(fold.cuts()))
        read += 1

        assert fold.complete, name
        assert list(WIRE.unfold(body, cuts)) == events, name
        assert body[METRICS] == events[-1][METRICS], name
        translator = WIRE.translator()
        chunks = [chunk for event in copy.deepcopy(events) for chunk in translator.feed(event)] + translator.end()
        text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.choices)
        assert text == (WIRE.parse(copy.deepcopy(body)).choices[0].message.content or ""), name
        if "type" in events[0]:
            assert {key: value for key, value in body.items() if key != METRICS} == official_fold(events), name

    assert read == 37


def test_every_recorded_error_is_of_its_class() -> None:
    found = set()
    for api in ("invoke", "invoke-stream"):
        for record in open_records(api=api, provider="bedrock-invoke"):
            response = record["response"]
            if response["status"] != 200 and "non-anthropic-body" not in record["tags"]:
                error = WIRE.error(response["status"], response["headers"], msgspec.json.encode(response["json"]))
                found.add((response["status"], error.code, type(error).__name__))

    assert found == {
        (400, "ValidationException", "BadRequestError"),
        (403, "AccessDeniedException", "PermissionDeniedError"),
        (403, "UnrecognizedClientException", "AuthenticationError"),
        (503, "ServiceUnavailableException", "RateLimitError"),
    }


def test_a_text_of_old_is_whole_with_its_stop_reason() -> None:
    pieces = [
        {"completion": " a", "stop_reason": None, "stop": None},
        {"completion": "b", "stop_reason": "stop_sequence", "stop": "\n\nHuman:"},
    ]

    assert not folded(pieces[:1]).complete
    assert folded(pieces).body() == {"completion": " ab", "stop_reason": "stop_sequence", "stop": "\n\nHuman:"}
    assert WIRE.incomplete(folded(pieces).body()) is None
    assert WIRE.incomplete(folded(pieces[:1]).body()) == "it has no stop reason"
    assert list(WIRE.unfold(folded(pieces).body(), None)) == [folded(pieces).body()]


def test_a_stream_without_an_event_has_no_body() -> None:
    assert WIRE.fold().body() == {}
    assert not WIRE.fold().complete
    assert WIRE.translator().end() == []


def test_botocore_sends_what_we_build_to_the_path_we_build() -> None:
    session = pytest.importorskip("botocore.session").Session()
    session.set_credentials("a", "b")
    client = session.create_client("bedrock-runtime", region_name="us-east-1")
    built = build()
    seen = []

    def take(request: Any, **_: Any) -> Any:
        seen.append(request.url)
        raise InterruptedError

    client.meta.events.register("before-send.bedrock-runtime.*", take)
    with pytest.raises(InterruptedError):
        client.invoke_model(modelId=CLAUDE, body=msgspec.json.encode(built.body))

    assert seen == [f"https://bedrock-runtime.us-east-1.amazonaws.com{built.path}"]


def test_what_headers_alone_count_is_the_usage_of_the_unfolded_stream() -> None:
    headers = {"x-amzn-bedrock-input-token-count": "5", "x-amzn-bedrock-output-token-count": "7"}
    text = {"completion": "a b", "stop_reason": "stop_sequence", "stop": None}
    message = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}], "stop_reason": "x"}
    for body in (text, message):
        translator = WIRE.translator()
        chunks = [chunk for event in WIRE.unfold(body, None, headers) for chunk in translator.feed(event)]
        counted = [chunk.usage for chunk in [*chunks, *translator.end()] if chunk.usage is not None]

        assert [(usage.prompt_tokens, usage.completion_tokens) for usage in counted] == [(5, 7)]
