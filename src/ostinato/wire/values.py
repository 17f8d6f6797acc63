"""What a caller hands in, checked to be what JSON can carry.

The check is on the way of every call, hits included: it takes exact types in its stride, makes no path until
something is wrong, and copies nothing but the objects around a value that has to be replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from ostinato.errors import BadRequestError
from ostinato.records import Message
from ostinato.wire.contract import Json

MAX_DEPTH = 200


class Flaw(Exception):  # noqa: N818 - never leaves the wires: it becomes a BadRequestError
    """Something that JSON cannot carry, and the way to it, innermost step first."""

    def __init__(self, reason: str, *path: str | int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[Any] = list(path)

    def at(self, root: str) -> BadRequestError:
        """Return the error to raise, its path beginning with `root`."""
        steps = (f"[{step}]" if type(step) is int else f".{step}" for step in reversed(self.path))
        return BadRequestError(f"{root}{''.join(steps)} {self.reason}")


def check_json(value: Any, path: str) -> Any:
    """Return `value` as plain JSON: itself, or a copy in which models, enums and the like are plain values.

    Raises: BadRequestError: something in it JSON cannot carry; the message names the path, which begins with
        `path`.
    """
    try:
        return plain(value, 0)
    except Flaw as flaw:
        raise flaw.at(path) from None


def plain(value: Any, depth: int) -> Any:
    """Return `value` as plain JSON. Raises: Flaw."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value)
    if kind is dict:
        return plain_object(value, depth)
    if kind is list:
        return _array(value, depth)
    if value is None or kind is bool or kind is int:
        return value
    if kind is float:
        return _number(value)
    return _unusual(value, depth)


def plain_object(value: Json, depth: int) -> Json:
    """Return an object as plain JSON. Raises: Flaw."""
    if depth > MAX_DEPTH:
        raise Flaw(f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
    changed: Json | None = None
    for name, item in dict.items(value):
        if type(name) is not str or not name.isascii():
            _check_name(name)
        kind = type(item)
        if kind is str:
            if item.isascii():
                continue
        elif kind is int or item is None:
            continue
        try:
            checked = plain_object(item, depth + 1) if kind is dict else plain(item, depth + 1)
        except Flaw as flaw:
            flaw.path.append(name)
            raise
        if checked is not item:
            if changed is None:
                changed = dict(value)
            changed[name] = checked
    return value if changed is None else changed


def _array(value: list[Any], depth: int) -> list[Any]:
    if depth > MAX_DEPTH:
        raise Flaw(f"is nested more than {MAX_DEPTH} levels deep, or contains itself")
    changed: list[Any] | None = None
    for index, item in enumerate(value):
        if type(item) is int or (type(item) is str and item.isascii()):
            continue
        try:
            checked = plain(item, depth + 1)
        except Flaw as flaw:
            flaw.path.append(index)
            raise
        if checked is not item:
            if changed is None:
                changed = list(value)
            changed[index] = checked
    return value if changed is None else changed


def _check_name(name: Any) -> None:
    if type(name) is not str:
        raise Flaw(f"has a name that is no str: {name!r}")
    _text(name)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Flaw(f"holds a lone surrogate at character {error.start}, which UTF-8 cannot carry") from None
    return value


def _number(value: float) -> float:
    if not isfinite(value):
        raise Flaw(f"is {value!r}, which JSON cannot carry")
    return value


def _unusual(value: Any, depth: int) -> Any:
    """Return a value of none of JSON's own types as one of them."""
    if isinstance(value, dict):
        return plain_object(value, depth)
    if isinstance(value, list | tuple):
        return _array(list(value), depth)
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return _number(float.__float__(value))
    if isinstance(value, Mapping):
        return plain_object(dict(value), depth)
    dumped = dump(value)
    if dumped is value:
        raise Flaw(f"is {kind_of(value)}, which JSON cannot carry")
    return plain(dumped, depth)


def mapping(value: Any) -> Json:
    """Return an object of the caller's as a dict: itself where it is one. Raises: Flaw."""
    if type(value) is Message and type(dict.get(value, "content")) is dict:
        return {**value, "content": value.content}  # an answer of Cloudflare's; nobody takes it back like that
    if isinstance(value, dict):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    dumped = dump(value)
    if not isinstance(dumped, dict):
        raise Flaw(f"must be a mapping, not {kind_of(value)}")
    return dumped


def extra_body(params: Json) -> Json:
    """Return what the parameter `extra_body` puts into a request as it is. Raises: BadRequestError."""
    extra = params.get("extra_body")
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise BadRequestError(f"extra_body must be a mapping of parameters, not {kind_of(extra)}")
    if "stream" in extra:
        raise BadRequestError("extra_body cannot hold stream; pass stream=True")
    checked: Json = check_json(dict(extra), "extra_body")
    return checked


def each_call(message: Json, translate: Callable[[Json, str, int], Json]) -> list[Json]:
    """Return the tool calls of a message, each as `translate(call, id, index)` makes of it. Raises: Flaw."""
    calls = dict.get(message, "tool_calls")
    made = []
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            raise Flaw(f"must be an object, not {kind_of(call)}", index, "tool_calls")
        call_id = dict.get(call, "id")
        if not isinstance(call_id, str) or not call_id:
            raise Flaw("must be the id of the call", "id", index, "tool_calls")
        made.append(translate(call, call_id, index))
    return made


def call_id(call: Json, number: int) -> str:
    """Return the id of a vendor's tool call, or one by its number: Gemini's may be empty."""
    given = dict.get(call, "id")
    return given if isinstance(given, str) and given else f"call_{number}"


def dump(value: Any) -> Any:
    """Return what a pydantic model holds, as the OpenAI client would send it; anything else as it is."""
    dumping = getattr(value, "model_dump", None)
    if dumping is None or isinstance(value, type):
        return value
    try:
        return dumping(mode="json", exclude_unset=True, exclude=getattr(value, "__api_exclude__", None))
    except TypeError:
        return dumping()


def kind_of(value: object) -> str:
    """Return the name of a value's type, for a message."""
    return "None" if value is None else f"a {type(value).__name__}"
