"""One call, every vendor: the same answer shapes, hits, streams, errors and prompt-cache numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ostinato
from ostinato import (
    AuthenticationError,
    BadRequestError,
    Cache,
    ConfigurationError,
    RateLimitError,
    UnsupportedParamsError,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, text

completion: Callable[..., Any] = ostinato.completion

CLAUDE = "claude-sonnet-4-5-20250929"
MODELS = {
    "openai": "openai/gpt-4o",
    "openai responses": "openai/responses/gpt-4o",
    "anthropic": f"anthropic/{CLAUDE}",
    "bare claude": CLAUDE,
    "bedrock": f"bedrock/us.anthropic.{CLAUDE}-v1:0",
    "bedrock converse": f"bedrock/converse/anthropic.{CLAUDE}-v1:0",
    "bedrock invoke": f"bedrock/invoke/anthropic.{CLAUDE}-v1:0",
    "deepseek": "deepseek/deepseek-chat",
    "azure": "azure/gpt-4o",
    "groq": "groq/llama-3.3-70b-versatile",
    "mistral": "mistral/mistral-large-latest",
    "together": "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "fireworks": "fireworks/accounts/fireworks/models/llama-v3p1-8b-instruct",
    "openrouter": "openrouter/openai/gpt-4o",
    "xai": "xai/grok-4",
    "ollama": "ollama/llama3",
    "vllm": "vllm/meta-llama/Llama-3.1-8B",
    "compatible": "openai_compatible/any",
}
COMPATIBLE = ("GROQ", "MISTRAL", "TOGETHER", "FIREWORKS", "OPENROUTER", "XAI", "OLLAMA", "VLLM", "OPENAI_COMPATIBLE")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
LONG = "Here is the full text of a complex legal agreement. " * 400


@pytest.fixture(autouse=True)
def vendors(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point every vendor's variables at the emulator."""
    for name in ("OPENAI", "DEEPSEEK", *COMPATIBLE):
        monkeypatch.setenv(f"{name}_API_KEY", f"{name.lower()}-key")
        monkeypatch.setenv(f"{name}_BASE_URL", emulator.base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "anthropic-key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", emulator.anthropic_url)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", emulator.url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)


@pytest.fixture(params=list(MODELS.values()), ids=list(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_miss_then_hit_streamed_and_whole(model: str, ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        first = ask(model, HELLO, max_tokens=100)
        again = ask(model, HELLO, max_tokens=100)
        chunks = ask(model, HELLO, max_tokens=100, stream=True, stream_options={"include_usage": True})

    assert (first.cache_hit, again.cache_hit) == (False, True)
    assert first == again
    assert text(chunks) == first.choices[0].message.content
    assert chunks[-1].usage == first.usage
    assert first.id
    assert first.model
    assert first.choices[0].finish_reason == "stop"
    assert first.usage.total_tokens == first.usage.prompt_tokens + first.usage.completion_tokens
    assert len(emulator.calls) == 1


def test_stream_then_whole(model: str, ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        live = ask(model, HELLO, stream=True)
        replay = ask(model, HELLO, stream=True)
        whole = ask(model, HELLO)

    assert text(live) == text(replay) == whole.choices[0].message.content
    assert [c.choices[0].delta.content for c in live] == [c.choices[0].delta.content for c in replay]
    assert whole.cache_hit
    assert len(emulator.calls) == 1


def test_tool_is_called_and_its_result_goes_back(model: str, ask: Callable[..., Any], emulator: Emulator) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    first = ask(model, messages, tools=TOOLS, tool_choice="required")
    call = first.choices[0].message.tool_calls[0]
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = ask(model, messages, tools=TOOLS)

    assert call.function.name == "weather"
    assert "city" in call.function.arguments
    assert second.choices[0].message.content
    assert len(emulator.calls) == 2


def test_conversation_goes_on_with_any_other_vendor(model: str, emulator: Emulator) -> None:
    for other in MODELS.values():
        messages: list[Any] = [*HELLO]
        thinking = {"reasoning_effort": "low", "max_tokens": 4000} if "claude" in other else {}
        messages.append(completion(other, messages, **thinking).choices[0].message)
        messages.append({"role": "user", "content": "and now?"})
        before = len(emulator.calls)

        assert completion(model, messages).choices[0].message.content
        raw = emulator.calls[before].raw
        assert (b"thinking_blocks" in raw, b"output_items" in raw, b"content_blocks" in raw) == (False, False, False)


def test_streamed_tool_call_has_index_id_name_and_arguments(model: str, ask: Callable[..., Any]) -> None:
    chunks = ask(model, HELLO, tools=TOOLS, tool_choice="required", stream=True)
    parts = [part for chunk in chunks for choice in chunk.choices for part in choice.delta.tool_calls or []]

    assert {part.index for part in parts} == {0}
    assert parts[0].id
    assert parts[0].function.name == "weather"
    assert "city" in "".join(part.function.arguments or "" for part in parts)


def test_rate_limit_is_a_rate_limit(model: str, ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=429, headers={"retry-after": "3"}), times=None)
    with pytest.raises(RateLimitError) as caught:
        ask(model, HELLO, num_retries=0)

    assert caught.value.provider == model.partition("/")[0] or model.startswith("claude")
    assert caught.value.status_code == 429


def test_wrong_request_is_a_bad_request_and_asked_once(model: str, ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=400), times=None)
    with pytest.raises(BadRequestError):
        ask(model, HELLO)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("name", ["openai", "anthropic", "deepseek", "groq"])
def test_missing_key_names_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{name.upper()}_API_KEY")
    with pytest.raises(AuthenticationError, match=f"{name.upper()}_API_KEY"):
        completion(MODELS[name], HELLO)


def test_anthropic_is_found_with_and_without_its_version(emulator: Emulator) -> None:
    for base in (emulator.anthropic_url, emulator.anthropic_url + "/v1", emulator.anthropic_url + "/v1/"):
        assert completion(MODELS["anthropic"], HELLO, api_base=base).choices
    assert {call.path for call in emulator.calls} == {"/v1/messages"}


@pytest.mark.parametrize("model", ["vllm/x", "openai_compatible/x", "azure/x"])
def test_missing_base_url_names_the_variable(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_BASE_URL", "OPENAI_COMPATIBLE_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="needs a base URL"):
        completion(model, HELLO)


def test_keys_travel_as_each_vendor_wants_them(emulator: Emulator) -> None:
    for name in ("openai", "anthropic", "bedrock", "ollama"):
        completion(MODELS[name], HELLO)
    headers = [call.headers for call in emulator.calls]

    assert headers[0]["authorization"] == "Bearer openai-key"
    assert (headers[1]["x-api-key"], headers[1]["anthropic-version"]) == ("anthropic-key", "2023-06-01")
    assert "authorization" not in headers[1]
    assert headers[2]["authorization"] == "Bearer bedrock-key"
    assert headers[3]["authorization"] == "Bearer ollama-key"


def test_bedrock_is_signed_with_aws_credentials(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="signing needs ostinato[bedrock]")
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    completion(MODELS["bedrock"], HELLO)
    completion(MODELS["bedrock invoke"], HELLO, aws_region_name="eu-west-1", stream=True).close()
    signed = [call.headers["authorization"] for call in emulator.calls]

    assert "AKIAIOSFODNN7EXAMPLE" in signed[0]
    assert "/us-west-2/bedrock/aws4_request" in signed[0]
    assert "/eu-west-1/bedrock/aws4_request" in signed[1]


@pytest.mark.parametrize(
    ("settings", "path", "query"),
    [
        ({}, "/openai/v1/chat/completions", ""),
        ({"api_version": "2024-10-21"}, "/openai/deployments/gpt-4o/chat/completions", "api-version=2024-10-21"),
    ],
)
def test_azure_is_asked_at_its_two_addresses(
    settings: dict[str, Any], path: str, query: str, emulator: Emulator
) -> None:
    completion(MODELS["azure"], HELLO, **settings)

    call = emulator.calls[0]
    assert (call.path, call.query, call.headers["api-key"]) == (path, query, "azure-key")


@pytest.mark.parametrize("name", ["anthropic", "bedrock converse", "bedrock invoke"])
def test_marked_prompt_is_written_then_read(name: str, emulator: Emulator) -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "What are the key terms?"},
    ]
    first, second = (completion(MODELS[name], messages, max_tokens=10).usage for _ in range(2))

    assert first.cache_creation_input_tokens > 1000
    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.cache_creation_input_tokens == 0
    assert second.prompt_tokens_details.cached_tokens == first.cache_creation_input_tokens
    assert second.prompt_tokens == first.prompt_tokens
    assert second.uncached_tokens == second.prompt_tokens - second.prompt_tokens_details.cached_tokens


def test_openai_models_with_breakpoints_get_them_for_marks(emulator: Emulator) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": LONG, "cache_control": mark},
        *[{"role": "user", "content": [{"type": "text", "text": f"{n}", "cache_control": mark}]} for n in range(3)],
        {"role": "assistant", "content": "ok", "cache_control": mark},
        {"role": "user", "content": "q"},
    ]
    with Cache.memory():
        first = completion("openai/gpt-5.6", messages)
        assert completion("openai/gpt-5.6", [{**m, "cache_control": None} for m in messages]).cache_hit

    sent = emulator.calls[0].body["messages"]
    assert [bool("prompt_cache_breakpoint" in str(message)) for message in sent] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert sent[1]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert b"cache_control" not in emulator.calls[0].raw
    assert first.usage.prompt_tokens > 1000


def test_ttl_that_cannot_be_kept_is_warned_of_once_and_told(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = "bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0", MODELS["bedrock converse"]
    mark = {"type": "ephemeral", "ttl": "1h"}
    messages = [{"role": "user", "content": [{"type": "text", "text": LONG, "cache_control": mark}]}]
    with ostinato.Client() as client, caplog.at_level("WARNING", "ostinato"):
        told = [client.completion(model, messages)._hidden_params["notes"] for model in (old, old, new)]

    assert ["5 minutes" in str(notes) for notes in told] == [True, True, False]
    assert len([record for record in caplog.records if "5 minutes" in record.getMessage()]) == 1
    assert b"1h" not in emulator.calls[0].raw
    assert b"1h" in emulator.calls[2].raw


@pytest.mark.parametrize("name", ["openai", "deepseek", "groq"])
def test_vendors_without_marks_never_see_one(name: str, emulator: Emulator) -> None:
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "system", "content": [marked]},
        {"role": "user", "content": "q", "cache_control": {"type": "x"}},
    ]
    completion(MODELS[name], messages, tools=[{**TOOLS[0], "cache_control": {"type": "ephemeral"}}])

    assert b"cache_control" not in emulator.calls[0].raw
    assert "cache_control" in marked


def test_injection_points_place_marks_and_leave_messages_alone(emulator: Emulator) -> None:
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": "q"}]
    points = [{"location": "message", "role": "system"}, {"location": "tool_config"}]
    with Cache.memory():
        first = completion(MODELS["anthropic"], messages, tools=TOOLS, cache_control_injection_points=points)
        again = completion(MODELS["anthropic"], messages, tools=TOOLS)

    body = emulator.calls[0].body
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert first.usage.cache_creation_input_tokens > 1000
    assert again.cache_hit
    assert messages[0] == {"role": "system", "content": LONG}


@pytest.mark.parametrize(
    "points",
    ["system", [5], [{"location": "nowhere"}], [{"location": "message", "index": "first"}]],
    ids=str,
)
def test_wrong_injection_point_is_an_error(points: Any, emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="injection"):
        completion(MODELS["anthropic"], HELLO, cache_control_injection_points=points)
    assert not emulator.calls


def test_parameter_a_vendor_cannot_take_is_refused_or_dropped(emulator: Emulator) -> None:
    with pytest.raises(UnsupportedParamsError, match="seed"):
        completion(MODELS["anthropic"], HELLO, seed=5)
    completion(MODELS["anthropic"], HELLO, seed=5, drop_params=True)

    assert len(emulator.calls) == 1


def test_error_inside_a_stream_is_raised_and_nothing_is_stored(
    model: str, ask: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.script(Reply(error="overloaded", error_after_events=3), times=None)
    with Cache.memory() as cache, pytest.raises(Exception, match="overloaded"):
        ask(model, HELLO, stream=True, num_retries=0)

    assert cache.stats()["stored"] == 0
