"""Whatever is sent, the answer is one: no 500, no hang, no secret, and errors in their dialect."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.gateway.document import GETS, POSTS, document
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import KEY, VENDORS, Serving, config_for
from tests.mutations import CHATS, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, mutated

MEMBERS = [
    "all", "audio", "best_of", "betas", "cache", "cache_control", "cache_control_injection_points",
    "container", "content", "dimensions", "drop_params", "echo", "encoding_format", "extra_body",
    "frequency_penalty", "function_call", "functions", "include", "input", "instructions", "keys",
    "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens", "mcp_servers", "messages",
    "metadata", "modalities", "model", "n", "namespace", "output_config", "parallel_tool_calls",
    "prediction", "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key", "prompt_caching",
    "reasoning",
    "reasoning_effort", "response_format", "role", "safety_identifier", "seed", "service_tier", "stop",
    "stop_sequences", "store", "stream", "stream_options", "suffix", "system", "tags",
    "temperature", "text", "thinking", "tool_choice", "tools", "top_k", "top_logprobs",
    "top_p", "truncation", "type", "user", "verbosity", "web_search_options",
]  # fmt: skip
PARTS = ["text", "source", "image_url", "file", "id", "name", "input", "tool_use_id", "content", "signature"]
BLOCKS = ["text", "image", "image_url", "file", "document", "tool_use", "tool_result", "thinking", "input_text"]
HEADERS = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "authorization",
    "cache-control",
    "x-api-key",
    "traceparent",
    "x-stainless-os",
    "content-encoding",
    "expect",
    "range",
    "x-http-method-override",
]
texts = st.text(max_size=12) | st.sampled_from(["auto", "user", "assistant", "text", "none", "1", "\ud83d\ude00", "\0"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS) | texts, inner, max_size=4),
    max_leaves=12,
)
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(BLOCKS)},
    optional=dict.fromkeys(PARTS, values),
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer", "judge"])},
    optional={
        "content": texts | st.lists(blocks | values, max_size=3) | values,
        "tool_calls": st.lists(values, max_size=2) | values,
        "tool_call_id": texts,
        "cache_control": values,
    },
)
spoken = st.lists(turns, min_size=1, max_size=3)
bodies = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries(
        {"model": st.sampled_from(VENDORS)},
        optional={
            "messages": spoken,
            "input": texts | spoken,
            "prompt": texts,
            "max_tokens": st.integers(1, 50),
            "stream": st.booleans(),
            "tools": st.lists(st.dictionaries(st.sampled_from(["type", "function", "name", "input_schema"]), values)),
        },
    ),
    st.dictionaries(st.sampled_from(MEMBERS), values, max_size=3),
)
header_text = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    header_text | st.sampled_from(["no-cache", "max-age=5", "no-store, no-cache", "Bearer x", "100-continue", "gzip"]),
    max_size=4,
)
SAMPLES = {
    "/v1/chat/completions": CHATS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": MESSAGES,
    "/v1/responses": RESPONSES,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/cache/delete": [{"keys": ["a"], "tags": ["x"], "namespace": "y"}],
    "/cache/flush": [{"all": False, "namespace": "x"}],
}
asked = [path for path in POSTS if not path.startswith("/key/")]  # what answers there needs books
paths = st.sampled_from([*asked, *(path.removeprefix("/v1") for path in asked)])


def check(answer: httpx2.Response, path: str) -> None:
    assert answer.status_code < 500, answer.text
    assert KEY not in answer.text
    assert "x-ostinato-call-id" in answer.headers
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert isinstance(error["message"], str)
        assert error.keys() >= ({"type"} if "/messages" in path else {"type", "param", "code"})


def fuzz(examples: int, emulator: Emulator) -> None:
    more = "litellm_settings: {cache: true, cache_params: {type: local}, num_retries: 0, cooldown_time: 0}"
    with (
        Serving(config_for(emulator, more)) as serving,
        httpx2.Client(base_url=serving.url, timeout=20) as http,
    ):

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
        @given(paths, bodies, headers)
        def any_request(path: str, body: Any, more: dict[str, str]) -> None:
            content = json.dumps(body).encode()
            check(http.post(path, content=content, headers={"content-type": "application/json", **more}), path)

        @settings(max_examples=examples // 4, suppress_health_check=list(HealthCheck))
        @given(paths, st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), headers)
        def any_bytes(path: str, content: bytes, more: dict[str, str]) -> None:
            check(http.post(path, content=content, headers={"content-type": "application/json", **more}), path)

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
        @given(st.data(), st.sampled_from(list(SAMPLES)))
        def any_mutation(data: st.DataObject, path: str) -> None:
            content = json.dumps(data.draw(mutated(SAMPLES[path]))).encode()
            check(http.post(path, content=content, headers={"content-type": "application/json"}), path)

        any_request()
        any_bytes()
        any_mutation()
        assert http.get("/health/liveness").status_code == 200


def test_no_request_breaks_the_gateway(emulator: Emulator) -> None:
    fuzz(100, emulator)


@pytest.mark.soak
def test_no_request_of_many_breaks_the_gateway(emulator: Emulator) -> None:
    fuzz(20_000, emulator)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_every_path_answers_every_method(method: str, http: httpx2.Client) -> None:
    for path in [*POSTS, *GETS, "/", "/v1", "//", "/v1/models/%2e%2e", "/v1/messages/", "/\u00fc", "/v1/models/gpt/x"]:
        answer = http.request(method, path)

        assert answer.status_code != 500, path
        assert "x-ostinato-call-id" in answer.headers


def test_the_document_is_served_and_the_least_that_it_allows_is_answered(http: httpx2.Client) -> None:
    assert http.get("/openapi.json").json() == document()
    for path, (_, schema) in POSTS.items():
        if path.startswith("/key/"):
            continue  # this gateway keeps no books
        asked = _least(schema | schema.get("anyOf", [{}])[0])
        if "model" in asked:
            asked["model"] = "embed" if "embed" in path else "claude" if "messages" in path else "gpt"
        answer = http.post(path, json=asked)
        assert answer.status_code == 200, (path, answer.text)


def _least(schema: dict[str, Any]) -> Any:
    """Return the least value that a schema of the document allows."""
    if "oneOf" in schema:
        return _least(schema["oneOf"][0])
    match schema["type"]:
        case "string":
            return schema.get("enum", ["x"])[-1] if "enum" not in schema else "user"
        case "integer":
            return schema["minimum"]
        case "array":
            return [_least(schema["items"])]
        case _:
            return {name: _least(schema["properties"][name]) for name in schema.get("required", ())}
