from __future__ import annotations

import base64
import copy
import enum
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.providers import Provider
from ostinato.records import Message
from ostinato.wire.anthropic import WIRE
from ostinato.wire.anthropic.settings import CARRIED, MAPPED, NEUTRAL, RENAMED, SILENT
from ostinato.wire.contract import Built, Call
from ostinato.wire.openai_chat.request import PARAMS

PROVIDER = Provider("anthropic", wire="anthropic", base_url="https://api.anthropic.com", auth="x-api-key")
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PDF = base64.b64encode(b"%PDF-1.4 ...").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def build(*messages: Any, model: str = "claude-sonnet-4-5", drop: bool = False, **params: Any) -> dict[str, Any]:
    return built(*messages, model=model, drop=drop, **params).body


def built(*messages: Any, model: str = "claude-sonnet-4-5", drop: bool = False, **params: Any) -> Built:
    spoken = list(messages) or [{"role": "user", "content": "hello"}]
    return WIRE.build(Call(model, spoken, params, drop_params=drop), PROVIDER)


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def blocks(*parts: Any) -> Any:
    """Return the blocks that a user's parts become."""
    return build(user(*parts))["messages"][0]["content"]


def validate(body: dict[str, Any]) -> None:
    """Check a body against the types of the official client; unknown members of the top level are not its own."""
    adapter, known = _official()
    _consume(adapter.validate_python(body))

    assert body.keys() <= known


@cache
def _official() -> tuple[Any, set[str]]:
    params = pytest.importorskip("anthropic.types").message_create_params
    pydantic = pytest.importorskip("pydantic")
    # The latest models take no sampling parameters, and the client no longer names them.
    known = {*params.MessageCreateParamsBase.__annotations__, "temperature", "top_k", "top_p"}
    return pydantic.TypeAdapter(params.MessageCreateParamsNonStreaming), known


def _consume(value: Any) -> None:
    """Read lazily checked iterables to their end, which is when they are checked."""
    if isinstance(value, Mapping):
        for item in value.values():
            _consume(item)
    elif not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for item in value:
            _consume(item)


def test_a_plain_call_becomes_messages_with_the_default_limit_and_the_version() -> None:
    request = built()

    assert request.path == "/v1/messages"
    assert request.body == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hello"}],
    }
    assert request.headers == {"anthropic-version": "2023-06-01"}


def test_a_stream_is_asked_for_and_changes_nothing_else() -> None:
    request = built()

    assert WIRE.streaming(request).body == request.body | {"stream": True}
    assert "stream" not in request.body


def test_betas_become_the_header_that_counts() -> None:
    assert built(betas=["a", "b"]).headers["anthropic-beta"] == "a,b"
    assert "betas" not in built(betas="a").body


def test_system_messages_in_front_become_the_system_prompt() -> None:
    plain = build({"role": "system", "content": "S"}, {"role": "user", "content": "u"})
    several = build(
        {"role": "system", "content": "S"},
        {"role": "developer", "content": [{"type": "text", "text": "D", "cache_control": MARK}, {"type": "text", "text": ""}]},
        {"role": "user", "content": "u"},
        system="first",
    )

    assert plain["system"] == "S"
    assert several["system"] == [
        {"type": "text", "text": "first"},
        {"type": "text", "text": "S"},
        {"type": "text", "text": "D", "cache_control": MARK},
    ]
    assert several["messages"] == [{"role": "user", "content": "u"}]


ASKED = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]


@pytest.mark.parametrize(
    ("model", "before", "after", "role"),
    [
        ("claude-sonnet-4-5", ASKED, [], "user"),
        ("claude-opus-4-8", ASKED, [], "system"),
        ("claude-opus-4-8", ASKED, [{"role": "assistant", "content": "b"}], "system"),
        ("claude-opus-4-8", ASKED, [{"role": "user", "content": "w"}], "user"),
        ("claude-opus-4-8", ASKED[:2], [{"role": "user", "content": "w"}], "user"),
        ("us.anthropic.claude-opus-4-8", ASKED, [], "system"),
    ],
)
def test_a_later_system_message_stays_in_its_place_as_what_the_model_takes(
    model: str, before: list[Any], after: list[Any], role: str
) -> None:
    body = build(*before, {"role": "system", "content": "now in Spanish"}, *after, model=model)

    assert "system" not in body
    assert body["messages"][len(before)] == {"role": role, "content": "now in Spanish"}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "text", "text": "t"}, {"type": "text", "text": "t"}),
        ("t", {"type": "text", "text": "t"}),
        ({"type": "text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "text", "text": "t"}),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        ),
        (
            {"type": "image_url", "image_url": f"data:image/jpg;base64,{PIXEL}", "cache_control": HOUR},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": PIXEL},
                "cache_control": HOUR,
            },
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a.example/p.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://a.example/p.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:application/pdf;base64,{PDF}"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk="}, "citations": {"enabled": True}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                "citations": {"enabled": True},
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain,h%20i"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "h i"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://a.example/d.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://a.example/d.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_2", "format": "image/png"}},
            {"type": "image", "source": {"type": "file", "file_id": "file_2"}},
        ),
        ({"type": "search_result", "source": "s", "title": "t", "content": []},) * 2,
        ({"type": "container_upload", "file_id": "file_3"},) * 2,
    ],
)
def test_a_part_becomes_a_block(part: Any, block: Any) -> None:
    assert blocks(part) == [block]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, r"messages\[0\]\.content\[0\].*sound"),
        ({"type": "file", "file": {"file_data": "data:audio/wav;base64,eA=="}}, "audio/wav"),
        ({"type": "file", "file": {"file_data": "AAAA"}}, "media type"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "UTF-8"),
        ({"type": "file", "file": {}}, "file_data or file_id"),
        ({"type": "image_url", "image_url": {}}, "URL"),
        ({"type": "text"}, r"content\[0\]\.text must be a str"),
        ({"text": "no type"}, "type"),
        (7, "part"),
    ],
)
def test_a_part_that_no_block_can_carry_is_an_error_that_names_its_place(part: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as raised:
        build(user(part))

    assert raised.value.provider == "anthropic"


def test_a_turn_with_tools_is_said_in_blocks() -> None:
    body = build(
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL, {**CALL, "id": "call:2"}]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "12 degrees"},
        {"role": "tool", "tool_call_id": "call:2", "content": [{"type": "text", "text": "x"}], "is_error": True},
        {"role": "user", "content": "thanks"},
    )

    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}},
                {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Bern"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "x"}],
                    "is_error": True,
                },
            ],
        },
        {"role": "user", "content": "thanks"},
    ]
    validate(body)


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        (None, {}),
        ("{}", {}),
        ('{"a":1', {"INVALID_JSON": '{"a":1'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_arguments_become_an_object_whatever_they_are(arguments: Any, given: Any) -> None:
    call = {**CALL, "function": {"name": "weather", "arguments": arguments}}

    content = build({"role": "assistant", "content": None, "tool_calls": [call]})["messages"][0]["content"]

    assert content == [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": given}]


def test_custom_tools_and_their_calls_are_tools_with_one_text() -> None:
    body = build(
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select"}}]},
        tools=[{"type": "custom", "custom": {"name": "sql", "description": "d"}}],
        tool_choice={"type": "custom", "custom": {"name": "sql"}},
    )

    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][0]["content"][0]["input"] == {"input": "select"}
    assert body["tool_choice"] == {"type": "tool", "name": "sql"}
    with pytest.raises(UnsupportedParamsError, match=r"tools\[0\]\.custom\.format"):
        build(tools=[{"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar"}}}])


def test_the_functions_of_old_are_tools_with_ids_of_their_place() -> None:
    body = build(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
        functions=[{"name": "f", "parameters": SCHEMA}],
        function_call={"name": "f"},
    )

    assert body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"]
    assert body["tools"] == [{"name": "f", "input_schema": SCHEMA}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}


def test_thinking_goes_back_as_it_came_and_in_front() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    hidden = {"type": "redacted_thinking", "data": "x"}
    message = {
        "role": "assistant",
        "content": "so",
        "reasoning_content": "hm",
        "thinking_blocks": [{"index": 0, **thought, "cache_control": MARK}, hidden, {"type": "thinking", "thinking": "of another vendor"}],
        "tool_calls": [CALL],
    }

    content = build(message)["messages"][0]["content"]

    assert [block["type"] for block in content] == ["thinking", "redacted_thinking", "text", "tool_use"]
    assert content[:2] == [thought, hidden]


def test_a_refusal_is_said_and_an_answer_of_nothing_is_left_out() -> None:
    body = build(
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "v"},
    )

    assert body["messages"][1:] == [{"role": "assistant", "content": "no"}, {"role": "user", "content": "v"}]


def test_content_blocks_of_an_answer_go_back_while_the_message_still_says_the_same() -> None:
    kept = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {"type": "text", "text": "a", "citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    message = Message({"role": "assistant", "content": "a", "content_blocks": kept})
    edited = Message({"role": "assistant", "content": "b", "content_blocks": kept})

    assert build(message)["messages"][0]["content"] == kept
    assert build(edited)["messages"][0] == {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
        ({"user": "me"}, {"metadata": {"user_id": "me"}}),
        ({"safety_identifier": "me"}, {"metadata": {"user_id": "me"}}),
        ({"metadata": {"user_id": "me"}}, {"metadata": {"user_id": "me"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": {"type": "tool", "name": "f"}}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        ({"parallel_tool_calls": False}, {}),
        ({"parallel_tool_calls": True}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"stream_options": {"include_usage": True}, "n": 1, "seed": None, "logprobs": False}, {}),
        ({"prompt_caching": "auto", "cache_control_injection_points": [{"location": "message"}]}, {}),
        ({"extra_body": {"max_tokens": 9, "new_one": 1}}, {"max_tokens": 9, "new_one": 1}),
    ],
)
def test_a_parameter_is_sent_as_the_vendor_says_it(given: dict[str, Any], sent: dict[str, Any]) -> None:
    body = build(**given)

    assert body == {"model": "claude-sonnet-4-5", "max_tokens": 4096, "messages": body["messages"]} | sent


def test_tools_are_renamed_and_keep_what_is_the_vendors_own() -> None:
    body = build(
        tools=[
            {**TOOL, "defer_loading": True},
            {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"properties": {}}}},
            {"type": "function", "function": {"name": "g", "cache_control": MARK}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        parallel_tool_calls=False,
    )

    assert body["tools"] == [
        {"name": "weather", "description": "d", "input_schema": SCHEMA, "defer_loading": True},
        {"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}, "cache_control": MARK},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    validate(body)


def test_a_schema_becomes_the_output_format_beside_what_the_caller_configured() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}

    body = build(response_format=wanted, output_config={"effort": "low"})

    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"}
    validate(body)


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        ("claude-sonnet-4-5", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 5120}),
        ("claude-opus-4-20250514", "high", {"thinking": {"type": "enabled", "budget_tokens": 4096}, "max_tokens": 8192}),
        ("claude-sonnet-4-5", "none", {"max_tokens": 4096}),
        ("claude-opus-4-6", "medium", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}),
        ("claude-sonnet-5", "minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("claude-opus-4-7", "none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_an_effort_is_a_budget_or_an_effort_as_the_model_knows_it(model: str, effort: str, sent: dict[str, Any]) -> None:
    body = build(model=model, reasoning_effort=effort)

    assert body == {"model": model, "max_tokens": 4096, "messages": body["messages"]} | sent
    validate(body)


def test_a_budget_stays_below_the_callers_own_limit() -> None:
    assert build(reasoning_effort="max", max_tokens=3000)["thinking"]["budget_tokens"] == 2999
    with pytest.raises(BadRequestError, match="max_tokens above 1024, not 100"):
        build(reasoning_effort="low", max_tokens=100)
    with pytest.raises(UnsupportedParamsError, match="reasoning_effort for claude-3-5-haiku"):
        build(model="claude-3-5-haiku-20241022", reasoning_effort="low")


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"seed": 1},
        {"presence_penalty": 1.0},
        {"frequency_penalty": 0.5},
        {"logprobs": True},
        {"logit_bias": {"1": 2}},
        {"metadata": {"team": "a"}},
        {"service_tier": "flex"},
        {"response_format": {"type": "json_object"}},
        {"prompt_cache_key": "k"},
        {"web_search_options": {}},
        {"tool_choice": {"type": "allowed_tools"}},
        {"temprature": 0.5},
    ],
)
def test_a_parameter_the_vendor_cannot_take_is_refused_by_name_or_dropped(params: dict[str, Any]) -> None:
    (name,) = params

    with pytest.raises(UnsupportedParamsError, match=f"Anthropic's messages take no {name}"):
        build(**params)

    assert build(drop=True, **params) == build()


def test_an_unknown_parameter_is_left_to_another_server_to_judge() -> None:
    call = Call("m", [{"role": "user", "content": "u"}], {"new_one": 1}, strict=False)

    assert WIRE.build(call, PROVIDER).body["new_one"] == 1


def test_every_parameter_of_openais_is_decided_upon() -> None:
    assert PARAMS - CARRIED - MAPPED - NEUTRAL.keys() - RENAMED.keys() - SILENT == set()


@pytest.mark.parametrize(
    ("messages", "params", "words"),
    [
        ([], {}, "empty list"),
        ("hello", {}, "a str"),
        ([{"role": "judge", "content": "x"}], {}, r"messages\[0\]\.role .*'judge'"),
        ([{"role": "user", "content": 7}], {}, r"messages\[0\]\.content"),
        ([{"role": "user", "content": "\ud800"}], {}, "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "text": float("nan")}]}], {}, "nan"),
        ([{"role": "tool", "content": "x"}], {}, r"messages\[0\]\.tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], {}, r"tool_calls\[0\]\.id"),
        ([{"role": "user", "content": "x"}], {"max_tokens": 1, "max_completion_tokens": 2}, "one setting"),
        ([{"role": "user", "content": "x"}], {"temperature": float("inf")}, "temperature is inf"),
        ([{"role": "user", "content": "x"}], {"tools": {"a": 1}}, "tools must be a list"),
        ([{"role": "user", "content": "x"}], {"extra_body": {"stream": True}}, "stream"),
        ([{"role": "user", "content": "x"}], {"reasoning_effort": "lots"}, "reasoning_effort"),
    ],
)
def test_what_no_request_can_carry_is_an_error_that_says_where(messages: Any, params: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        WIRE.build(Call("claude-sonnet-4-5", messages, params), PROVIDER)


def test_values_of_the_callers_own_types_are_plain_json() -> None:
    class Role(enum.StrEnum):
        USER = "user"

    assert build({"role": Role.USER, "content": ("a",)})["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]}
    ]


def test_a_message_mark_moves_to_the_last_block_that_can_carry_one() -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    messages = build(
        {"role": "user", "content": "BIG", "cache_control": MARK},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, thought], "cache_control": HOUR},
        {"role": "user", "content": [{"type": "text", "text": "b", "cache_control": HOUR}, {"type": "text", "text": ""}], "cache_control": MARK},
        {"role": "tool", "tool_call_id": "x", "content": "r", "cache_control": MARK},
    )["messages"]

    assert messages[0]["content"] == [{"type": "text", "text": "BIG", "cache_control": MARK}]
    assert messages[1]["content"] == [{"type": "text", "text": "a", "cache_control": HOUR}, thought]
    assert messages[2]["content"] == [{"type": "text", "text": "b", "cache_control": HOUR}]
    assert messages[3]["content"][0]["cache_control"] == MARK


def test_over_the_limit_the_oldest_message_marks_give_way() -> None:
    marked = [{"role": "user", "content": str(number), "cache_control": MARK} for number in range(5)]
    body = build(
        {"role": "system", "content": "S", "cache_control": MARK}, *marked, tools=[{**TOOL, "cache_control": MARK}], cache_control=MARK
    )

    assert body["cache_control"] == MARK
    assert body["system"][0]["cache_control"] == MARK
    assert body["tools"][0]["cache_control"] == MARK
    assert ["cache_control" in message["content"][0] for message in body["messages"]] == [False] * 4 + [True]
    assert all("cache_control" in message for message in marked)


def test_no_mark_is_part_of_a_key_and_a_member_of_that_name_is() -> None:
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x", "cache_control": MARK}]}
    schema = {"type": "object", "properties": {"cache_control": {"type": "string"}}}
    body = build(
        {"role": "system", "content": "S", "cache_control": MARK},
        user(nested, {"type": "text", "text": "q", "cache_control": HOUR}),
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": '{"cache_control":1}'}}]},
        tools=[{"type": "function", "function": {"name": "f", "parameters": schema}, "cache_control": MARK}],
        cache_control=MARK,
        user="me",
        service_tier="auto",
    )
    before = copy.deepcopy(body)

    keyed = WIRE.keyed_body(WIRE.streaming(Built("/", body)).body)

    assert body == before
    assert keyed.keys() == {"model", "max_tokens", "tools", "system", "messages"}
    assert msgspec.json.encode(keyed).count(b"cache_control") == 2
    assert keyed["tools"][0]["input_schema"] == schema
    assert keyed["messages"][1]["content"][0]["input"] == {"cache_control": 1}


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, None),
        ({"tools": [TOOL]}, None),
        ({"tools": [{"type": "custom", "name": "x", "input_schema": SCHEMA}]}, None),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, None),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search_20250305"),
        ({"tools": [{"type": "computer_toolset_20260801"}]}, "computer_toolset_20260801"),
        ({"mcp_servers": [{"type": "url", "url": "https://m.example", "name": "m"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
    ],
)
def test_what_depends_on_more_than_the_request_goes_past_the_cache(params: dict[str, Any], reason: str | None) -> None:
    said = WIRE.bypass(build(**params))

    assert said is None if reason is None else reason in str(said)


TEXTS = st.text("aé\U0001f600 \n", max_size=8)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": "https://a.example/p.png"}}),
)
USERS = st.builds(lambda content: {"role": "user", "content": content}, TEXTS | st.lists(PARTS, min_size=1, max_size=3))
SYSTEMS = st.builds(lambda text: {"role": "system", "content": text}, TEXTS)
CALLS = st.lists(
    st.builds(
        lambda name, given: {"type": "function", "function": {"name": name, "arguments": msgspec.json.encode(given).decode()}},
        st.sampled_from(["f", "g"]),
        st.dictionaries(st.sampled_from("ab"), st.none() | st.integers() | TEXTS, max_size=2),
    ),
    max_size=3,
)
THOUGHTS = st.lists(st.just({"type": "thinking", "thinking": "t", "signature": "s"}), max_size=1)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """Draw a conversation and the lengths at which the model was asked."""
    messages = draw(st.lists(SYSTEMS, max_size=1))
    asked = []
    for turn in range(draw(st.integers(1, 4))):
        messages += draw(st.lists(USERS, min_size=1, max_size=2)) + draw(st.lists(SYSTEMS, max_size=1))
        asked.append(len(messages))
        calls = [{"id": f"t{turn}_{place}", **call} for place, call in enumerate(draw(CALLS))]
        answer = {"role": "assistant", "content": draw(TEXTS), "thinking_blocks": draw(THOUGHTS)}
        messages.append({**answer, "tool_calls": calls} if calls else answer)
        if calls:
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)} for call in calls]
            asked.append(len(messages))
    return messages, asked


@settings(max_examples=1000)
@given(conversations(), st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8"]))
def test_the_turns_of_a_conversation_are_a_byte_prefix_of_those_of_the_next_turn(drawn: Any, model: str) -> None:
    messages, asked = drawn
    before = copy.deepcopy(messages)
    sent = [msgspec.json.encode(build(*messages[:length], model=model, tools=[TOOL])) for length in asked]

    assert messages == before
    for shorter, longer in zip(sent, sent[1:], strict=False):
        assert longer.startswith(shorter.removesuffix(b"]}"))


@settings(max_examples=200)
@given(conversations())
def test_what_is_built_is_what_the_official_types_take(drawn: Any) -> None:
    messages, _ = drawn

    validate(build(*messages, tools=[TOOL], temperature=0.5, stop="x"))
