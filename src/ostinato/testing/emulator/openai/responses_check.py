"""The mistakes in a Responses request that the vendor answers with 400, in its own words.

They are worded as in recorded traffic where that has the case; the others are modelled on those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ostinato.testing.emulator.openai import models
from ostinato.testing.emulator.openai.check import (
    Refused,
    check_model,
    check_ranges,
    missing,
    unsupported,
    wrong_type,
)
from ostinato.testing.emulator.openai.responses_read import items_of

Json = dict[str, Any]

_PARAMS = frozenset(
    "background background_options context_management conversation include input instructions "  # noqa: SIM905
    "max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store "
    "stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user".split()
)
_RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
    "max_output_tokens": (16, None),
    "max_tool_calls": (1, None),
}
_ROLES = ("assistant", "system", "developer", "user")
_PARTS = ("input_text", "input_image", "output_text", "refusal", "input_file", "computer_screenshot", "summary_text")
_NAMED = {"function": ("name", "parameters"), "custom": ("name",)}
_OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_BREAKPOINT_TTLS = (None, "30m", "12h")


def check_responses(body: Any) -> None:
    """Return when the request can be answered.

    Raises: Refused: the vendor would not.
    """
    check_model(body)
    for name in body:
        if name not in _PARAMS:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if body.get("previous_response_id") is not None:
        # The emulator keeps no answers: to it, none of them is known.
        message = f"Previous response with id '{body['previous_response_id']}' not found."
        raise Refused(message, "previous_response_id", "previous_response_not_found")
    given = body.get("input")
    if given is None or given == []:
        raise missing("input")
    if not isinstance(given, str | list):
        raise wrong_type("input", "one of a string or array of objects", given)
    for index, item in enumerate(items_of(body)):
        _check_item(item, f"input[{index}]")
    _check_pairs(items_of(body))
    check_ranges(body, _RANGES)
    for check in _CHECKS:
        check(body)


def _check_item(item: Any, at: str) -> None:
    if not isinstance(item, dict):
        raise wrong_type(at, "an object", item)
    kind = item.get("type", "message")
    if kind == "message":
        _check_message(item, at)
    for name in ("call_id", "name", "arguments") if kind == "function_call" else ():
        if not isinstance(item.get(name), str):
            raise missing(f"{at}.{name}")
    if kind in _OUTPUTS:
        for name in ("call_id", "output"):
            if item.get(name) is None:
                raise missing(f"{at}.{name}")
        if isinstance(item["output"], list):
            _check_parts(item["output"], f"{at}.output")


def _check_message(item: Json, at: str) -> None:
    role = item.get("role")
    if role is None:
        raise missing(f"{at}.role")
    if role not in _ROLES:
        supported = ", ".join(f"'{name}'" for name in _ROLES[:-1])
        message = f"Invalid value: '{role}'. Supported values are: {supported}, and '{_ROLES[-1]}'."
        raise Refused(message, at, "invalid_value")
    content = item.get("content")
    if isinstance(content, list):
        _check_parts(content, f"{at}.content")
    elif not isinstance(content, str):
        raise wrong_type(f"{at}.content", "one of an array of objects or string", content)
    unknown = item.keys() - {"type", "role", "content", "id", "status", "phase"}
    if unknown:
        name = min(unknown)
        raise Refused(f"Unknown parameter: '{at}.{name}'.", f"{at}.{name}", "unknown_parameter")


def _check_parts(parts: list[Any], at: str) -> None:
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PARTS:
            supported = ", ".join(f"'{name}'" for name in _PARTS[:-1])
            message = f"Invalid value: '{kind}'. Supported values are: {supported}, and '{_PARTS[-1]}'."
            raise Refused(message, f"{at}[{index}]", "invalid_value")
        if kind in {"input_text", "output_text"} and not isinstance(part.get("text"), str):
            raise missing(f"{at}[{index}].text")
        if "cache_control" in part:
            where = f"{at}[{index}].cache_control"
            raise Refused(f"Unknown parameter: '{where}'.", where, "unknown_parameter")


def _check_pairs(items: list[Json]) -> None:
    """Every call of a tool has its output, every output its call, and reasoning what it was for."""
    for kind, called in _OUTPUTS.items():
        words = called.replace("_", " ")
        calls = [item.get("call_id") for item in items if item.get("type") == called]
        outputs = [item["call_id"] for item in items if item.get("type") == kind]
        for call_id in outputs:
            if call_id not in calls:
                raise Refused(f"No tool call found for {words} output with call_id {call_id}.", "input")
        for call_id in calls:
            if call_id not in outputs:
                raise Refused(f"No tool output found for {words} {call_id}.", "input")
    for index, item in enumerate(items):
        following = items[index + 1] if index + 1 < len(items) else {"role": "user"}
        if item.get("type") == "reasoning" and item.get("id") and following.get("role", "assistant") != "assistant":
            message = f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
            raise Refused(message, "input")


def _check_reasoning(body: Json) -> None:
    model, reasoning = body["model"], body.get("reasoning") or {}
    if not models.may_reason(model):
        if reasoning.get("effort") is not None:
            raise unsupported("reasoning.effort")
        return
    if models.effort(model, reasoning.get("effort")) == "none":
        return
    for name in ("temperature", "top_p"):
        if body.get(name) not in {None, 1}:
            raise unsupported(name)


def _check_tools(body: Json) -> None:
    tools = body.get("tools") or ()
    for index, tool in enumerate(tools):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise missing(f"tools[{index}].type")
        for name in _NAMED.get(kind, ()):
            if name not in tool:
                raise missing(f"tools[{index}].{name}")
        if "cache_control" in tool:
            raise Refused(f"Unknown parameter: 'tools[{index}].cache_control'.", "tools", "unknown_parameter")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") in _NAMED:
        known = [(tool["type"], tool.get("name")) for tool in tools]
        if (choice["type"], choice.get("name")) not in known:
            message = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
            raise Refused(message, "tool_choice")


def _check_format(body: Json) -> None:
    asked = (body.get("text") or {}).get("format")
    if asked is None:
        return
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind not in {"text", "json_object", "json_schema"}:
        supported = "'json_object', 'json_schema', and 'text'"
        message = f"Invalid value: '{kind}'. Supported values are: {supported}."
        raise Refused(message, "text.format.type", "invalid_value")
    for name in ("name", "schema") if kind == "json_schema" else ():
        if asked.get(name) is None:
            raise missing(f"text.format.{name}")
    if kind == "json_object" and "json" not in str(body["input"]).lower():
        words = "must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        raise Refused(f"Response input messages {words}", "input")


def _check_prompt_cache(body: Json) -> None:
    options = body.get("prompt_cache_options")
    if options is None:
        return
    if not models.has_breakpoints(body["model"]):
        raise unsupported("prompt_cache_options")
    if options.get("mode") not in {None, "implicit", "explicit"} or options.get("ttl") not in _BREAKPOINT_TTLS:
        raise Refused(f"Invalid 'prompt_cache_options': got {options}.", "prompt_cache_options", "invalid_value")


_CHECKS: tuple[Callable[[Json], None], ...] = (_check_reasoning, _check_tools, _check_format, _check_prompt_cache)
