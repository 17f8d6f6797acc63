"""From the caller's words to the body of a Responses request, and to the part of it that a key is made of.

Source: https://platform.openai.com/docs/api-reference/responses/create (read 2026-11-22).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ostinato.errors import BadRequestError, UnsupportedParamsError
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.openai_chat import request as chat
from ostinato.wire.openai_responses.items import translate
from ostinato.wire.openai_responses.settings import settings
from ostinato.wire.values import check_json, extra_body

if TYPE_CHECKING:
    from ostinato.providers import Provider

PATH = "/responses"

BREAKPOINT = "prompt_cache_breakpoint"

_CALLERS_TOOLS = frozenset({"function", "custom", "tool_search", "local_shell", "apply_patch"})
"""Tools that the caller runs, or that search among the request's own tools: the answer depends on the request alone."""

_PARTS = ("content", "output")
"""Where an input item holds content parts."""


def build(call: Call, provider: Provider) -> Built:
    """Return the request for `call`; see `Wire.build`."""
    try:
        return Built(PATH, _body(call, strict=provider.name == "openai" and call.strict))
    except (BadRequestError, UnsupportedParamsError) as error:
        error.provider = provider.name
        raise


def _body(call: Call, *, strict: bool) -> Json:
    """Return the body, the input last, so that a longer conversation has the shorter as its prefix."""
    if not call.model.isascii():
        check_json(call.model, "model")
    params = call.params
    made = settings(call, strict=strict) if params else {}
    instructions, items = translate(call.messages, instructed="instructions" in made)
    body: Json = {"model": call.model, **made}
    if instructions is not None:
        body["instructions"] = instructions
    body["input"] = items
    return body | extra_body(params)


def streaming(built: Built) -> Built:
    """Return the same request, asking for a stream. Its last event has the usage, unasked."""
    return replace(built, body=built.body | {"stream": True})


def keyed_body(body: Json) -> Json:
    """Return `body` without the paths that are no part of a key.

    An input that is a text is the message that it stands for, and a message that names its type one that does not.
    """
    keyed = {name: value for name, value in body.items() if name not in chat.UNKEYED}
    items = keyed.get("input")
    if isinstance(items, str):
        keyed["input"] = [{"role": "user", "content": items}]
    elif isinstance(items, list) and any(map(_needs_change, items)):
        keyed["input"] = [_keyed(item) if _needs_change(item) else item for item in items]
    return keyed


def _needs_change(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return item.get("type") == "message" or any(_marked(item.get(name)) for name in _PARTS)


def _marked(parts: Any) -> bool:
    return isinstance(parts, list) and any(isinstance(part, dict) and BREAKPOINT in part for part in parts)


def _keyed(item: Json) -> Json:
    made = {name: value for name, value in item.items() if name != "type" or value != "message"}
    for name in _PARTS:
        if _marked(made.get(name)):
            made[name] = [_unmarked(part) for part in made[name]]
    return made


def _unmarked(part: Any) -> Any:
    return {name: value for name, value in part.items() if name != BREAKPOINT} if isinstance(part, dict) else part


def bypass(body: Json) -> str | None:
    """Say which part of the request makes its answer depend on more than the request, or None."""
    reason = chat.bypass({name: value for name, value in body.items() if name != "tools"})
    if reason is not None:
        return reason
    items = body.get("input")
    late = [item for item in items if _adds_tools(item)] if isinstance(items, list) else []
    for holder in (body, *late):
        kind = _vendors_tool(holder.get("tools"))
        if kind is not None:
            return f"the vendor runs the tool {kind!r}"
    return None


def _adds_tools(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") in ("additional_tools", "tool_search_output")


def _vendors_tool(tools: Any) -> str | None:
    """Return the type of the first tool that the vendor runs, or None."""
    for tool in tools if isinstance(tools, list) else ():
        kind = str(tool.get("type", "function")) if isinstance(tool, dict) else "function"
        if kind == "namespace":
            inner = _vendors_tool(tool.get("tools"))
            if inner is not None:
                return inner
        elif kind == "shell":
            place = tool.get("environment")
            if not isinstance(place, dict) or place.get("type") != "local":
                return kind
        elif kind not in _CALLERS_TOOLS:
            return kind
    return None
