"""The mistakes in a chat request that the vendor answers with 400, in its own words.

They are worded as in recorded traffic where that has the case; the others are modelled on those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ostinato.testing.emulator.openai import models

Json = dict[str, Any]

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = {
    "text": ("text", str),
    "refusal": ("refusal", str),
    "image_url": ("image_url", dict),
    "input_audio": ("input_audio", dict),
    "file": ("file", dict),
}
_RANGES: dict[str, tuple[float, float | None]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "n": (1, 128),
    "top_logprobs": (0, 20),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
}
_WHOLE = frozenset({"n", "top_logprobs", "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tool_calls"})


class Refused(Exception):  # noqa: N818  (an answer, not a failure)
    """The request is one that the vendor refuses."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def check_chat(body: Any) -> None:
    """Return when the request can be answered.

    Raises: Refused: the vendor would not.
    """
    check_model(body)
    messages = body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise Refused(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    _check_tool_results(messages)
    for check in _CHECKS:
        check(body)


def check_model(body: Any) -> None:
    """Refuse a body that is no JSON object, or names no model."""
    if not isinstance(body, dict):
        raise Refused("We could not parse the JSON body of your request.")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refused("you must provide a model parameter")


def _check_message(message: Any, at: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(at, "an object", message)
    role = message.get("role")
    if role is None:
        raise missing(f"{at}.role")
    if role not in _ROLES:
        supported = ", ".join(f"'{name}'" for name in _ROLES[:-1])
        raise Refused(
            f"Invalid value: '{role}'. Supported values are: {supported}, and '{_ROLES[-1]}'.",
            f"{at}.role",
            "invalid_value",
        )
    _check_content(message.get("content"), f"{at}.content", optional=role == "assistant")
    for position, call in enumerate(message.get("tool_calls") or ()):
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            raise missing(f"{at}.tool_calls[{position}].id")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{at}.tool_call_id")


def _check_content(content: Any, at: str, *, optional: bool) -> None:
    if isinstance(content, list):
        for index, part in enumerate(content):
            _check_part(part, f"{at}[{index}]")
    elif not isinstance(content, str) and not (optional and content is None):
        raise wrong_type(at, "one of a string or array of objects", content)


def _check_part(part: Any, at: str) -> None:
    if not isinstance(part, dict):
        raise wrong_type(at, "an object", part)
    kind = part.get("type")
    if kind is None:
        raise missing(f"{at}.type")
    if kind not in _PARTS:
        supported = ", ".join(f"'{name}'" for name in _PARTS)
        raise Refused(f"Invalid value: '{kind}'. Supported values are: {supported}.", f"{at}.type", "invalid_value")
    member, expected = _PARTS[kind]
    if member not in part:
        raise missing(f"{at}.{member}")
    if not isinstance(part[member], expected):
        raise wrong_type(f"{at}.{member}", "a string" if expected is str else "an object", part[member])
    if kind == "image_url" and not isinstance(part[member].get("url"), str):
        raise missing(f"{at}.image_url.url")


def _check_tool_results(messages: list[Json]) -> None:
    """Every call of a tool is followed by its result, and every result follows its call."""
    open_ids: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    f"messages[{index}].role",
                )
            open_ids.discard(message["tool_call_id"])
            continue
        if open_ids:
            raise _unanswered(open_ids, index)
        open_ids = {call["id"] for call in message.get("tool_calls") or ()}
    if open_ids:
        raise _unanswered(open_ids, len(messages))


def _unanswered(ids: set[str], index: int) -> Refused:
    return Refused(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(ids))}",
        f"messages[{index}].role" if index else "messages",
    )


def _check_ranges(body: Json) -> None:
    check_ranges(body, _RANGES)


def check_ranges(body: Json, ranges: Mapping[str, tuple[float, float | None]]) -> None:
    """Refuse a parameter that is no number, or out of its range: lowest and highest value, None for no highest."""
    for name, (low, high) in ranges.items():
        value = body.get(name)
        if value is None:
            continue
        whole = name in _WHOLE
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise wrong_type(name, "an integer" if whole else "a decimal", value)
        kind = "integer" if whole else "decimal"
        if value < low:
            raise Refused(
                f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {value} instead.",
                name,
                f"{kind}_below_min_value",
            )
        if high is not None and value > high:
            raise Refused(
                f"Invalid '{name}': {kind} above maximum value. Expected a value <= {high}, but got {value} instead.",
                name,
                f"{kind}_above_max_value",
            )


def _check_reasoning(body: Json) -> None:
    model = body["model"]
    if not models.may_reason(model):
        return
    if body.get("max_tokens") is not None:
        raise Refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if body.get("stop"):
        raise unsupported("stop")
    if models.effort(model, body.get("reasoning_effort")) == "none":
        return
    for name in ("logprobs", "top_logprobs"):
        if body.get(name):
            raise unsupported(name)
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1):
            raise Refused(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                "Only the default (1) value is supported.",
                name,
                "unsupported_value",
            )


def _check_combinations(body: Json) -> None:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise Refused(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused("'logprobs' must be set to true to use 'top_logprobs'.", "top_logprobs")
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not body.get("tools"):
            raise Refused(f"'{name}' is only allowed when 'tools' are specified.", name)
    if "audio" in (body.get("modalities") or ()):
        raise Refused("Audio output is not supported with this model.", "modalities", "unsupported_value")
    if body.get("web_search_options") is not None and "search" not in body["model"]:
        raise Refused("Web search options not supported with this model.", "web_search_options")


def _check_tools(body: Json) -> None:
    for index, tool in enumerate(body.get("tools") or ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "custom"):
            raise missing(f"tools[{index}].type")
        if not isinstance(tool.get(kind), dict) or not isinstance(tool[kind].get("name"), str):
            raise missing(f"tools[{index}].{kind}.name")


def _check_format(body: Json) -> None:
    asked = body.get("response_format")
    if asked is None:
        return
    kind = asked.get("type") if isinstance(asked, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise Refused(
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.",
            "response_format.type",
            "invalid_value",
        )
    if kind == "json_schema":
        schema = asked.get("json_schema")
        if not isinstance(schema, dict) or not isinstance(schema.get("name"), str):
            raise missing("response_format.json_schema.name")
        if not isinstance(schema.get("schema"), dict):
            raise missing("response_format.json_schema.schema")
    if kind == "json_object" and "json" not in str([message.get("content") for message in body["messages"]]).lower():
        raise Refused(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )


def _check_prompt_cache(body: Json) -> None:
    if body.get("prompt_cache_retention") not in (None, "in_memory", "24h"):
        raise Refused(
            f"Invalid value: '{body['prompt_cache_retention']}'. Supported values are: 'in_memory' and '24h'.",
            "prompt_cache_retention",
            "invalid_value",
        )
    options = body.get("prompt_cache_options")
    if options is None:
        return
    if not models.has_breakpoints(body["model"]):
        raise unsupported("prompt_cache_options")
    if options.get("mode", "implicit") not in ("implicit", "explicit") or options.get("ttl", "30m") != "30m":
        raise Refused(f"Invalid 'prompt_cache_options': got {options}.", "prompt_cache_options", "invalid_value")


_CHECKS: tuple[Callable[[Json], None], ...] = (
    _check_combinations,
    _check_ranges,
    _check_reasoning,
    _check_tools,
    _check_format,
    _check_prompt_cache,
)


def missing(param: str) -> Refused:
    """Return the refusal of a request that leaves `param` out."""
    return Refused(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def unsupported(param: str) -> Refused:
    """Return the refusal of a parameter that the model has not."""
    return Refused(
        f"Unsupported parameter: '{param}' is not supported with this model.", param, "unsupported_parameter"
    )


def wrong_type(param: str, expected: str, value: object) -> Refused:
    """Return the refusal of a parameter that is of another type than `expected`."""
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array"}
    got = "null" if value is None else names.get(type(value), "an object")
    return Refused(f"Invalid type for '{param}': expected {expected}, but got {got} instead.", param, "invalid_type")
