"""The wire from the other side: a request of Anthropic's, read as a call.

What OpenAI's shapes can say is said in them, so that any vendor can answer; the rest stays the block or the
parameter it was, which Anthropic's own wire sends on as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ostinato.errors import APIResponseError, BadRequestError
from ostinato.wire.anthropic.inputs import BROKEN
from ostinato.wire.anthropic.render import Renderer, render, render_error
from ostinato.wire.anthropic.request import PATH, VERSION
from ostinato.wire.anthropic.response import message_of
from ostinato.wire.contract import Built, Call, Json
from ostinato.wire.values import kind_of

__all__ = ["Renderer", "pass_on", "read_request", "render", "render_error"]

COUNTED = frozenset(
    "cache_control compaction context_management mcp_servers messages model output_config speed "  # noqa: SIM905
    "system thinking tool_choice tools user_profile_id".split()
)
"""What `messages/count_tokens` takes.

Source: https://platform.claude.com/docs/en/api/messages-count-tokens (read 2026-11-24), and the parameters of
anthropic 2.12, `MessageCountTokensParams`."""

_APART = frozenset({"messages", "model", "stream", "system"})

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

_TIERS = {"auto": "auto", "standard_only": "default"}


def read_request(body: Json) -> Call:
    """Return the call that a request asks for; whether it wants a stream is left to its `stream`.

    Raises: BadRequestError: it is no request for a message; the message names the place.
    """
    model, turns = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        raise BadRequestError(f"model must be a str, not {kind_of(model)}")
    if not isinstance(turns, list) or not turns:
        raise BadRequestError("messages must be a list of at least one message")
    messages = _system(body.get("system"))
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise BadRequestError(f"messages[{index}] must be an object, not {kind_of(turn)}")
        messages += _turn(turn, f"messages[{index}]")
    return Call(model, messages, _params(body))


def pass_on(body: Json, model: str, headers: Mapping[str, str]) -> Built:
    """Return a request as Anthropic itself is to get it: untouched but for the model's name.

    Raises: BadRequestError: it has no messages.
    """
    turns = body.get("messages")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise BadRequestError("messages must be a list of at least one message")
    passed = {name: value for name, value in body.items() if name != "stream"} | {"model": model}
    return Built(PATH, passed, {**VERSION, **headers})


def _system(system: Any) -> list[Json]:
    if not system:
        return []
    if not isinstance(system, str | list):
        raise BadRequestError(f"system must be a str or a list of blocks, not {kind_of(system)}")
    return [{"role": "system", "content": system}]


def _turn(turn: Json, place: str) -> list[Json]:
    """Return a turn as messages: the results of tools each as one of its own."""
    role, content = turn.get("role"), turn.get("content")
    if role not in ("user", "assistant", "system"):
        raise BadRequestError(f"{place}.role must be user, assistant or system, not {role!r}")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise BadRequestError(f"{place}.content must be a str or a list of blocks")
    if role == "assistant":
        try:
            return [_assistant(content)]
        except APIResponseError:
            raise BadRequestError(f"{place}.content holds a block that lacks what its type needs") from None
    messages: list[Json] = []
    parts: list[Json] = []
    for block in content:
        if block.get("type") != "tool_result":
            parts.append(_part(block))
            continue
        if parts:
            messages.append({"role": role, "content": parts})
            parts = []
        messages.append(_result(block, place))
    if parts or not messages:
        messages.append({"role": role, "content": parts})
    return messages


def _assistant(content: list[Json]) -> Json:
    message = message_of(content)
    for call in message.get("tool_calls", ()):
        given = next(block["input"] for block in content if block.get("id") == call["id"])
        if isinstance(given, dict) and given.keys() == {BROKEN} and isinstance(given[BROKEN], str):
            call["function"]["arguments"] = given[BROKEN]
    return message


def _result(block: Json, place: str) -> Json:
    call_id, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(call_id, str):
        raise BadRequestError(f"{place}: a tool_result must have a tool_use_id")
    message: Json = {"role": "tool", "tool_call_id": call_id, "content": "" if content is None else content}
    if isinstance(content, list):
        message["content"] = [_part(part) if isinstance(part, dict) else part for part in content]
    for name in ("is_error", "cache_control"):
        if block.get(name) is not None:
            message[name] = block[name]
    return message


def _part(block: Json) -> Json:
    """Return a block as a part of OpenAI's, or as it is where there is none."""
    kind, source = block.get("type"), block.get("source")
    if kind not in ("image", "document") or not isinstance(source, dict):
        return block
    beside = {name: value for name, value in block.items() if name not in {"type", "source", "title"}}
    title = {"filename": block["title"]} if isinstance(block.get("title"), str) else {}
    match kind, source.get("type"):
        case "image", "base64":
            return {"type": "image_url", "image_url": {"url": _data_url(source)}, **beside}
        case "image", "url":
            return {"type": "image_url", "image_url": {"url": source.get("url")}, **beside}
        case "document", "base64":
            return {"type": "file", "file": {"file_data": _data_url(source), **title}, **beside}
        case "document", "text":
            data = base64.b64encode(str(source.get("data")).encode()).decode()
            return {"type": "file", "file": {"file_data": f"data:text/plain;base64,{data}", **title}, **beside}
        case "document", "file":
            return {"type": "file", "file": {"file_id": source.get("file_id"), **title}, **beside}
    return block


def _data_url(source: Json) -> str:
    return f"data:{source.get('media_type')};base64,{source.get('data')}"


def _params(body: Json) -> Json:
    params = {name: value for name, value in body.items() if name not in _APART and value is not None}
    if "stop_sequences" in params:
        params["stop"] = params.pop("stop_sequences")
    if isinstance(tools := params.get("tools"), list):
        params["tools"] = [_tool(tool) for tool in tools]
    _read_choice(params)
    _read_output(params)
    metadata = params.get("metadata")
    if isinstance(metadata, dict) and metadata.keys() == {"user_id"}:
        del params["metadata"]
        if metadata["user_id"] is not None:
            params["user"] = metadata["user_id"]
    tier = params.get("service_tier")
    if isinstance(tier, str):
        params["service_tier"] = _TIERS.get(tier, tier)
    return params


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type", "custom") != "custom" or "input_schema" not in tool:
        return tool
    function = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    function["parameters"] = tool["input_schema"]
    rest = {name: value for name, value in tool.items() if name not in {*function, "input_schema", "type"}}
    return {"type": "function", "function": function, **rest}


def _read_choice(params: Json) -> None:
    choice = params.get("tool_choice")
    if not isinstance(choice, dict):
        return
    if choice.get("disable_parallel_tool_use"):
        params["parallel_tool_calls"] = False
    kind = choice.get("type")
    if isinstance(kind, str) and kind in _CHOICES:
        params["tool_choice"] = _CHOICES[kind]
    elif kind == "tool" and isinstance(choice.get("name"), str):
        params["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}


def _read_output(params: Json) -> None:
    """Read a schema as `response_format`, and an effort with adaptive thinking as `reasoning_effort`."""
    config = params.get("output_config")
    if not isinstance(config, dict):
        return
    rest = dict(config)
    wanted = rest.get("format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema" and isinstance(wanted.get("schema"), dict):
        schema = {"name": "answer", "schema": wanted["schema"], "strict": True}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
        del rest["format"]
    if isinstance(rest.get("effort"), str) and params.get("thinking") == {"type": "adaptive"}:
        params["reasoning_effort"] = rest.pop("effort")
        del params["thinking"]
    if rest:
        params["output_config"] = rest
    else:
        del params["output_config"]
