from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.anthropic_calls import TOOL, build, validate

TEXTS = st.text("aé\U0001f600 \n", max_size=8)
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.just({"type": "image_url", "image_url": {"url": "https://a.example/p.png"}}),
)
USERS = st.builds(lambda content: {"role": "user", "content": content}, TEXTS | st.lists(PARTS, min_size=1, max_size=3))
SYSTEMS = st.builds(lambda text: {"role": "system", "content": text}, TEXTS)
CALLS = st.lists(
    st.builds(
        lambda name, given: {
            "type": "function",
            "function": {"name": name, "arguments": msgspec.json.encode(given).decode()},
        },
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


@settings(max_examples=300)
@given(conversations(), st.sampled_from(["claude-sonnet-4-5", "claude-opus-4-8"]))
def test_the_turns_of_a_conversation_are_a_byte_prefix_of_those_of_the_next_turn(drawn: Any, model: str) -> None:
    messages, asked = drawn
    before = copy.deepcopy(messages)
    sent = [msgspec.json.encode(build(*messages[:length], model=model, tools=[TOOL])) for length in asked]

    assert messages == before
    for shorter, longer in pairwise(sent):
        assert longer.startswith(shorter.removesuffix(b"]}"))


@settings(max_examples=200)
@given(conversations())
def test_what_is_built_is_what_the_official_types_take(drawn: Any) -> None:
    messages, _ = drawn

    validate(build(*messages, tools=[TOOL], temperature=0.5, stop="x"))
