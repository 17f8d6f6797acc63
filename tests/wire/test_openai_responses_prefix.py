"""What is sent for a conversation begins with what was sent for its beginning, so that the prompt cache finds it."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.wire.openai_responses import WIRE
from tests.wire.openai_responses_calls import PIXEL, TOOL, answer, build, called, said, thought, validate

TEXTS = st.text("aé\U0001f600 \n", min_size=1, max_size=8)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": PIXEL}}),
)
USERS = st.builds(lambda content: {"role": "user", "content": content}, TEXTS | st.lists(PARTS, min_size=1, max_size=3))
SYSTEMS = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "developer"]), TEXTS)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Any], list[int]]:
    """Draw a conversation, answers of this wire and of others in it, and the lengths at which the model was asked."""
    messages = draw(st.lists(SYSTEMS, max_size=2))
    asked = []
    for turn in range(draw(st.integers(1, 4))):
        messages += draw(st.lists(USERS, min_size=1, max_size=2)) + draw(st.lists(SYSTEMS, max_size=1))
        asked.append(len(messages))
        calls = [f"call_{turn}_{place}" for place in range(draw(st.integers(0, 2)))]
        output = [thought(item_id=f"rs_{turn}"), said(draw(TEXTS)), *(called(call_id=name) for name in calls)]
        message: Any = WIRE.parse(answer(*output)).choices[0].message
        if not draw(st.booleans()):
            message = {name: message[name] for name in ("role", "content", "tool_calls") if name in message}
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": name, "content": draw(TEXTS)} for name in calls]
        if calls:
            asked.append(len(messages))
    return messages, asked


@settings(max_examples=300)
@given(conversations())
def test_the_input_of_a_conversation_is_a_byte_prefix_of_that_of_the_next_turn(drawn: Any) -> None:
    messages, asked = drawn
    before = copy.deepcopy(messages)
    sent = [msgspec.json.encode(build(*messages[:length], tools=[TOOL], temperature=0.5)) for length in asked]

    assert messages == before
    for shorter, longer in pairwise(sent):
        assert longer.startswith(shorter.removesuffix(b"]}"))


@settings(max_examples=100)
@given(conversations())
def test_what_is_built_is_what_the_official_types_take(drawn: Any) -> None:
    messages, _ = drawn

    validate(build(*messages, tools=[TOOL], temperature=0.5))
