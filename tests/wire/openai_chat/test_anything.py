"""Whatever a vendor sends: an answer, or an error of ours, and nothing else."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import APIError, APIResponseError
from ostinato.wire import find_wire
from tests.wire.openai_chat import bodies

WIRE = find_wire("openai_chat")

NAMES = (
    "choices message delta finish_reason logprobs content usage x_groq prompt_tokens_details service_tier "
    "completion_tokens_details prompt_tokens total_tokens cached_tokens error errors code type status "
    "metadata raw object tool_calls function arguments index id function_call ostinato"
)
anything: st.SearchStrategy[Any] = st.recursive(
    bodies.scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES.split()), anything, max_size=5) | bodies.body


@settings(max_examples=400)
@given(objects)
def test_any_object_is_an_answer_or_an_error_of_ours(body: dict[str, Any]) -> None:
    WIRE.incomplete(body)
    WIRE.event_error(body)
    WIRE.tokens(body)
    with suppress(APIError):
        WIRE.parse(copy.deepcopy(body))


@settings(max_examples=400)
@given(st.lists(objects, max_size=4))
def test_any_events_are_a_stream_or_an_error_of_ours(events: list[dict[str, Any]]) -> None:
    fold, translator = WIRE.fold(), WIRE.translator()
    with suppress(APIResponseError):
        for event in copy.deepcopy(events):
            fold.feed(event)
            translator.feed(event)

    assert msgspec.json.encode([fold.body(), fold.cuts()])


@settings(max_examples=200)
@given(st.integers(300, 599), st.binary() | anything.map(msgspec.json.encode))
def test_any_body_of_a_failure_is_an_error_with_a_message(status: int, body: bytes) -> None:
    error = WIRE.error(status, {}, body)

    assert error.status_code == status
    assert 0 < len(str(error)) <= 2_000
