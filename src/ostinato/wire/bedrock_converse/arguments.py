"""The arguments of a tool call: text for OpenAI's callers, a JSON value in Converse's bodies.

What a model wrote may be cut short. Such text stands in a body as it is, as a JSON string; the two functions
are each other's inverse, so that no string is ever taken for something else.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato.wire.mending import read

_encode = msgspec.json.Encoder().encode


def value_of(text: str) -> Any:
    """Return the value that `text` is, `{}` for no text, and text that is no JSON unchanged."""
    if not text.strip():
        return {}
    try:
        return read(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def text_of(value: Any) -> str:
    """Return the text of a value. What was never JSON is returned as it is."""
    if type(value) is str and not _reads(value):
        return value
    return _encode(value).decode()


def is_whole(value: Any) -> bool:
    """Say whether a value is what a model meant, and not text that was cut short."""
    return type(value) is not str or _reads(value)


def _reads(text: str) -> bool:
    return value_of(text) is not text
