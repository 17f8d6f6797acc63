"""Where the texts of an output item stand, and which events carry them.

An item has one text or several: the parts of a message, the summary and the content of reasoning, what a tool is
given. Each is a *channel*: the member of the item, and the place in its list, or None where it is no list.

Source: https://platform.openai.com/docs/api-reference/responses-streaming (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ostinato.wire.contract import Json

Channel = tuple[str, int | None]


class Delta(NamedTuple):
    """What an event with a piece of a text is about."""

    member: str
    """The member of the item that holds the text, or the parts with it."""
    place: str | None
    """The member of the event that says which part; None where the text is the item's own."""
    text: str
    """The member of the part that holds the text."""
    part: str
    """The type of the part."""
    item: str
    """The type of the item."""


_PARTED = {
    "response.output_text": Delta("content", "content_index", "text", "output_text", "message"),
    "response.refusal": Delta("content", "content_index", "refusal", "refusal", "message"),
    "response.reasoning_text": Delta("content", "content_index", "text", "reasoning_text", "reasoning"),
    "response.reasoning_summary_text": Delta("summary", "summary_index", "text", "summary_text", "reasoning"),
}
_OWN = {
    "response.function_call_arguments": Delta("arguments", None, "arguments", "", "function_call"),
    "response.mcp_call_arguments": Delta("arguments", None, "arguments", "", "mcp_call"),
    "response.custom_tool_call_input": Delta("input", None, "input", "", "custom_tool_call"),
    "response.code_interpreter_call_code": Delta("code", None, "code", "", "code_interpreter_call"),
}

TEXTS = {**_PARTED, **_OWN}
"""By the name of their events, without `.delta` or `.done`."""

DELTAS = {f"{name}.delta": delta for name, delta in TEXTS.items()}
DONES = {f"{name}.done": delta for name, delta in TEXTS.items()}

BY_PART = {delta.part: name for name, delta in _PARTED.items()}
"""The name of the events by the type of the part."""
BY_ITEM = {delta.item: name for name, delta in _OWN.items()}
"""The name of the events by the type of the item."""

_PARTED_ITEMS = {"message": ("content",), "reasoning": ("summary", "content")}

PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}
"""Where the parts stand that events begin and end, by the name of the events."""

STEPS = {
    "web_search_call": (("in_progress", "searching"), ("completed",)),
    "file_search_call": (("in_progress", "searching"), ("completed",)),
    "code_interpreter_call": (("in_progress",), ("interpreting", "completed")),
    "image_generation_call": (("in_progress", "generating"), ("completed",)),
    "mcp_call": (("in_progress",), ("completed",)),
    "mcp_list_tools": (("in_progress",), ("completed",)),
}
"""Events of items that the vendor works on itself, before and after their text; `response.<type>.<step>`."""


def channels_of(item: Json) -> Iterator[tuple[Channel, str, str]]:
    """Yield the channels of an item that has come whole: where, the name of the events, the text.

    A part without a text has no name.
    """
    kind = item.get("type")
    name = BY_ITEM.get(kind) if isinstance(kind, str) else None
    if name is not None:
        text = item.get(TEXTS[name].member)
        if isinstance(text, str):
            yield (TEXTS[name].member, None), name, text
        return
    for member in _PARTED_ITEMS.get(kind, ()) if isinstance(kind, str) else ():
        parts = item.get(member)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict):
                name = BY_PART.get(part["type"]) if isinstance(part.get("type"), str) else None
                text = part.get(TEXTS[name].text) if name is not None else None
                yield (member, place), *((name, text) if name is not None and isinstance(text, str) else ("", ""))
