"""Attribute and mapping access over the vendor's JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.records import Chunk, Completion, Embeddings, Message, Record, Usage

BODY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "hi",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                "novel": {"depth": [{"x": 1}]},
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
    "x_vendor": {"a": {"b": [1, 2]}},
}


def completion() -> Completion:
    return Completion(copy.deepcopy(BODY))


def test_attributes_and_members_are_the_same() -> None:
    answer = completion()

    assert answer.choices[0].message.content == "hi"
    assert answer["choices"][0]["message"]["content"] == "hi"
    assert answer["choices"][0].message is answer.choices[0]["message"]
    assert answer.usage is answer["usage"] is answer.get("usage")
    assert answer.choices[0].message.tool_calls is not None
    assert answer.choices[0].message.tool_calls[0].function.name == "f"


def test_unknown_members_survive_and_read_as_attributes() -> None:
    answer = completion()

    assert answer.x_vendor.a.b == [1, 2]
    assert answer.choices[0].message.novel.depth[0].x == 1
    assert answer.model_dump() == BODY


def test_declared_member_that_is_absent_reads_none_and_stays_out() -> None:
    answer = completion()

    assert answer.system_fingerprint is None
    assert answer.choices[0].message.refusal is None
    assert "system_fingerprint" not in answer
    assert "system_fingerprint" not in answer.model_dump()
    with pytest.raises(KeyError):
        answer["system_fingerprint"]


def test_any_other_absent_name_is_an_attribute_error_that_names_what_is_there() -> None:
    with pytest.raises(AttributeError, match=r"Completion has no field 'chioces'.*choices"):
        completion().chioces  # noqa: B018
    assert not hasattr(completion(), "nope")
    assert getattr(completion(), "nope", 7) == 7


def test_nested_in_works_as_the_prompt_caching_page_asks() -> None:
    usage = completion().usage

    assert usage is not None
    assert "prompt_tokens_details" in usage
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 1


def test_hit_is_equal_to_its_miss_and_says_so_only_when_asked() -> None:
    miss, hit = completion(), completion()
    hit._cache_hit = True

    assert miss == hit
    assert (hit.cache_hit, hit["cache"], hit.get("cache"), "cache" in hit) == (True, True, True, True)
    assert (miss.cache_hit, miss["cache"], miss.get("cache"), "cache" in miss) == (False, False, False, False)
    assert list(hit) == list(miss)
    assert hit.model_dump() == miss.model_dump() == BODY
    assert json.loads(hit.model_dump_json()) == BODY


def test_hidden_params_are_where_users_of_litellm_look() -> None:
    hit = completion()
    hit._cache_hit, hit._cache_key = True, bytes(32)

    assert hit._hidden_params["cache_hit"] is True
    assert hit._hidden_params["cache_key"] == "00" * 32
    assert completion()._hidden_params == {**completion()._hidden_params, "cache_hit": False, "cache_key": None}


def test_members_can_be_set_and_deleted_both_ways() -> None:
    answer = completion()
    answer.choices[0].message.content = "bye"
    answer["model"] = "other"
    del answer.x_vendor

    assert answer.model_dump()["choices"][0]["message"]["content"] == "bye"
    assert answer.model == "other"
    assert "x_vendor" not in answer
    with pytest.raises(AttributeError):
        del answer.x_vendor


def test_list_content_reads_as_its_text_and_keeps_its_parts() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    message = Message({"role": "assistant", "content": parts})

    assert message.content == message["content"] == "ab"
    assert message.content_parts == parts
    assert message.model_dump()["content"] == parts
    assert Message({"content": "x"}).content_parts == [{"type": "text", "text": "x"}]
    assert Message({"content": None}).content_parts == []


def test_message_can_be_encoded_and_copied_as_it_is() -> None:
    message = completion().choices[0].message

    assert json.loads(json.dumps(message)) == msgspec.json.decode(msgspec.json.encode(message))
    assert type(message.copy()) is Message
    assert {**message} == message


def test_copies_are_of_the_same_type_and_share_nothing() -> None:
    hit = completion()
    hit._cache_hit = True
    twin = copy.deepcopy(hit)
    twin.choices[0].message.content = "changed"

    assert type(twin) is Completion
    assert twin.cache_hit
    assert hit.choices[0].message.content == "hi"


def test_dump_without_nulls() -> None:
    assert "logprobs" not in completion().model_dump(exclude_none=True)["choices"][0]
    assert "\n  " in completion().model_dump_json(indent=2)


def test_usage_without_a_vendors_own_is_its_own_raw() -> None:
    usage = Usage({"prompt_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 5})

    assert usage.uncached_tokens == 1
    assert usage.raw is usage


def test_chunks_and_embeddings_nest_too() -> None:
    chunk = Chunk({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]})
    vectors = Embeddings({"data": [{"index": 0, "embedding": [0.5]}]})

    assert chunk.choices[0].delta.content == "a"
    assert chunk.usage is None
    assert vectors.data[0].embedding == [0.5]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def touch(value: Any) -> None:
    """Read everything, by both ways of access."""
    if isinstance(value, Record):
        for name in list(value):
            touch(value[name])
            touch(getattr(value, name)) if name.isidentifier() and not hasattr(dict, name) else None
    elif isinstance(value, list):
        for item in value:
            touch(item)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=6))
def test_nothing_is_lost_by_reading(body: dict[str, Any]) -> None:
    record = Record(copy.deepcopy(body))
    touch(record)

    assert record == body
    assert record.model_dump() == body
