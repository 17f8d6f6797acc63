"""Bodies of chat completions, likely and unlikely ones, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

text = st.text(max_size=12) | st.sampled_from(["", "𝄞 🎵", "é\n", "{"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | text
NAMES = "id type index name role text thinking content refusal object usage p ostinato delta message error own"
names = st.sampled_from(NAMES.split()) | st.text(max_size=3)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
)
unknown = st.dictionaries(names, values, max_size=2)


def some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of `members`, and now and then with members of other names."""
    return st.builds(lambda extra, known: extra | known, unknown, st.fixed_dictionaries({}, optional=members))


function = some(name=text, arguments=text | scalars)
tool_call = some(id=text, type=text, index=st.integers(0, 3), function=function | values, custom=some(input=text))
parts = st.lists(
    some(type=st.sampled_from(["text", "thinking"]), text=text, index=st.integers(0, 1)) | values, max_size=3
)
message = some(
    role=st.sampled_from(["assistant", "", None, "tool"]) | values,
    content=text | st.none() | parts | values,
    refusal=text | st.none(),
    reasoning=text | st.none(),
    reasoning_content=text,
    reasoning_details=parts,
    tool_calls=st.lists(tool_call, max_size=3) | values,
    function_call=function | values,
    audio=some(id=text, data=text, expires_at=st.integers()),
    annotations=st.lists(values, max_size=2),
    executed_tools=parts,
)
logprobs = some(content=st.lists(values, max_size=3) | st.none(), refusal=st.lists(values, max_size=2))
choice = some(
    index=st.integers(0, 2) | values,
    message=message | values,
    finish_reason=st.sampled_from(["stop", "length", "", None]) | values,
    logprobs=logprobs | values,
)
numbered = st.lists(choice, max_size=3).map(lambda found: [{**item, "index": at} for at, item in enumerate(found)])
body = some(
    id=text,
    object=st.sampled_from(["chat.completion", "chat.completion.chunk", "", None]),
    created=st.integers(),
    model=text,
    usage=st.dictionaries(names, values, max_size=2) | st.none(),
    x_groq=values,
).flatmap(lambda head: (st.lists(choice, max_size=3) | numbered).map(lambda found: {**head, "choices": found}))
"""Whatever `parse` takes, falsy errors included."""
