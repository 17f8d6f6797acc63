"""Tools and the choice among them: nested in chat, flat in the Responses API.

Source: https://platform.openai.com/docs/guides/migrate-to-responses and
https://platform.openai.com/docs/guides/function-calling (read 2026-11-22).
"""

from __future__ import annotations

from typing import Any

from ostinato.errors import BadRequestError
from ostinato.wire.contract import Json
from ostinato.wire.openai_responses.parts import MARK
from ostinato.wire.values import kind_of

_NESTED = ("function", "custom")
_FUNCTION = ("name", "description", "parameters", "strict")
_CUSTOM = ("name", "description", "format")
_GRAMMAR = ("syntax", "definition")


def flat_tools(tools: Any) -> list[Any]:
    """Return chat's tools as the API's; a tool that is flat already, or the vendor's own, as it is."""
    if not isinstance(tools, list | tuple):
        raise BadRequestError(f"tools must be a list, not {kind_of(tools)}")
    flat = []
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise BadRequestError(f"tools[{index}] must be an object, not {kind_of(tool)}")
        flat.append(_flat(tool))
    return flat


def _flat(tool: Json) -> Json:
    function, custom = dict.get(tool, "function"), dict.get(tool, "custom")
    if isinstance(function, dict):
        # Without a word of it a function is strict here, and is not in chat.
        named: Json = {"strict": False, **function}
        if named["strict"] is None:
            del named["strict"]
        if named.get("parameters") is None:
            named["parameters"] = {"type": "object", "properties": {}}
        made = {"type": "function", **named}
    elif isinstance(custom, dict):
        made = {"type": "custom", **custom}
        wanted = custom.get("format")
        if isinstance(wanted, dict) and isinstance(wanted.get("grammar"), dict):
            made["format"] = {"type": "grammar", **wanted["grammar"]}
    else:
        made = tool
    made = {**made, **{name: value for name, value in dict.items(tool) if name not in {"type", *_NESTED}}}
    made.pop(MARK, None)
    return made


def flat_choice(choice: Any) -> Any:
    """Return chat's `tool_choice` as the API's."""
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools" and isinstance(choice.get(kind), dict):
        allowed = choice[kind]
        return {**allowed, "type": kind, "tools": [flat_choice(tool) for tool in allowed.get("tools") or ()]}
    if kind in _NESTED and isinstance(choice.get(kind), dict):
        return {"type": kind, "name": choice[kind].get("name")}
    return {"type": "function", "name": choice["name"]} if kind is None and "name" in choice else choice


def nested_tool(tool: Any) -> Any:
    """Return a tool of the API's as chat's, one that chat knows nothing of as it is."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == "function" and "function" not in tool:
        # None keeps a missing word missing; it reads as not strict elsewhere.
        named = {"strict": None, **{name: tool[name] for name in _FUNCTION if name in tool}}
    elif kind == "custom" and "custom" not in tool:
        named = {name: tool[name] for name in _CUSTOM if name in tool}
        wanted = named.get("format")
        if isinstance(wanted, dict) and wanted.get("type") == "grammar" and "grammar" not in wanted:
            named["format"] = {
                "type": "grammar",
                "grammar": {name: wanted[name] for name in _GRAMMAR if name in wanted},
            }
    else:
        return tool
    own = {"type", *(_FUNCTION if kind == "function" else _CUSTOM)}
    return {"type": kind, kind: named, **{name: value for name, value in tool.items() if name not in own}}


def nested_choice(choice: Any) -> Any:
    """Return the API's `tool_choice` as chat's."""
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools" and kind not in choice:
        allowed = {name: value for name, value in choice.items() if name != "type"}
        return {"type": kind, kind: {**allowed, "tools": [nested_choice(tool) for tool in choice.get("tools") or ()]}}
    if kind in _NESTED and kind not in choice and "name" in choice:
        return {"type": kind, kind: {"name": choice["name"]}}
    return choice
