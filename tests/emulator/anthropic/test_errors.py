"""Errors: the vendor's shape, seen by its own client, and the mistakes that it refuses."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply

HI: list[Any] = [{"role": "user", "content": "hi"}]
REQUEST: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 2000, "messages": HI}
HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


def post(http: httpx2.Client, emulator: Emulator, body: Any, path: str = "messages", **headers: str) -> httpx2.Response:
    return http.post(f"{emulator.anthropic_url}/v1/{path}", json=body, headers={**HEADERS, **headers})


@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_a_status_has_the_vendors_own_type(
    emulator: Emulator, claude: anthropic.Anthropic, status: int, kind: str, seen: type[anthropic.APIStatusError]
) -> None:
    emulator.script(Reply(status=status))
    with pytest.raises(seen) as raised:
        claude.messages.create(**REQUEST)
    body: Any = raised.value.body

    assert (raised.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert ("request_id" in body) == (status != 529)
    assert not emulator.paid_calls


@pytest.mark.parametrize(
    ("status", "retried", "after"),
    [(400, "false", None), (401, "false", None), (429, "true", "1"), (500, None, None), (529, "true", None)],
)
def test_the_headers_say_whether_and_when_to_retry(
    http: httpx2.Client, emulator: Emulator, status: int, retried: str | None, after: str | None
) -> None:
    emulator.script(Reply(status=status))
    response = post(http, emulator, REQUEST)

    assert response.headers.get("x-should-retry") == retried
    assert response.headers.get("retry-after") == after
    assert response.headers["request-id"].startswith("req_01")


def test_the_client_waits_as_it_is_told_and_asks_again(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(status=429, headers={"retry-after": "0"}), Reply(status=529, headers={"retry-after-ms": "1"}))
    answer = claude.with_options(max_retries=2).messages.create(**REQUEST)

    assert answer.stop_reason == "end_turn"
    assert [call.outcome.status for call in emulator.calls] == [429, 529, 200]


def test_the_edge_answers_503_in_plain_text(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=503))
    response = post(http, emulator, REQUEST)

    assert (response.headers["content-type"], response.text[:8]) == ("text/plain", "upstream")


def test_a_wrong_or_missing_key_is_401(http: httpx2.Client) -> None:
    with Emulator(api_keys=["right"]) as emulator:
        wrong = post(http, emulator, REQUEST)
        missing = http.post(f"{emulator.anthropic_url}/v1/messages", json=REQUEST, headers={"anthropic-version": "x"})

    assert (wrong.status_code, wrong.json()["error"]["message"]) == (401, "invalid x-api-key")
    assert (missing.status_code, missing.json()["error"]["message"]) == (401, "x-api-key header is required")


def test_a_model_that_does_not_exist_is_404(http: httpx2.Client) -> None:
    with Emulator(models=["claude-opus-5"]) as emulator:
        asked = post(http, emulator, REQUEST)
        shown = http.get(f"{emulator.anthropic_url}/v1/models", headers=HEADERS).json()

    assert (asked.status_code, asked.json()["error"]) == (
        404,
        {"type": "not_found_error", "message": "model: claude-sonnet-4-6"},
    )
    assert [model["id"] for model in shown["data"]] == ["claude-opus-5"]


def test_the_version_must_be_named(http: httpx2.Client, emulator: Emulator) -> None:
    response = http.post(f"{emulator.anthropic_url}/v1/messages", json=REQUEST)

    assert (response.status_code, response.json()["error"]["message"]) == (400, "anthropic-version: header is required")


def test_another_method_is_405(http: httpx2.Client, emulator: Emulator) -> None:
    assert http.get(f"{emulator.anthropic_url}/v1/messages", headers=HEADERS).status_code == 405


# Streams.


@pytest.mark.parametrize("events", [0, 4])
def test_an_error_can_come_first_or_in_the_middle_of_a_stream(
    emulator: Emulator, claude: anthropic.Anthropic, events: int
) -> None:
    emulator.script(Reply(error_after_events=events))
    seen = []
    with pytest.raises(anthropic.APIStatusError) as raised, claude.messages.create(**REQUEST, stream=True) as stream:
        seen.extend(stream)
    body: Any = raised.value.body

    assert body == {"type": "error", "error": {"details": None, "type": "overloaded_error", "message": "Overloaded"}}
    # The client passes over the ping.
    assert len(seen) == max(0, events - 1)
    assert emulator.calls[0].outcome.status == 200


def test_a_stream_can_fail_with_any_error(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=500, error="broken", error_after_events=1))
    text = post(http, emulator, {**REQUEST, "stream": True}).text

    assert text.count("event: ") == 2
    assert text.endswith(
        'event: error\ndata: {"type":"error","error":{"details":null,"type":"api_error","message":"broken"}}\n\n'
    )


def test_a_truncated_stream_breaks_the_connection(emulator: Emulator, claude: anthropic.Anthropic) -> None:
    emulator.script(Reply(cut_after_events=5))
    seen: list[str] = []
    stream = claude.messages.create(**REQUEST, stream=True)
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)), stream:
        seen.extend(event.type for event in stream)

    assert seen == ["message_start", "content_block_start", "content_block_delta", "content_block_delta"]


# Mistakes.

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"}
THINK = {"type": "enabled", "budget_tokens": 1024}


def said(*content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": list(content)}


def marked(text: str, mark: dict[str, Any] = MARK) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": mark}


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "max_tokens of the wrong type": ({"max_tokens": "7"}, "max_tokens: Input should be a valid integer"),
    "max_tokens below nothing": ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    "no model": ({"model": None}, "model: Field required"),
    "no messages": ({"messages": None}, "messages: Field required"),
    "no message": ({"messages": []}, "messages: at least one message is required"),
    "a parameter of another vendor": ({"seed": 7}, "seed: Extra inputs are not permitted"),
    "a message that is none": ({"messages": ["hi"]}, "messages.0: Input does not match the expected shape."),
    "an unknown role": (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages.0.role: Input should be 'user' or 'assistant'",
    ),
    "a system turn for an older model": (
        {"messages": [*HI, {"role": "system", "content": "x"}]},
        'messages: Unexpected role "system".*',
    ),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    "empty content": (
        {"messages": [{"role": "user", "content": ""}]},
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    "an empty text": ({"messages": [said({"type": "text", "text": ""})]}, "messages: text content blocks must be .*"),
    "an empty system text": ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be .*"),
    "a block without a type": ({"messages": [said({"text": "x"})]}, "messages.0.content.0.type: Field required"),
    "a tool's input as text": (
        {"messages": [*HI, said({**USE, "input": "{}"}, role="assistant"), said(RESULT)]},
        "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
    ),
    "a begun answer that ends with a space": (
        {"messages": [*HI, {"role": "assistant", "content": "So "}]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "a call without its result": (
        {"messages": [*HI, said(USE, role="assistant"), *HI]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.*",
    ),
    "a result behind a text": (
        {"messages": [*HI, said(USE, role="assistant"), said({"type": "text", "text": "x"}, RESULT)]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.*",
    ),
    "a result without its call": (
        {"messages": [said(RESULT)]},
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.*",
    ),
    "a tool without a schema": ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
    "a schema without a type": (
        {"tools": [{"name": "f", "input_schema": {}}]},
        "tools.0.custom.input_schema.type: Field required",
    ),
    "a schema of a text": (
        {"tools": [{"name": "f", "input_schema": {"type": "string"}}]},
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    "a choice without tools": (
        {"tool_choice": {"type": "any"}},
        "tool_choice may only be specified while providing tools",
    ),
    "a choice of another tool": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}},
        "Tool 'g' not found in provided tools",
    ),
    "another vendor's choice": (
        {"tools": [TOOL], "tool_choice": {"type": "required"}},
        "tool_choice.type: Input should be .*",
    ),
    "another vendor's format": (
        {"output_config": {"format": {"type": "json_object"}}},
        "output_config.format.type: Input should be 'json_schema'",
    ),
    "little thinking": (
        {"thinking": {"type": "enabled", "budget_tokens": 1000}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "more thinking than tokens": (
        {"thinking": THINK, "max_tokens": 1024},
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    "thinking with a forced tool": (
        {"thinking": THINK, "tools": [TOOL], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "thinking coolly": (
        {"thinking": THINK, "temperature": 0},
        "`temperature` may only be set to 1 when thinking is enabled.",
    ),
    "warming in a stream": ({"max_tokens": 0, "stream": True}, "max_tokens: 0 cannot be combined with streaming.*"),
    "five marks": (
        {"system": [marked("x") for _ in range(5)]},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "four marks and an automatic one": (
        {"system": [marked("x") for _ in range(4)], "cache_control": MARK},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "an hour behind five minutes": (
        {"system": [marked("x")], "messages": [said(marked("x", HOUR))]},
        "messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m'.*",
    ),
    "an automatic mark on a block with another ttl": (
        {"messages": [said(marked("x", HOUR))], "cache_control": MARK},
        "cache_control: the last block has a cache_control with another ttl",
    ),
    "an unknown ttl": (
        {"system": [marked("x", {"type": "ephemeral", "ttl": "2h"})]},
        "system.0.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    "a mark of another type": (
        {"tools": [{**TOOL, "cache_control": {"type": "forever"}}]},
        "tools.0.cache_control.type: Input should be 'ephemeral'",
    ),
    "a mark on thinking": (
        {
            "messages": [
                *HI,
                said({"type": "thinking", "thinking": "t", "signature": "s", "cache_control": MARK}, role="assistant"),
            ]
        },
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_in_the_vendors_words(
    http: httpx2.Client, emulator: Emulator, change: dict[str, Any], message: str
) -> None:
    body = {name: value for name, value in {**REQUEST, **change}.items() if value is not None}
    response = post(http, emulator, body)
    error = response.json()["error"]

    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    start = message.removesuffix(".*")
    assert (error["message"][: len(start)] if start != message else error["message"]) == start


@pytest.mark.parametrize(
    "change",
    [
        {"messages": [*HI, said(USE, role="assistant"), said(RESULT), said({"type": "text", "text": "x"})]},
        {"messages": [*HI, *HI, {"role": "assistant", "content": ""}]},
        {"system": [marked("x", HOUR), marked("x")], "cache_control": MARK},
        {"messages": [said(marked("x", HOUR))], "cache_control": HOUR},
        {"system": [marked("x") for _ in range(3)], "messages": [said(marked("x"))], "cache_control": MARK},
        {"model": "claude-opus-4-8", "messages": [*HI, {"role": "system", "content": "x"}]},
    ],
)
def test_what_looks_like_a_mistake_may_be_none(http: httpx2.Client, emulator: Emulator, change: dict[str, Any]) -> None:
    response = post(http, emulator, {**REQUEST, "tools": [TOOL], **change})

    assert response.status_code == 200, response.text


def test_a_count_takes_no_max_tokens(http: httpx2.Client, emulator: Emulator) -> None:
    response = post(http, emulator, REQUEST, "messages/count_tokens")

    assert response.json()["error"]["message"] == "max_tokens: Extra inputs are not permitted"


def test_a_body_that_is_no_json_is_refused(http: httpx2.Client, emulator: Emulator) -> None:
    response = http.post(f"{emulator.anthropic_url}/v1/messages", content=b"{", headers=HEADERS)

    assert response.status_code == 400
