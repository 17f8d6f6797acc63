"""The input of a tool: an object in Anthropic's bodies, a text of JSON everywhere else."""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato.wire.contract import Json
from ostinato.wire.mending import read
from ostinato.wire.values import Flaw

BROKEN = "INVALID_JSON"
"""The member that carries arguments that are no JSON object, as the vendor recommends:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming (read 2026-11-22)."""

_encode = msgspec.json.Encoder().encode


def tool_input(arguments: Any) -> Json:
    """Return the arguments of a call as an object. No text is none; what is no JSON object is kept as it is.

    Raises: Flaw: they are neither a text nor an object.
    """
    if isinstance(arguments, dict):
        return arguments
    if not arguments:
        return {}
    if not isinstance(arguments, str):
        raise Flaw("must be a str", "arguments")
    value = input_of(arguments)
    return value if type(value) is dict else {BROKEN: arguments}


def arguments_of(value: Any) -> str:
    """Return an input as the arguments of a call: JSON, or the text that a cut stream left of it."""
    return value if type(value) is str else _encode(value).decode()


def input_of(text: str) -> Any:
    """Return the value that streamed pieces of JSON make together; no text is no input, a cut text stays one."""
    if not text:
        return {}
    try:
        return read(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return text


def text_of(value: Any) -> str:
    """Return the text that `input_of` makes `value` of."""
    if type(value) is dict and not value:
        return ""
    if type(value) is str and value and input_of(value) is value:
        return value
    return _encode(value).decode()
