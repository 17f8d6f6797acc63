from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.pricing import runs_of
from ostinato.records import Usage
from ostinato.wire.tokens import Tokens


@pytest.mark.parametrize(
    ("usage", "run"),
    [
        (
            {"prompt_tokens": 2000, "prompt_tokens_details": {"cached_tokens": 1500}, "completion_tokens": 50},
            Tokens(uncached=500, read=1500, output=50),
        ),
        (
            {"prompt_tokens": 4020, "prompt_tokens_details": {"cache_write_tokens": 4012}, "completion_tokens": 9},
            Tokens(uncached=8, written={"": 4012}, output=9),
        ),
        (
            {
                "prompt_tokens": 2000,
                "prompt_cache_hit_tokens": 1500,
                "prompt_cache_miss_tokens": 500,
                "prompt_tokens_details": {"cached_tokens": 1500},
                "completion_tokens": 50,
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            Tokens(uncached=500, read=1500, output=50, reasoning=20),
        ),
        (
            {
                "input_tokens": 100,
                "cache_creation_input_tokens": 1000,
                "cache_read_input_tokens": 5000,
                "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 30},
                "service_tier": "standard",
            },
            Tokens(
                uncached=100,
                read=5000,
                written={"5m": 600, "1h": 400},
                output=50,
                reasoning=30,
                service_tier="standard",
            ),
        ),
        (
            {
                "input_tokens": 2000,
                "input_tokens_details": {
                    "cached_tokens": 1000,
                    "cache_write_tokens": 500,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 300, "ttl_12h_tokens": 200},
                },
                "output_tokens": 50,
                "output_tokens_details": {"reasoning_tokens": 20},
                "total_tokens": 2050,
            },
            Tokens(uncached=500, read=1000, written={"30m": 300, "12h": 200}, output=50, reasoning=20),
        ),
        (
            {"prompt_tokens": 90, "prompt_tokens_details": {"audio_tokens": 80}, "completion_tokens": 40,
             "completion_tokens_details": {"audio_tokens": 30}},
            Tokens(uncached=90, output=40, audio_input=80, audio_output=30),
        ),
        ({"prompt_tokens": 7, "total_tokens": 7}, Tokens(uncached=7)),
        ({"prompt_tokens": 9, "prompt_tokens_details": None, "completion_tokens": 1}, Tokens(uncached=9, output=1)),
    ],
)  # fmt: skip
def test_a_usage_says_what_a_call_took(usage: dict[str, Any], run: Tokens) -> None:
    assert runs_of(usage) == [run]


def test_our_own_usage_says_it_whatever_its_vendor_s_was() -> None:
    raw = {
        "input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
    }
    usage = Usage(
        raw,
        prompt_tokens=6100,
        completion_tokens=50,
        prompt_tokens_details={"cached_tokens": 5000, "cache_creation_tokens": 1000},
        cache_read_input_tokens=5000,
        cache_creation_input_tokens=1000,
    )
    usage._raw = raw

    assert runs_of(usage) == [Tokens(uncached=100, read=5000, written={"5m": 600, "1h": 400}, output=50)]


def test_bedrock_s_split_is_read_from_the_raw_usage() -> None:
    raw = {"inputTokens": 100, "cacheDetails": [{"ttl": "1h", "inputTokens": 400}, {"ttl": "5m", "inputTokens": 600}]}
    usage = Usage(prompt_tokens=1100, completion_tokens=1, cache_creation_input_tokens=1000)
    usage._raw = raw

    assert runs_of(usage) == [Tokens(uncached=100, written={"5m": 600, "1h": 400}, output=1)]


@pytest.mark.parametrize(
    ("split", "written"),
    [
        ({"ephemeral_5m_input_tokens": 12_016, "ephemeral_1h_input_tokens": 0}, {"5m": 20_718}),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, {"5m": 20_718}),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 718}, {"5m": 20_000, "1h": 718}),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 99_999}, {"1h": 20_718}),
        (None, {"": 20_718}),
    ],
)
def test_the_total_of_writes_is_billed_also_where_the_split_does_not_add_up(
    split: dict[str, int] | None, written: dict[str, int]
) -> None:
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 20_718, "cache_creation": split, "output_tokens": 1}

    assert runs_of(usage) == [Tokens(uncached=1, written=written, output=1)]


def test_iterations_count_instead_of_the_top_level() -> None:
    # The recorded answer ant-msg-170025e36e: the compaction is missing at the top level.
    usage = {
        "input_tokens": 229,
        "output_tokens": 5,
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 100,
                "cache_creation_input_tokens": 55_096,
                "cache_creation": {"ephemeral_5m_input_tokens": 55_096, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 131,
            },
            {"type": "message", "input_tokens": 229, "output_tokens": 5, "model": "claude-opus-4-8"},
        ],
    }

    assert runs_of(usage) == [
        Tokens(uncached=100, written={"5m": 55_096}, output=131),
        Tokens(uncached=229, output=5, model="claude-opus-4-8"),
    ]


def test_a_prompt_smaller_than_its_parts_is_read_as_the_rest() -> None:
    usage = {"prompt_tokens": 100, "cache_read_input_tokens": 5000, "cache_creation_input_tokens": 1000}

    assert runs_of(usage) == [Tokens(uncached=100, read=5000, written={"": 1000})]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": None, "completion_tokens": None},
        {"cost": 0.1},
        {"iterations": [], "total_tokens": 3},
    ],
)
def test_what_does_not_say_what_a_call_took_is_unknown(usage: dict[str, Any] | None) -> None:
    assert runs_of(usage) is None


@pytest.mark.parametrize("bad", [None, -5, "7", 1.5, True, [1]])
def test_what_is_no_count_is_none(bad: object) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": bad,
        "prompt_tokens_details": {"cached_tokens": bad, "audio_tokens": bad},
        "cache_creation_input_tokens": bad,
    }

    assert runs_of(usage) == [Tokens(uncached=10)]


def test_the_tier_of_the_answer_is_that_of_its_usage() -> None:
    runs = runs_of({"prompt_tokens": 1, "completion_tokens": 1}, service_tier="flex")

    assert runs == [Tokens(uncached=1, output=1, service_tier="flex")]


counts = st.integers(0, 10**9)


@given(uncached=counts, read=counts, five=counts, hour=counts, output=counts)
def test_counters_survive_the_way_through_an_inclusive_usage(
    uncached: int, read: int, five: int, hour: int, output: int
) -> None:
    raw = {"cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}}
    usage = Usage(
        raw,
        prompt_tokens=uncached + read + five + hour,
        completion_tokens=output,
        prompt_tokens_details={"cached_tokens": read, "cache_creation_tokens": five + hour},
    )
    usage._raw = raw
    written = {time: count for time, count in (("5m", five), ("1h", hour)) if count}

    runs = runs_of(usage)

    expected = Tokens(uncached=uncached, read=read, written=written, output=output)
    assert runs == ([expected] if expected.prompt or output else None)
