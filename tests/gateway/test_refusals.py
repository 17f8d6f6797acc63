"""Errors in the caller's dialect on every route, with what the vendor said of them."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.gateway.serving import Serving, config_for

HELLO: Any = [{"role": "user", "content": "hello"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt", "messages": HELLO},
    "/v1/messages": {"model": "claude", "messages": HELLO, "max_tokens": 20},
    "/v1/responses": {"model": "responses", "input": "hello"},
    "/v1/completions": {"model": "gpt", "prompt": "hello"},
    "/v1/embeddings": {"model": "embed", "input": "hello"},
    "/v1/messages/count_tokens": {"model": "claude", "messages": HELLO},
}
TRANSLATED = {
    "/v1/chat/completions": {"model": "claude", "messages": HELLO},
    "/v1/messages": {"model": "gpt", "messages": HELLO, "max_tokens": 20},
    "/v1/responses": {"model": "claude", "input": "hello"},
}
NO_RETRIES = "litellm_settings: {num_retries: 0}"


def told(path: str, answer: httpx2.Response) -> dict[str, Any]:
    """Return the error in an answer, which has the dialect's shape."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    if "/messages" in path:
        assert body["type"] == "error"
        assert {"type", "message"} <= body["error"].keys()
    else:
        assert body.keys() == {"error"}
        assert body["error"].keys() == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"method": "GET"}, 405),
        ({"method": "PUT", "json": {}}, 405),
        ({"method": "OPTIONS"}, 405),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"{}"}, 415),
        ({"content": b"\x1f\x8b", "headers": {"content-type": "application/json", "content-encoding": "gzip"}}, 415),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"[]", "headers": {"content-type": "application/json; charset=utf-8"}}, 400),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 400),
        ({"content": b'{"a":"\xff"}', "headers": {"content-type": "application/json"}}, 400),
        ({"json": {}}, 400),
        ({"json": {"model": 7}}, 400),
        ({"json": {"model": "gtp", "messages": HELLO, "input": "x", "prompt": "x"}}, 404),
        ({"json": {"model": "gpt", "stream": "yes"}}, 400),
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_its_dialect(
    how: dict[str, Any], status: int, http: httpx2.Client, emulator: Emulator
) -> None:
    for path in ASKED:
        answer = http.request(how.get("method", "POST"), path, **{k: v for k, v in how.items() if k != "method"})

        assert answer.status_code == status
        told(path, answer)
    assert not emulator.calls


def test_a_method_that_is_not_answered_names_those_that_are(http: httpx2.Client) -> None:
    assert http.get("/v1/chat/completions").headers["allow"] == "POST"
    assert http.post("/v1/models", json={}).headers["allow"] == "GET"


def test_a_path_that_is_not_there_is_told_in_the_dialect_of_who_asks(http: httpx2.Client) -> None:
    told("/v1/messages", http.get("/v2/things", headers={"anthropic-version": "2023-06-01"}))
    assert told("/v1/chat", http.get("/v2/things"))["message"] == "nothing is at '/v2/things'"


def test_an_unknown_model_is_told_with_the_nearest(http: httpx2.Client) -> None:
    answer = http.post("/v1/chat/completions", json={"model": "gptt", "messages": HELLO})
    error = told("/v1/chat/completions", answer)

    assert answer.status_code == 404
    assert error["code"] == "model_not_found"
    assert "did you mean 'gpt'" in error["message"]


@pytest.mark.parametrize("body", [b" " * 2000, [b" " * 600, b" " * 600]], ids=["sized", "chunked"])
def test_a_body_that_is_too_large_is_refused(body: Any, emulator: Emulator) -> None:
    with Serving(config_for(emulator, "limits: {max_body_bytes: 1000}")) as serving:
        content = body if isinstance(body, bytes) else iter(body)
        answer = httpx2.post(
            f"{serving.url}/v1/messages", content=content, headers={"content-type": "application/json"}
        )

    assert answer.status_code == 413
    assert told("/v1/messages", answer)["type"] == "request_too_large"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        (429, {"retry-after": "7"}, "rate_limit_exceeded"),
        (401, {}, None),
        (422, {}, None),
        (500, {}, None),
        (529, {"retry-after": "3"}, None),
    ],
)
def test_an_error_of_the_vendor_keeps_its_status_code_and_retry_after(
    status: int, headers: dict[str, str], code: str | None, emulator: Emulator
) -> None:
    with Serving(config_for(emulator, NO_RETRIES)) as serving:
        emulator.script(Reply(status=status, error="the vendor's words", headers=headers), times=None)
        answers = {path: httpx2.post(serving.url + path, json=asked) for path, asked in ASKED.items()}

    for path, answer in answers.items():
        error = told(path, answer)
        assert answer.status_code == status
        assert "the vendor's words" in error["message"]
        assert answer.headers.get("retry-after") == headers.get("retry-after")
        if code is not None and "messages" not in path:
            assert error["code"] == code


def test_an_error_of_another_vendor_is_told_in_the_caller_s_dialect(emulator: Emulator) -> None:
    with Serving(config_for(emulator, NO_RETRIES)) as serving:
        emulator.script(Reply(status=429, error="slow down", headers={"retry-after": "2"}), times=None)
        answers = {path: httpx2.post(serving.url + path, json=asked) for path, asked in TRANSLATED.items()}

    for path, answer in answers.items():
        assert answer.status_code == 429
        assert "slow down" in told(path, answer)["message"]
        assert answer.headers["retry-after"] == "2"


def test_a_stream_that_fails_before_its_first_event_is_a_plain_error(emulator: Emulator) -> None:
    with Serving(config_for(emulator, NO_RETRIES)) as serving:
        emulator.script(Reply(error="no more", error_after_events=0), times=None)
        for path in [*ASKED][:3]:
            answer = httpx2.post(serving.url + path, json={**ASKED[path], "stream": True})

            assert answer.status_code >= 400
            assert "no more" in told(path, answer)["message"]


@pytest.mark.parametrize("fault", [{"error": "broken", "error_after_events": 4}, {"cut_after_events": 4}])
def test_a_stream_that_breaks_ends_with_an_error_event(
    fault: dict[str, Any], http: httpx2.Client, emulator: Emulator
) -> None:
    for path, body in [*[*ASKED.items()][:3], *TRANSLATED.items()]:
        check_broken(path, body, fault, http, emulator)


def check_broken(
    path: str, body: dict[str, Any], fault: dict[str, Any], http: httpx2.Client, emulator: Emulator
) -> None:
    emulator.script(Reply(text="one two three four five six seven eight nine ten", **fault))
    answer = http.post(path, json={**body, "stream": True})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]

    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    assert "message_stop" not in answer.text
    assert "response.completed" not in answer.text
    last = events[-1]
    assert last.get("type") == "error" if "chat" not in path else "error" in last
    if path == "/v1/responses":
        assert last["sequence_number"] == events[-2]["sequence_number"] + 1
    assert http.post(path, json=body).headers["x-ostinato-cache"] == "miss"
    http.post("/cache/flush", json={})


def test_the_clients_raise_their_own_errors(
    oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(Reply(status=404, error="gone"), times=None)
    with pytest.raises(openai.NotFoundError, match="gone"):
        oai.chat.completions.create(model="gpt", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="gone"):
        oai.responses.create(model="claude", input="x")
    with pytest.raises(anthropic.NotFoundError, match="gone"):
        claude.messages.create(model="gpt", messages=HELLO, max_tokens=9)


def test_a_stream_that_breaks_raises_in_the_clients(
    oai: openai.OpenAI, claude: anthropic.Anthropic, emulator: Emulator
) -> None:
    emulator.script(Reply(text="one two three four five", error="broken", error_after_events=3), times=None)
    with pytest.raises(openai.APIError, match="broken"):
        list(oai.chat.completions.create(model="claude", messages=HELLO, stream=True))
    with pytest.raises(anthropic.APIStatusError, match="broken"):
        list(claude.messages.create(model="gpt", messages=HELLO, max_tokens=9, stream=True))


def test_a_vendor_that_cannot_be_reached_is_a_bad_gateway(emulator: Emulator) -> None:
    config = config_for(emulator, NO_RETRIES)
    with Serving(config) as serving:
        emulator.stop()
        answers = {path: httpx2.post(serving.url + path, json=body) for path, body in ASKED.items()}

    for path, answer in answers.items():
        assert answer.status_code == 502
        told(path, answer)


def test_a_vendor_that_says_nothing_in_time_is_a_gateway_timeout(emulator: Emulator) -> None:
    more = "litellm_settings: {num_retries: 0, request_timeout: 0.05}"
    with Serving(config_for(emulator, more)) as serving:
        emulator.script(Reply(delay_s=5), times=None)
        answer = httpx2.post(f"{serving.url}/v1/messages", json=ASKED["/v1/messages"])

    assert answer.status_code == 504
    assert told("/v1/messages", answer)["type"] == "timeout_error"


def test_what_no_vendor_key_is_known_for_is_told(emulator: Emulator) -> None:
    config = 'model_list: [{model_name: gpt, litellm_params: {model: openai/gpt-4o, api_base: "%s"}}]'
    with Serving(config % emulator.base_url) as serving:
        answer = httpx2.post(f"{serving.url}/v1/chat/completions", json=ASKED["/v1/chat/completions"])

    assert answer.status_code == 401
    assert "OPENAI_API_KEY" in told("/v1/chat/completions", answer)["message"]


def test_more_inputs_than_a_vendor_takes_are_refused_at_once(http: httpx2.Client) -> None:
    many = http.post("/v1/embeddings", json={"model": "embed", "input": ["x"] * 2049})
    tokens = http.post("/v1/embeddings", json={"model": "embed", "input": [1] * 2049})

    assert (many.status_code, tokens.status_code) == (400, 200)
    assert "2048" in told("/v1/embeddings", many)["message"]


def test_a_fault_of_ours_is_told_and_the_connection_stays(
    gateway: Serving, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.service.router, "plan", None)
    answer = http.post("/v1/chat/completions", json=ASKED["/v1/chat/completions"])
    following = http.get("/health/liveness")

    assert answer.status_code == 500
    assert "the gateway failed" in told("/v1/chat/completions", answer)["message"]
    assert following.status_code == 200
    assert answer.extensions["network_stream"] is following.extensions["network_stream"]
