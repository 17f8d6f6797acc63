"""What the vendor refuses, and in which words."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator, Reply

HI = {"role": "user", "content": "hi"}
CALL = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f"}}]}


def refused(http: httpx2.Client, emulator: Emulator, route: str = "chat/completions", **request: Any) -> dict[str, Any]:
    """Return the error object of a request that is answered 400."""
    response = http.post(f"{emulator.base_url}/{route}", json={"model": "gpt-4o", **request})

    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    error: dict[str, Any] = response.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


@pytest.mark.parametrize(
    ("request_", "param", "code"),
    [
        ({}, "messages", "missing_required_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        ({"messages": [HI, CALL, HI]}, "messages[2].role", None),
        ({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": ""}]}, "messages[0].role", None),
        ({"messages": [HI], "temperature": 99}, "temperature", "decimal_above_max_value"),
        ({"messages": [HI], "n": 0}, "n", "integer_below_min_value"),
        ({"messages": [HI], "n": 1.5}, "n", "invalid_type"),
        (
            {"messages": [HI], "max_tokens": 5, "max_completion_tokens": 5},
            "max_tokens",
            "invalid_parameter_combination",
        ),
        ({"messages": [HI], "stream_options": {"include_usage": True}}, "stream_options", None),
        ({"messages": [HI], "tool_choice": "auto"}, "tool_choice", None),
        ({"messages": [HI], "tools": [{"type": "function"}]}, "tools[0].function.name", "missing_required_parameter"),
        ({"messages": [HI], "response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"messages": [HI], "response_format": {"type": "json_object"}}, "messages", None),
        ({"messages": [HI], "modalities": ["text", "audio"]}, "modalities", "unsupported_value"),
        ({"messages": [HI], "web_search_options": {}}, "web_search_options", None),
        ({"messages": [HI], "model": "gpt-5-mini", "stop": ["x"]}, "stop", "unsupported_parameter"),
        ({"messages": [HI], "model": "gpt-5-mini", "max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"messages": [HI], "model": "gpt-5-mini", "temperature": 0.5}, "temperature", "unsupported_value"),
        ({"messages": [HI], "prompt_cache_options": {}}, "prompt_cache_options", "unsupported_parameter"),
    ],
)
def test_a_bad_request_names_the_parameter(
    http: httpx2.Client, emulator: Emulator, request_: dict[str, Any], param: str, code: str | None
) -> None:
    error = refused(http, emulator, **request_)

    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert not emulator.paid_calls


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(http: httpx2.Client, emulator: Emulator, body: bytes) -> None:
    response = http.post(f"{emulator.base_url}/chat/completions", content=body)

    assert response.status_code == 400
    assert "could not parse the JSON body" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "request_",
    [{}, {"input": ""}, {"input": []}, {"input": [""]}, {"input": [[]]}, {"input": ["a"] * 2049}, {"input": 3.5}]
    + [{"input": "a", "dimensions": wrong} for wrong in (-1, 4000)]
    + [{"input": "a", "encoding_format": "hex"}, {"input": "a", "model": "text-embedding-ada-002", "dimensions": 8}],
)
def test_a_bad_embeddings_request_is_refused(http: httpx2.Client, emulator: Emulator, request_: dict[str, Any]) -> None:
    error = refused(http, emulator, "embeddings", **{"model": "text-embedding-3-large", **request_})

    assert error["type"] == "invalid_request_error"


def test_any_key_is_let_in_unless_keys_are_given(http: httpx2.Client, emulator: Emulator) -> None:
    assert http.get(f"{emulator.base_url}/models").status_code == 200


def test_a_wrong_key_is_answered_401_with_the_key_masked() -> None:
    with Emulator(api_keys={"right-key-0001"}) as emulator:
        client = openai.OpenAI(base_url=emulator.base_url, api_key="right-key-0001")
        assert client.models.list().data
        with pytest.raises(openai.AuthenticationError) as caught:
            client.with_options(api_key="wrong-key-that-is-secret").models.list()
        client.close()

    assert caught.value.code == "invalid_api_key"
    assert "wrong-ke************cret" in str(caught.value)


def test_a_missing_key_is_answered_401(http: httpx2.Client) -> None:
    with Emulator(api_keys={"right"}) as emulator:
        response = http.get(f"{emulator.base_url}/models")

    assert (response.status_code, response.json()["error"]["code"]) == (401, None)


def test_an_unknown_model_is_answered_404_where_models_are_given() -> None:
    with Emulator(models=["gpt-4o"]) as emulator:
        client = openai.OpenAI(base_url=emulator.base_url, api_key="any")
        assert [model.id for model in client.models.list()] == ["gpt-4o"]
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hi"}])
        client.close()

    assert caught.value.code == "model_not_found"


def test_an_unknown_route_and_a_wrong_method_are_answered_in_the_vendor_s_shape(
    http: httpx2.Client, emulator: Emulator
) -> None:
    unknown = http.get(f"{emulator.base_url}/nowhere")
    wrong = http.get(f"{emulator.base_url}/chat/completions")

    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, None)
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "invalid_request_error")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (403, openai.PermissionDeniedError, "invalid_request_error"),
        (409, openai.ConflictError, "invalid_request_error"),
        (413, openai.APIStatusError, "invalid_request_error"),
        (429, openai.RateLimitError, "requests"),
        (500, openai.InternalServerError, "server_error"),
    ],
)
def test_a_scripted_status_has_the_vendor_s_own_error(
    emulator: Emulator, status: int, error: type[openai.APIStatusError], kind: str
) -> None:
    emulator.script(Reply(status=status, headers={"Retry-After": "3"}))
    with (
        openai.OpenAI(base_url=emulator.base_url, api_key="any", max_retries=0) as client,
        pytest.raises(error) as caught,
    ):
        client.models.list()

    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.response.headers["retry-after"] == "3"


def test_a_503_comes_as_plain_text_from_the_edge(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=503))
    response = http.get(f"{emulator.base_url}/models")

    assert (response.status_code, response.headers["content-type"]) == (503, "text/plain")


def test_an_error_can_say_anything(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=429, error={"code": "insufficient_quota", "type": "insufficient_quota"}))
    emulator.script(Reply(status=200, error="in a 200"))
    quota, inside = (http.get(f"{emulator.base_url}/models") for _ in range(2))

    assert (quota.status_code, quota.json()["error"]["code"]) == (429, "insufficient_quota")
    assert (inside.status_code, inside.json()["error"]["message"]) == (200, "in a 200")


def test_a_stream_can_break_off_with_an_error(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(error="overloaded", error_after_events=2))
    request = {"model": "gpt-4o", "messages": [HI], "stream": True}
    response = http.post(f"{emulator.base_url}/chat/completions", json=request)
    *before, failed, rest = response.text.split("\n\n")

    assert (response.status_code, len(before), rest) == (200, 2, "")
    assert '"message":"overloaded","type":"server_error"' in failed


def test_a_schema_that_has_no_instance_is_an_error_that_says_so(http: httpx2.Client, emulator: Emulator) -> None:
    endless = {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "endless", "schema": endless}}
    request = {"model": "gpt-4o", "messages": [HI], "response_format": wanted}
    response = http.post(f"{emulator.base_url}/chat/completions", json=request)

    assert response.status_code == 400
    assert "without end" in response.json()["error"]["message"]
