"""The key, by the vectors of its specification, by mutation and by shuffling."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import BadRequestError, Cache, completion
from ostinato.caching import key as keys
from ostinato.caching.key import Scope, request_key, request_parts, snapshot, text_digest
from ostinato.testing.emulator import Emulator, Reply
from ostinato.wire import find_wire
from ostinato.wire.contract import Call

VECTORS = json.loads(Path(__file__).with_name("key_vectors.json").read_text())

BODY = json.dumps({"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]})
WIRE = find_wire("openai_chat")


def key_of(body: dict[str, Any], **others: Any) -> bytes:
    parts = request_parts(others.get("endpoint", "POST https://a/v1"), others.get("headers", {}), WIRE.keyed_body(body))
    return request_key(others.get("scope", Scope()), "chat", parts, others.get("sample_index", 0))


@pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
def test_vector_holds_through_the_public_call(
    vector: dict[str, Any], emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI", "DEEPSEEK", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", "planted")
        monkeypatch.setenv(f"{name}_BASE_URL", emulator.anthropic_url if name == "ANTHROPIC" else emulator.base_url)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "planted")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", emulator.bedrock_url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    if vector["a"]["model"].startswith("openai/") and not vector["b"].get("stream"):
        # What this server thinks of a parameter is beside the point.
        emulator.script(Reply(raw_body=BODY), times=None)
    cache = Cache.memory()
    answers: list[Any] = []
    for call in (dict(vector["a"]), dict(vector["b"])):
        if "api_base" in call:
            # Two addresses of one server, so that both answer.
            call["api_base"] = emulator.base_url if call["api_base"].endswith(":1/v1") else emulator.url
        with cache:
            answer = completion(**call)
            answers.append(list(answer) if call.get("stream") else answer)
    second = answers[1][0] if isinstance(answers[1], list) else answers[1]

    assert second.cache_hit is vector["same"], vector["why"]


FULL: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "developer", "content": "be brief", "name": "dev"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://a/1.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"metadata": {"type": "string"}, "stream": {"enum": ["a", 1, None]}},
                    "required": ["metadata"],
                    "additionalProperties": False,
                },
            },
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "r", "schema": {"type": "object", "properties": {"user": {"type": "integer"}}}},
    },
    "temperature": 0.5,
    "seed": 7,
    "stop": ["a", "b"],
    "logit_bias": {"50256": -100},
    "modalities": ["text"],
    "prediction": {"type": "content", "content": "x"},
    "store": True,
    "reasoning_effort": "low",
    "web_search_options": {},
    "moderation": {"model": "m"},
}
UNKEYED = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "u",
    "metadata": {"a": "b"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit"},
    "background": True,
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [leaf for name, item in value.items() for leaf in leaves(item, (*path, name))]
    if isinstance(value, list) and value:
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [path]


def changed(body: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> dict[str, Any]:
    twin = copy.deepcopy(body)
    holder: Any = twin
    for step in path[:-1]:
        holder = holder[step]
    change(holder, path[-1])
    return twin


def set_to(value: Any) -> Callable[[Any, Any], None]:
    def change(holder: Any, name: Any) -> None:
        holder[name] = value

    return change


def remove(holder: Any, name: Any) -> None:
    del holder[name]


@pytest.mark.parametrize("path", leaves(FULL), ids=lambda path: ".".join(map(str, path)))
def test_every_changed_field_is_another_key(path: tuple[Any, ...]) -> None:
    original = key_of(FULL)

    assert key_of(changed(FULL, path, set_to("changed"))) != original
    assert key_of(changed(FULL, path, remove)) != original


@pytest.mark.parametrize("name", UNKEYED)
def test_listed_field_is_left_out_at_the_top_and_counts_elsewhere(name: str) -> None:
    with_it = {**FULL, name: UNKEYED[name]}
    inside = changed(FULL, ("messages", 0, name), set_to(UNKEYED[name]))

    assert key_of(with_it) == key_of(FULL)
    assert key_of(inside) != key_of(FULL)


def test_breakpoints_on_content_parts_are_left_out() -> None:
    marked = changed(FULL, ("messages", 1, "content", 0, "prompt_cache_breakpoint"), set_to({"mode": "explicit"}))

    assert key_of(marked) == key_of(FULL)


def shuffled(value: Any, dice: random.Random, *, ordered: bool = False) -> Any:
    if isinstance(value, dict):
        names = list(value)
        if not ordered:
            dice.shuffle(names)
        return {name: shuffled(value[name], dice, ordered=name == "properties") for name in names}
    if isinstance(value, list):
        return [shuffled(item, dice) for item in value]
    return value


@pytest.mark.parametrize("seed", range(50))
def test_order_of_names_means_nothing_but_in_properties(seed: int) -> None:
    assert key_of(shuffled(FULL, random.Random(seed))) == key_of(FULL)


def test_order_in_nested_properties_counts() -> None:
    def schema(*names: str) -> dict[str, Any]:
        inner = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return {"type": "array", "items": {"anyOf": [inner, {"type": "null"}]}}

    def body(*names: str) -> dict[str, Any]:
        return {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema(*names)}}]}

    assert key_of(body("a", "b")) != key_of(body("b", "a"))


def test_values_inside_a_schema_have_no_order() -> None:
    def body(default: dict[str, Any]) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"a": {"default": {"properties": default}, "enum": [default]}}}
        return {"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}

    assert key_of(body({"x": 1, "y": 2})) == key_of(body({"y": 2, "x": 1}))


def test_properties_that_are_no_schema_have_no_order() -> None:
    def body(first: str, second: str) -> dict[str, Any]:
        return {"metadata2": {"properties": {first: 1, second: 2} if first < second else {first: 2, second: 1}}}

    assert key_of(body("a", "b")) == key_of(body("b", "a"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (10**16, 1e16, True),
        (1e-07, 0.0000001, True),
        (2**63, float(2**63), True),
        (2**64 + 1, 2**64, False),
        (-(2**63) - 1, -(2**63), False),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, "null", False),
        ([], {}, False),
        ("", None, False),
    ],
)
def test_numbers_are_numbers_and_types_are_types(one: Any, other: Any, same: bool) -> None:
    assert (key_of({"x": [one]}) == key_of({"x": [other]})) is same


def test_long_text_is_no_other_than_itself() -> None:
    long = "a" * (keys.LONG_TEXT + 1)
    digest = text_digest(long)

    assert key_of({"messages": [{"role": "user", "content": long}]}) != key_of(
        {"messages": [{"role": "user", "content": digest.hex()}]}
    )


@given(st.text(min_size=1, max_size=20), st.integers(-2, 40), st.integers(0, 2**32))
def test_text_that_differs_in_one_place_has_another_digest(seed: str, more: int, place: int) -> None:
    text = (seed * (keys.LONG_TEXT + more))[: keys.LONG_TEXT + more]
    at = place % len(text)
    other = text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]

    assert text_digest(text) != text_digest(other)
    assert text_digest(text) == text_digest(text[:1] + text[1:])


def test_remembered_digests_change_no_key() -> None:
    body = {"messages": [{"role": "user", "content": "long " * 1000}, {"role": "user", "content": "short"}]}
    fresh = [copy.deepcopy(body) for _ in range(3)]
    first = [key_of(twin) for twin in fresh]
    keys._text_digests.clear()
    keys._message_digests.clear()

    assert {key_of(body), *first} == {first[0]}


@pytest.mark.parametrize(
    "header",
    ["Authorization", "X-Api-Key", "user-agent", "Accept-Encoding", "traceparent", "x-stainless-lang", "X-Request-Id"],
)
def test_header_that_changes_no_answer_is_left_out(header: str) -> None:
    assert key_of(FULL, headers={header: "1"}) == key_of(FULL)


def test_other_headers_count_whatever_their_case() -> None:
    assert key_of(FULL, headers={"OpenAI-Beta": "a"}) == key_of(FULL, headers={"openai-beta": "a"})
    assert key_of(FULL, headers={"openai-beta": "a"}) != key_of(FULL, headers={"openai-beta": "b"})


def test_parts_do_not_run_into_each_other() -> None:
    scopes = [Scope("a", "b", "c"), Scope("ab", "", "c"), Scope("a", "bc", ""), Scope("", "ab", "c")]

    assert len({key_of(FULL, scope=scope) for scope in scopes}) == len(scopes)
    assert len({scope.tag() for scope in scopes}) == len(scopes)


def test_sample_index_0_is_no_sample_index() -> None:
    assert key_of(FULL, sample_index=0) == key_of(FULL)
    assert len({key_of(FULL, sample_index=n) for n in range(5)}) == 5


def test_normal_form_leaves_the_request_alone() -> None:
    before = json.dumps(FULL)
    key_of(FULL)

    assert json.dumps(FULL) == before


def test_snapshot_of_what_cannot_be_encoded_is_none() -> None:
    assert snapshot((), [{"role": "user", "content": object()}], {}) is None
    assert snapshot((), "no messages", {}) is None
    assert snapshot((), None, {}) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}, object(), "\ud800", {1: 2}], ids=repr)
def test_value_that_no_json_holds_is_refused(value: Any) -> None:
    from ostinato.providers import PROVIDERS

    call = Call("gpt-4o", [{"role": "user", "content": "x"}], {"extra_body": {"x": value}})
    with pytest.raises(BadRequestError):
        WIRE.build(call, PROVIDERS["openai"])
