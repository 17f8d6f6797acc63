"""What the Responses API of the emulator refuses, and in which words."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator

CALL: Any = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}


def post(http: httpx2.Client, emulator: Emulator, **request: Any) -> httpx2.Response:
    return http.post(f"{emulator.base_url}/responses", json={"model": "gpt-4o", "input": "hi", **request})


@pytest.mark.parametrize(
    ("request_", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": ["x"]}, "input[0]", "invalid_type"),
        ({"input": [{"content": "x"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0]", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "user", "content": "x", "name": "y"}]}, "input[0].name", "unknown_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            "input[0].content[0]",
            "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "cache_control": {}}]}]},
            "input[0].content[0].cache_control",
            "unknown_parameter",
        ),
        ({"input": [CALL]}, "input", None),
        ({"input": [OUTPUT]}, "input", None),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input", None),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"seed": 7}, "seed", "unknown_parameter"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"max_output_tokens": 5}, "max_output_tokens", "integer_below_min_value"),
        ({"reasoning": {"effort": "low"}}, "reasoning.effort", "unsupported_parameter"),
        ({"model": "gpt-5", "temperature": 0.5}, "temperature", "unsupported_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "name": "f"}]}, "tools[0].parameters", "missing_required_parameter"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", None),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "missing_required_parameter"),
        ({"text": {"format": {"type": "json_object"}}}, "input", None),
        ({"prompt_cache_options": {"mode": "explicit"}}, "prompt_cache_options", "unsupported_parameter"),
        ({"previous_response_id": "resp_0"}, "previous_response_id", "previous_response_not_found"),
    ],
    ids=str,
)
def test_a_mistake_is_refused_in_the_vendor_s_words(
    http: httpx2.Client, emulator: Emulator, request_: dict[str, Any], param: str, code: str | None
) -> None:
    response = post(http, emulator, **request_)

    assert response.status_code == 400
    assert list(response.json()["error"]) == ["message", "type", "param", "code"]
    assert (response.json()["error"]["param"], response.json()["error"]["code"]) == (param, code)
    assert not emulator.paid_calls


def test_an_unknown_model_is_a_400(http: httpx2.Client) -> None:
    with Emulator(models=["gpt-4o"]) as emulator:
        assert post(http, emulator).status_code == 200
        refused = post(http, emulator, model="gpt-0")

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "model_not_found"
