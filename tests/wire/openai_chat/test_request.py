from __future__ import annotations

import copy
import re
from typing import Any

import msgspec
import openai.types.chat.completion_create_params as official
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessage

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.providers import PROVIDERS
from ostinato.records import Completion, Message
from ostinato.wire import find_wire
from ostinato.wire.contract import Built, Call
from ostinato.wire.openai_chat.request import PARAMS

WIRE = find_wire("openai_chat")
HELLO = [{"role": "user", "content": "hello"}]


def built(
    messages: Any = HELLO,
    *,
    model: str = "gpt-4o",
    provider: str = "openai",
    drop: bool = False,
    strict: bool = True,
    **params: Any,
) -> dict[str, Any]:
    call = Call(model, messages, params, drop_params=drop, strict=strict)
    return WIRE.build(call, PROVIDERS[provider]).body


def test_a_request_is_the_model_the_messages_and_the_parameters_as_given() -> None:
    body = built(temperature=0.5, stop=("a", "b"), seed=7, store=True)

    assert msgspec.json.decode(msgspec.json.encode(body)) == {
        "model": "gpt-4o",
        "messages": HELLO,
        "temperature": 0.5,
        "stop": ["a", "b"],
        "seed": 7,
        "store": True,
    }


def test_the_path_is_chat_completions_and_nothing_of_it_is_a_header() -> None:
    request = WIRE.build(Call("m", HELLO), PROVIDERS["deepseek"])

    assert (request.path, dict(request.headers)) == ("/chat/completions", {})


def test_parameters_that_are_none_and_stream_are_absent() -> None:
    assert built(temperature=None, tools=None, stream=True) == {"model": "gpt-4o", "messages": HELLO}


WRONG_MESSAGES = {
    "none": (None, "messages must be a list of at least one message, not None"),
    "a text": ("hi", "messages must be a list of at least one message, not a str"),
    "no message": ([], "messages must be a list of at least one message, not an empty list"),
    "a text among them": ([*HELLO, "hi"], "messages[1] must be a mapping, not a str"),
    "no role": ([{"content": "x"}], "messages[0].role must be a str, not None"),
    "a number as role": ([{"role": 1, "content": "x"}], "messages[0].role must be a str, not a int"),
    "a number as content": ([{"role": "user", "content": 5}], "messages[0].content must be a str, None or a list"),
    "a part that is a text": (
        [{"role": "user", "content": ["x"]}],
        "messages[0].content[0] must be a mapping, not a str",
    ),
    "a part without type": (
        [*HELLO, {"role": "user", "content": [{"type": "text", "text": "x"}, {"text": "x"}]}],
        "messages[1].content[1].type must be a str, not None",
    ),
    "bytes in a part": (
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": b"x"}}]}],
        "messages[0].content[0].file.file_data is a bytes",
    ),
    "a surrogate": ([{"role": "user", "content": "a\udc00"}], "messages[0].content holds a lone surrogate"),
    "a surrogate in a role": ([{"role": "\udc00", "content": "a"}], "messages[0].role holds a lone surrogate"),
    "nan in a tool call": (
        [{"role": "assistant", "content": None, "tool_calls": [{"x": float("nan")}]}],
        "messages[0].tool_calls[0].x is nan",
    ),
}


@pytest.mark.parametrize(("messages", "message"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES)
def test_messages_that_no_request_can_carry_are_an_error_that_names_the_place(messages: Any, message: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(message)) as caught:
        built(messages)
    assert caught.value.provider == "openai"


@pytest.mark.parametrize("value", [float("nan"), {1}, b"x", {"a": {2: 1}}])
def test_a_parameter_that_json_cannot_carry_is_an_error_that_names_it(value: Any) -> None:
    with pytest.raises(BadRequestError, match=r"^logit_bias"):
        built(logit_bias=value)


def test_a_tool_that_is_no_object_is_an_error_that_names_it() -> None:
    with pytest.raises(BadRequestError, match=re.escape("tools[1].function.parameters.x is a set")):
        built(tools=[{"type": "function"}, {"type": "function", "function": {"parameters": {"x": {1}}}}])


MARK = {"type": "ephemeral"}


def marked() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"cache_control": {"type": "string"}}}
    return {
        "messages": [
            {"role": "system", "content": "s", "cache_control": MARK},
            {"role": "user", "content": [{"type": "text", "text": "t", "cache_control": MARK}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}, "cache_control": MARK}],
            },
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r", "cache_control": MARK}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": schema}, "cache_control": MARK},
            {"type": "function", "function": {"name": "g", "parameters": schema, "cache_control": MARK}},
        ],
    }


def test_cache_marks_are_not_sent_and_a_tool_parameter_of_that_name_is() -> None:
    call = marked()
    before = copy.deepcopy(call)

    body = built(call["messages"], tools=call["tools"], cache_control=MARK)

    assert b'"ephemeral"' not in msgspec.json.encode(body)
    assert [tool["function"]["parameters"]["properties"] for tool in body["tools"]] == [
        {"cache_control": {"type": "string"}}
    ] * 2
    assert call == before


def test_openai_s_own_breakpoints_are_sent() -> None:
    parts = [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]

    assert built([{"role": "user", "content": parts}])["messages"][0]["content"] == parts


def test_what_needs_no_change_is_shared_and_not_copied() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "x" * 1000}, {"type": "text", "text": "é"}]}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    body = built([message], tools=[tool])

    assert body["messages"][0] is message
    assert body["tools"][0] is tool


def test_a_caller_who_appends_to_the_messages_later_changes_no_request() -> None:
    messages = list(HELLO)
    body = built(messages)
    messages.append({"role": "user", "content": "more"})

    assert body["messages"] == HELLO


def test_messages_of_ours_go_as_they_are() -> None:
    message = Completion(choices=[{"message": {"role": "assistant", "content": [{"type": "text", "text": "x"}]}}])
    said = message.choices[0].message

    assert isinstance(said, Message)
    assert built([*HELLO, said])["messages"][1] is said


class Weather(pydantic.BaseModel):
    city: str
    unit: str | None = None


def test_pydantic_messages_and_tools_go_as_the_official_client_sends_them() -> None:
    said = ChatCompletionMessage.model_validate({"role": "assistant", "content": "x", "refusal": None})
    called = {
        "role": "assistant",
        "tool_calls": [ChatCompletionMessage(role="assistant", content="inner")],
    }

    body = built([said, called], tools=[Weather(city="x")])

    assert body["messages"] == [
        {"role": "assistant", "content": "x", "refusal": None},
        {"role": "assistant", "tool_calls": [{"role": "assistant", "content": "inner"}]},
    ]
    assert body["tools"] == [{"city": "x"}]


def test_extra_body_is_laid_over_the_parameters() -> None:
    body = built(temperature=0.5, extra_body={"top_k": 3, "temperature": 0.7, "reasoning": {"effort": "low"}})

    assert (body["top_k"], body["temperature"], body["reasoning"]) == (3, 0.7, {"effort": "low"})
    assert "extra_body" not in body


@pytest.mark.parametrize("extra", ["x", {"stream": True}, {"x": {1}}, {"messages": []}])
def test_an_extra_body_that_cannot_be_sent_is_an_error(extra: Any) -> None:
    with pytest.raises(BadRequestError):
        built(extra_body=extra)


def test_the_parameters_are_those_of_the_official_client() -> None:
    names = {
        name
        for kind in vars(official).values()
        for name in getattr(kind, "__annotations__", {})
        if getattr(kind, "__name__", "") == "CompletionCreateParamsBase"
    }

    assert names - {"model", "messages"} == PARAMS


def test_an_unknown_parameter_is_an_error_that_names_it_and_the_nearest_known_one() -> None:
    with pytest.raises(UnsupportedParamsError, match=r"'top_pp'.*'top_p'.*extra_body") as caught:
        built(top_pp=1)
    assert caught.value.provider == "openai"


@pytest.mark.parametrize(
    ("settings", "sent"),
    [({"drop": True}, False), ({"strict": False}, True), ({"provider": "deepseek"}, True)],
    ids=["dropped on request", "sent to another server", "sent to another vendor"],
)
def test_an_unknown_parameter_is(settings: dict[str, Any], sent: bool) -> None:
    assert ("top_k" in built(top_k=5, **settings)) is sent


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "max_tokens"),
        ("gpt-4.1-nano", "max_tokens"),
        ("gpt-3.5-turbo", "max_tokens"),
        ("gpt-35-turbo", "max_tokens"),
        ("chatgpt-4o-latest", "max_tokens"),
        ("o1-mini", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("o4-mini-2025-04-16", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("gpt-5.6-mini", "max_completion_tokens"),
        ("gpt-6-pro", "max_completion_tokens"),
        ("gpt-10", "max_completion_tokens"),
        ("ft:o4-mini:org::id", "max_completion_tokens"),
    ],
)
def test_max_tokens_goes_under_the_name_that_the_model_takes(model: str, name: str) -> None:
    body = built(model=model, max_tokens=5)

    assert {key: body[key] for key in body.keys() & {"max_tokens", "max_completion_tokens"}} == {name: 5}


def test_max_tokens_is_not_renamed_for_another_vendor() -> None:
    assert built(model="o1", provider="deepseek", max_tokens=5)["max_tokens"] == 5


def test_both_limits_at_once_are_an_error_except_on_another_server() -> None:
    with pytest.raises(BadRequestError, match="one setting"):
        built(max_tokens=1, max_completion_tokens=2)
    assert built(strict=False, max_tokens=1, max_completion_tokens=2)["max_tokens"] == 1


def test_streaming_asks_for_usage_and_leaves_the_request_alone() -> None:
    request = WIRE.build(Call("m", HELLO, {"stream_options": {"include_obfuscation": False}}), PROVIDERS["openai"])
    before = copy.deepcopy(request)

    stream = WIRE.streaming(request)

    assert stream.body["stream"] is True
    assert stream.body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert request == before
    assert isinstance(stream, Built)


LEFT_OUT = [
    "stream",
    "stream_options",
    "user",
    "metadata",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "background",
]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_key_md_leaves_out_is_left_out_at_the_top_and_counts_inside(name: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"properties": {name: {}}}}}
    body = {"model": "m", "messages": [{"role": "user", "content": "x", name: 1}], "tools": [tool]}

    assert WIRE.keyed_body({**body, name: 1}) == body


def test_nothing_else_is_left_out_of_a_key() -> None:
    body: dict[str, Any] = {"model": "m", "messages": HELLO, **dict.fromkeys(PARAMS - set(LEFT_OUT), 1), "own": 1}

    assert WIRE.keyed_body(body) == body


def test_breakpoints_are_left_out_of_a_key_on_parts_alone() -> None:
    part = {"type": "text", "text": "x"}
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    body = {
        "messages": [
            {"role": "user", "content": [part | mark, part]},
            {"role": "user", "content": "x", **mark},
            {"role": "tool", "content": [part | mark]},
        ]
    }
    before = copy.deepcopy(body)

    keyed = WIRE.keyed_body(body)

    assert keyed["messages"] == [
        {"role": "user", "content": [part, part]},
        {"role": "user", "content": "x", **mark},
        {"role": "tool", "content": [part]},
    ]
    assert body == before


BYPASSES = [
    {"web_search_options": {}},
    {"model": "gpt-4o-search-preview-2025-03-11"},
    {"model": "gpt-5-search-api"},
    {"model": "perplexity/sonar-pro"},
    {"model": "sonar"},
    {"model": "groq/compound-mini"},
    {"model": "openai/gpt-4o:online"},
    {"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "openrouter:web_search"}]},
    {"tools": [{"type": "web_search"}]},
    {"background": True},
    {"conversation": "c"},
    {"container": "c"},
    {"search_parameters": {"mode": "auto"}},
    {"plugins": [{"id": "web"}]},
]


@pytest.mark.parametrize("part", BYPASSES, ids=str)
def test_a_request_whose_answer_depends_on_more_than_itself_goes_around_the_cache(part: dict[str, Any]) -> None:
    assert WIRE.bypass({"model": "m", "messages": HELLO, **part})


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"tools": [{"type": "function"}, {"type": "custom"}, {"function": {"name": "f"}}]},
        {"background": False},
        {"search_parameters": {"mode": "off"}},
        {"plugins": [{"id": "file-parser"}]},
        {"model": "research-model"},
        {"previous_response_id": "r", "store": True},
    ],
    ids=str,
)
def test_any_other_request_does_not(part: dict[str, Any]) -> None:
    assert WIRE.bypass({"model": "m", "messages": HELLO, **part}) is None
