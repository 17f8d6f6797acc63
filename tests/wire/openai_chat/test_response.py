from __future__ import annotations

import copy
from typing import Any

import pytest

from ostinato.errors import APIResponseError, ContentPolicyViolationError
from ostinato.wire import find_wire

WIRE = find_wire("openai_chat")


def answer(**message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "hi", **message}
    return {"id": "c", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}


def test_a_body_becomes_a_record_with_every_field() -> None:
    body = answer(odd={"deep": [1]}) | {"own": [{"x": None}]}

    completion = WIRE.parse(copy.deepcopy(body))

    assert completion.model_dump() == body
    assert completion.choices[0].message.content == "hi"
    assert completion.usage is None
    assert "usage" not in completion


@pytest.mark.parametrize("body", [{}, {"choices": None}, {"choices": {}}, {"choices": ["x"]}, [], "x", None], ids=str)
def test_a_body_that_is_no_chat_completion_is_an_error(body: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.parse(body)


def test_an_error_inside_a_200_is_raised_with_the_request_s_id() -> None:
    body = {"error": {"message": "filtered", "code": "content_filter", "status": 400}, "choices": []}

    with pytest.raises(ContentPolicyViolationError, match="filtered") as caught:
        WIRE.parse(body, {"x-request-id": "req_1"})
    assert caught.value.request_id == "req_1"


def test_a_null_error_is_none() -> None:
    assert WIRE.parse(answer() | {"error": None}).choices[0].message.content == "hi"


def check(unit: dict[str, Any], **expected: int) -> None:
    usage = WIRE.parse(answer() | {"usage": copy.deepcopy(unit)}).usage

    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert {
        "prompt": usage.prompt_tokens,
        "completion": usage.completion_tokens,
        "total": usage.total_tokens,
        "read": usage.cache_read_input_tokens,
        "written": usage.cache_creation_input_tokens,
        "uncached": usage.uncached_tokens,
        "reasoning": usage.completion_tokens_details.reasoning_tokens,
    } == {"read": 0, "written": 0, "reasoning": 0, **expected}
    assert usage.prompt_tokens_details.cached_tokens == usage.cache_read_input_tokens
    assert usage.prompt_tokens_details.cache_creation_tokens == usage.cache_creation_input_tokens
    assert usage.raw == unit


def count(prompt: Any = 10, completion: Any = 5, total: Any = 15, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


def details(**counts: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": counts}


USAGES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "bare": (count(), {"prompt": 10, "completion": 5, "total": 15, "uncached": 10}),
    "OpenAI": (
        count(4020, 4, 4024, **details(cached_tokens=2, cache_write_tokens=4012, audio_tokens=0)),
        {"prompt": 4020, "completion": 4, "total": 4024, "read": 2, "written": 4012, "uncached": 6},
    ),
    "null details": (
        count(prompt_tokens_details=None, completion_tokens_details=None),
        {"prompt": 10, "completion": 5, "total": 15, "uncached": 10},
    ),
    "null counts": (
        count(**details(cached_tokens=None), completion_tokens_details={"reasoning_tokens": None}),
        {"prompt": 10, "completion": 5, "total": 15, "uncached": 10},
    ),
    "DeepSeek": (
        count(prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=2, **details(cached_tokens=8)),
        {"prompt": 10, "completion": 5, "total": 15, "read": 8, "uncached": 2},
    ),
    "DeepSeek, old": (
        count(prompt_cache_hit_tokens=8, prompt_cache_miss_tokens=2),
        {"prompt": 10, "completion": 5, "total": 15, "read": 8, "uncached": 2},
    ),
    "reasoning inside": (
        count(completion_tokens_details={"reasoning_tokens": 4}),
        {"prompt": 10, "completion": 5, "total": 15, "uncached": 10, "reasoning": 4},
    ),
    "xAI: reasoning outside": (
        count(20, 55, 456, completion_tokens_details={"reasoning_tokens": 381}, **details(cached_tokens=3)),
        {"prompt": 20, "completion": 436, "total": 456, "read": 3, "uncached": 17, "reasoning": 381},
    ),
    "Gemini: reasoning outside and unnamed": (
        count(35, 12, 109),
        {"prompt": 35, "completion": 74, "total": 109, "uncached": 35},
    ),
    "Mistral: audio outside": (
        count(9, 248, 632, **details(audio_tokens=375, cached_tokens=0)),
        {"prompt": 384, "completion": 248, "total": 632, "uncached": 384},
    ),
    "a proxy for Anthropic": (
        count(cache_read_input_tokens=3, cache_creation_input_tokens=4),
        {"prompt": 10, "completion": 5, "total": 15, "read": 3, "written": 4, "uncached": 3},
    ),
    "more read than there was": (
        count(10, 5, 15, **details(cached_tokens=20, cache_write_tokens=4)),
        {"prompt": 10, "completion": 5, "total": 15, "read": 6, "written": 4, "uncached": 0},
    ),
    "no total": (
        {"prompt_tokens": 3, "completion_tokens": 4},
        {"prompt": 3, "completion": 4, "total": 7, "uncached": 3},
    ),
    "a total that is too small": (count(3, 4, 1), {"prompt": 3, "completion": 4, "total": 7, "uncached": 3}),
    "no prompt": (
        {"completion_tokens": 4, "total_tokens": 9},
        {"prompt": 5, "completion": 4, "total": 9, "uncached": 5},
    ),
    "an embedding's": ({"prompt_tokens": 3, "total_tokens": 3}, {"prompt": 3, "completion": 0, "total": 3,
        "uncached": 3}),
    "counts that are none": (count("x", None, float("inf")), {"prompt": 0, "completion": 0, "total": 0,
        "uncached": 0}),
}  # fmt: skip


@pytest.mark.parametrize(("unit", "expected"), USAGES.values(), ids=USAGES)
def test_usage_has_one_meaning(unit: dict[str, Any], expected: dict[str, int]) -> None:
    check(unit, **expected)


@pytest.mark.parametrize(("unit", "expected"), USAGES.values(), ids=USAGES)
def test_the_disjoint_counts_of_a_call_add_up_to_its_usage(unit: dict[str, Any], expected: dict[str, int]) -> None:
    runs = WIRE.tokens(answer() | {"usage": unit, "service_tier": "default"})

    assert runs is not None
    (run,) = runs
    assert (run.prompt, run.read, run.output, run.reasoning, run.uncached) == (
        expected["prompt"],
        expected.get("read", 0),
        expected["completion"],
        expected.get("reasoning", 0),
        expected["uncached"],
    )
    assert sum(run.written.values()) == expected.get("written", 0)
    assert run.service_tier is None


def test_audio_and_an_unusual_tier_are_counted_apart() -> None:
    usage = count(10, 5, 15, **details(audio_tokens=4), completion_tokens_details={"audio_tokens": 3})

    (run,) = WIRE.tokens(answer() | {"usage": usage, "service_tier": "flex"}) or []

    assert (run.audio_input, run.audio_output, run.service_tier) == (4, 3, "flex")


def test_usage_that_groq_keeps_apart_is_found() -> None:
    completion = WIRE.parse(answer() | {"x_groq": {"usage": count()}})

    assert completion.usage is not None
    assert completion.usage.total_tokens == 15
    assert completion["x_groq"] == {"usage": count()}


@pytest.mark.parametrize("usage", [None, {}, []], ids=str)
def test_no_usage_is_not_a_usage_of_nothing(usage: Any) -> None:
    body = answer() | {"usage": usage}

    assert WIRE.tokens(body) is None
    assert WIRE.parse(copy.deepcopy(body))["usage"] == usage


def ends(finish: str | None, **message: Any) -> dict[str, Any]:
    body = answer(**message)
    body["choices"][0]["finish_reason"] = finish
    return body


def calls(arguments: Any) -> list[dict[str, Any]]:
    return [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]


KEPT: dict[str, dict[str, Any]] = {
    "a plain answer": answer(),
    "cut by length": ends("length"),
    "nothing but hidden reasoning, cut by length": ends("length", content=""),
    "a refusal in words": answer(content=None, refusal="I cannot"),
    "a tool call": answer(content=None, tool_calls=calls('{"a": 1}')),
    "a tool call without arguments": answer(content=None, tool_calls=calls("")),
    "a tool call with an object": answer(content=None, tool_calls=calls({"a": 1})),
    "arguments with half a character": answer(content=None, tool_calls=calls('{"a": "\\ud83d"}')),
    "a custom tool": answer(content=None, tool_calls=[{"type": "custom", "custom": {"input": "no json"}}]),
    "a legacy call": answer(content=None, function_call={"name": "f", "arguments": "{}"}),
    "audio": answer(content=None, audio={"data": "x"}),
    "images": answer(content=None, images=[{"type": "image_url"}]),
    "parts": answer(content=[{"type": "text", "text": "x"}]),
    "finish_details": {"choices": [{"message": {"content": "x"}, "finish_details": {"type": "max_tokens"}}]},
    "no finish at all": {"choices": [{"message": {"content": "x"}}]},
    "usage": answer() | {"usage": count()},
}
NOT_KEPT: dict[str, tuple[dict[str, Any], str]] = {
    "no choices": ({"choices": []}, "no choices"),
    "filtered": (ends("content_filter"), "content filter"),
    "filtered, in the second choice": (
        {"choices": [*answer()["choices"], *ends("content_filter")["choices"]]},
        "content filter",
    ),
    "broken off": (ends("error"), "broke off"),
    "DeepSeek out of resources": (ends("insufficient_system_resource"), "broke off"),
    "no message": ({"choices": [{"index": 0, "finish_reason": "stop"}]}, "no message"),
    "empty": (answer(content=""), "empty"),
    "null": (answer(content=None, refusal=None, tool_calls=[]), "empty"),
    "thoughts alone": (answer(content="", reasoning_content="hm"), "empty"),
    "cut arguments": (ends("length", tool_calls=calls('{"a": ')), "no JSON"),
    "arguments cut before they began": (ends("length", tool_calls=calls("")), "no JSON"),
    "arguments that are no JSON": (answer(tool_calls=calls("{'a': 1}")), "no JSON"),
    "a legacy call, cut": (answer(function_call={"name": "f", "arguments": "{"}), "no JSON"),
    "usage of zeros": (answer() | {"usage": count(0, 0, 0)}, "zeros"),
}


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_a_whole_answer_may_be_kept(body: dict[str, Any]) -> None:
    assert WIRE.incomplete(body) is None


@pytest.mark.parametrize(("body", "reason"), NOT_KEPT.values(), ids=NOT_KEPT)
def test_an_answer_that_is_not_whole_may_not(body: dict[str, Any], reason: str) -> None:
    assert reason in (WIRE.incomplete(body) or "")
