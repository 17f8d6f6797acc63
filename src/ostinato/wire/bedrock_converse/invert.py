"""The other way round: a request in Converse's words as a Call.

`read_request(build(call).body)` is the call again, up to what Converse has one form for: system messages in front
become one; `max_completion_tokens` reads `max_tokens`, a single `stop` a list, `user` a member of `metadata`; the
mark of a message stands on its last part.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato.errors import BadRequestError
from ostinato.wire.bedrock_converse.content import DOCUMENTS, IMAGES
from ostinato.wire.bedrock_converse.marks import POINT
from ostinato.wire.bedrock_converse.response import read_content
from ostinato.wire.contract import Call, Json

_MEDIA = {form: kind for kind, form in reversed(DOCUMENTS.items())}
_PICTURES = {form: kind for kind, form in reversed(IMAGES.items())}

_INFERENCE = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}


def read_request(body: Json, model: str = "") -> Call:
    """Return the call that a request of Converse's asks for. `model` is the one in its path, decoded.

    Raises: BadRequestError: the request is none of Converse's.
    """
    try:
        messages = _system(body.get("system") or [])
        for turn in body["messages"]:
            if turn["role"] == "assistant":
                messages.append(_assistant(turn["content"]))
            else:
                messages += _user(turn["content"])
        return Call(model, messages, _params(body))
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise BadRequestError(f"the request is none of Converse's: {exc!r}") from exc


def _system(blocks: list[Json]) -> list[Json]:
    parts = _parts(blocks)
    return [{"role": "system", "content": _plain(parts)}] if parts else []


def _plain(parts: list[Json]) -> Any:
    """Return parts as the text they are, where they are one text without a mark."""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _parts(blocks: list[Json]) -> list[Json]:
    """Return blocks as parts, each mark on the part in front of it."""
    parts: list[Json] = []
    for block in blocks:
        if POINT in block:
            if parts:
                parts[-1] = {**parts[-1], "cache_control": _control(block)}
        else:
            parts.append(_part(block))
    return parts


def _control(block: Json) -> Json:
    ttl = block[POINT].get("ttl")
    return {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}


def _part(block: Json) -> Json:
    """Return a block as OpenAI's part, or as it is where OpenAI has none."""
    ((name, value),) = block.items()
    if name == "text":
        return {"type": "text", "text": value}
    source = value.get("source")
    data = source.get("bytes") if isinstance(source, dict) else None
    if name == "image" and data is not None and value["format"] in _PICTURES:
        return {"type": "image_url", "image_url": {"url": f"data:{_PICTURES[value['format']]};base64,{data}"}}
    if name == "audio" and data is not None:
        return {"type": "input_audio", "input_audio": {"data": data, "format": value["format"]}}
    if name == "document" and data is not None and value.keys() == {"name", "format", "source"}:
        url = f"data:{_MEDIA[value['format']]};base64,{data}"
        return {"type": "file", "file": {"file_data": url, "filename": f"{value['name']}.{value['format']}"}}
    return block


def _user(blocks: list[Json]) -> list[Json]:
    """Return the messages that a turn of the user's is: each tool's result is one."""
    messages: list[Json] = []
    said: list[Json] = []
    for block in blocks:
        result = block.get("toolResult")
        if result is None:
            if POINT in block and not said and messages:
                messages[-1]["cache_control"] = _control(block)
            else:
                said.append(block)
            continue
        if said:
            messages.append({"role": "user", "content": _plain(_parts(said))})
            said = []
        parts = _parts(result["content"])
        message = {"role": "tool", "tool_call_id": result["toolUseId"], "content": _plain(parts) if parts else ""}
        if result.get("status") == "error":
            message["is_error"] = True
        messages.append(message)
    if said:
        messages.append({"role": "user", "content": _plain(_parts(said))})
    return messages


def _assistant(blocks: list[Json]) -> Json:
    message = read_content([block for block in blocks if POINT not in block])
    marks = [block for block in blocks if POINT in block]
    if marks:
        message["cache_control"] = _control(marks[-1])
    return message


def _params(body: Json) -> Json:
    params: Json = {}
    for name, value in body.items():
        if name == "inferenceConfig":
            params |= {_INFERENCE[member]: setting for member, setting in value.items() if member in _INFERENCE}
            rest = {member: setting for member, setting in value.items() if member not in _INFERENCE}
            if rest:
                params[name] = rest
        elif name == "toolConfig":
            params |= _tool_params(value)
        elif name == "outputConfig":
            params |= _output_params(value)
        elif name == "requestMetadata":
            params["metadata"] = value
        elif name == "serviceTier":
            params["service_tier"] = value["type"]
        elif name not in {"messages", "system"}:
            params[name] = value
    return params


def _tool_params(config: Json) -> Json:
    tools: list[Json] = []
    for tool in config["tools"]:
        if POINT in tool:
            if tools:
                tools[-1]["cache_control"] = _control(tool)
        elif "toolSpec" in tool:
            spec = tool["toolSpec"]
            function = {name: spec[name] for name in ("name", "description") if name in spec}
            function["parameters"] = spec["inputSchema"]["json"]
            tools.append({"type": "function", "function": function | {n: spec[n] for n in ("strict",) if n in spec}})
        else:
            tools.append(dict(tool))
    params: Json = {"tools": tools}
    choice = config.get("toolChoice")
    if choice:
        kind, value = next(iter(choice.items()))
        named = {"type": "function", "function": {"name": value.get("name")}}
        params["tool_choice"] = named if kind == "tool" else "required" if kind == "any" else "auto"
    return params


def _output_params(config: Json) -> Json:
    rest = {name: value for name, value in config.items() if name != "textFormat"}
    params: Json = {"outputConfig": rest} if rest else {}
    if "textFormat" in config:
        described = config["textFormat"]["structure"]["jsonSchema"]
        schema = {**described, "schema": msgspec.json.decode(described["schema"])}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
    return params
