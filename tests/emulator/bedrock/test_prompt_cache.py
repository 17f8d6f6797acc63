"""Bedrock's prompt cache: checkpoints in Converse, marks in Invoke."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ostinato.testing.emulator import Emulator, Reply

CLAUDE = "global.anthropic.claude-sonnet-4-6"
NOVA = "us.amazon.nova-lite-v1:0"
HI = [{"role": "user", "content": [{"text": "hi"}]}]


def text(tokens: int, letter: str = "a") -> dict[str, Any]:
    return {"text": letter * 4 * tokens}


def point(ttl: str | None = None) -> dict[str, Any]:
    return {"cachePoint": {"type": "default"} if ttl is None else {"type": "default", "ttl": ttl}}


def ask(runtime: Any, model: str = CLAUDE, **request: Any) -> tuple[int, int]:
    """Return what Converse read from the prompt cache and wrote to it."""
    usage = runtime.converse(**{"modelId": model, "messages": HI, **request})["usage"]
    prompt = usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
    assert usage["totalTokens"] == prompt + usage["outputTokens"]
    return usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]


def test_what_stands_before_a_checkpoint_is_written_then_read(runtime: Any) -> None:
    request: dict[str, Any] = {"system": [text(1500), point()]}

    assert [ask(runtime, **request), ask(runtime, **request)] == [(0, 1500), (1500, 0)]


def test_a_growing_conversation_reads_what_it_wrote(runtime: Any) -> None:
    first = [{"role": "user", "content": [text(1500), point()]}]
    second = [
        {"role": "user", "content": [text(1500)]},
        {"role": "assistant", "content": [{"text": "ok"}]},
        {"role": "user", "content": [text(10), point()]},
    ]

    assert ask(runtime, messages=first) == (0, 1503)
    assert ask(runtime, messages=second) == (1503, 1 + 10 + 6)


def test_a_stream_reports_the_same_and_details_by_time_to_live(runtime: Any) -> None:
    request = {
        "modelId": CLAUDE,
        "system": [text(1500), point("1h")],
        "messages": [{"role": "user", "content": [text(20), point()]}],
    }
    usages = [
        event["metadata"]["usage"]
        for _ in range(2)
        for event in runtime.converse_stream(**request)["stream"]
        if "metadata" in event
    ]

    assert [usage["cacheReadInputTokens"] for usage in usages] == [0, 1523]
    assert usages[0]["cacheDetails"] == [{"ttl": "1h", "inputTokens": 1500}, {"ttl": "5m", "inputTokens": 23}]
    assert "cacheDetails" not in usages[1]


def test_five_minutes_and_an_hour_pass_on_the_emulators_clock(emulator: Emulator, runtime: Any) -> None:
    request: dict[str, Any] = {
        "system": [text(1500), point("1h")],
        "messages": [{"role": "user", "content": [text(20), point()]}],
    }
    ask(runtime, **request)
    emulator.advance(301)

    assert ask(runtime, **request) == (1500, 23)
    emulator.advance(3601)
    assert ask(runtime, **request) == (0, 1523)


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("anthropic.claude-opus-5", 512),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 1024),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 1024),
        ("global.anthropic.claude-opus-4-7", 4096),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", 4096),
        (NOVA, 1000),
    ],
)
def test_a_model_has_its_own_minimum(runtime: Any, model: str, minimum: int) -> None:
    counts = [
        ask(runtime, model, system=[text(tokens), point()]) for tokens in (minimum - 1, minimum - 1, minimum, minimum)
    ]

    assert counts == [(0, 0), (0, 0), (0, minimum), (minimum, 0)]


@pytest.mark.parametrize("model", ["meta.llama3-2-1b-instruct-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"])
def test_a_model_without_a_prompt_cache_says_nothing_of_it(runtime: Any, model: str) -> None:
    usage = runtime.converse(modelId=model, messages=HI, system=[text(5000), point()])["usage"]

    assert usage.keys() == {"inputTokens", "outputTokens", "totalTokens"}


def test_only_claude_looks_back_from_a_checkpoint(runtime: Any) -> None:
    answers = {}
    for model in (CLAUDE, NOVA):
        ask(runtime, model, system=[text(1500), point()])
        answers[model] = ask(runtime, model, system=[text(1500), text(5), point()])

    assert answers == {CLAUDE: (1500, 5), NOVA: (0, 1505)}


def test_another_model_or_door_shares_nothing(runtime: Any) -> None:
    ask(runtime, system=[text(1500), point()])
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "system": [{"type": "text", **text(1500), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
    }
    invoked = json.loads(runtime.invoke_model(modelId=CLAUDE, body=json.dumps(body))["body"].read())["usage"]

    assert ask(runtime, "us.anthropic.claude-sonnet-4-6", system=[text(1500), point()]) == (0, 1500)
    assert (invoked["cache_read_input_tokens"], invoked["cache_creation_input_tokens"]) == (0, 1500)


def test_an_error_writes_nothing(emulator: Emulator, runtime: Any) -> None:
    emulator.script(Reply(status=429))
    with pytest.raises(runtime.exceptions.ThrottlingException):
        ask(runtime, system=[text(1500), point()])

    assert ask(runtime, system=[text(1500), point()]) == (0, 1500)


@pytest.mark.parametrize("streamed", [False, True])
def test_invoke_reports_reads_and_writes_beside_its_answer(runtime: Any, streamed: bool) -> None:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "system": [{"type": "text", **text(1500), "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}],
    }

    def counts() -> tuple[int, int]:
        if not streamed:
            headers = runtime.invoke_model(modelId=CLAUDE, body=json.dumps(body))["ResponseMetadata"]["HTTPHeaders"]
            named = "x-amzn-bedrock-cache-{}-input-token-count".format
            return int(headers[named("read")]), int(headers[named("write")])
        stream = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(body))["body"]
        *_, last = (json.loads(event["chunk"]["bytes"]) for event in stream)
        metrics = last["amazon-bedrock-invocationMetrics"]
        return metrics["cacheReadInputTokenCount"], metrics["cacheWriteInputTokenCount"]

    assert [counts(), counts()] == [(0, 1500), (1500, 0)]
