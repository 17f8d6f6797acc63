"""A Responses request as the chat request that asks for the same, for the model and the prompt cache behind both."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]

_PARTS = {"input_text": "text", "output_text": "text"}
_SAME = (
    "model", "temperature", "top_p", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "top_logprobs",
)  # fmt: skip


def as_chat(body: Json) -> Json:
    """Return the chat request for a Responses request that has been checked.

    Tools that the vendor runs itself stay in it as they are: they are part of the prompt.
    """
    chat: Json = {name: body[name] for name in _SAME if body.get(name) is not None}
    text = body.get("text") or {}
    wanted = text.get("format")
    if isinstance(wanted, dict):
        schema = {name: value for name, value in wanted.items() if name != "type"}
        chat["response_format"] = {"type": wanted["type"], **({"json_schema": schema} if schema else {})}
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    effort = (body.get("reasoning") or {}).get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in body["tools"]]
    if body.get("tool_choice") is not None:
        chat["tool_choice"] = _choice(body["tool_choice"])
    chat["messages"] = _messages(body)
    return chat


def items_of(body: Json) -> list[Json]:
    """Return the input as a list of items."""
    given = body.get("input")
    return [{"role": "user", "content": given}] if isinstance(given, str) else given or []


def _messages(body: Json) -> list[Json]:
    messages = [_message(item) for item in items_of(body)]
    if body.get("instructions"):
        messages.insert(0, {"role": "system", "content": body["instructions"]})
    return messages


def _message(item: Json) -> Json:
    kind = item.get("type", "message")
    if kind == "message":
        content = item["content"]
        return {
            "role": item["role"],
            "content": content if isinstance(content, str) else [_part(part) for part in content],
        }
    if kind in {"function_call", "custom_tool_call"}:
        call = {"type": "function", "function": {"name": item["name"], "arguments": item.get("arguments", "")}}
        if kind == "custom_tool_call":
            call = {"type": "custom", "custom": {"name": item["name"], "input": item.get("input", "")}}
        return {"role": "assistant", "tool_calls": [{"id": item["call_id"], **call}]}
    if kind in {"function_call_output", "custom_tool_call_output"}:
        output = item["output"]
        said = output if isinstance(output, str) else [_part(part) for part in output]
        return {"role": "tool", "tool_call_id": item["call_id"], "content": said}
    if kind == "reasoning":
        return {"role": "assistant", "content": item.get("encrypted_content") or ""}
    return {"role": "assistant", "content": msgspec.json.encode(item).decode()}


def _part(part: Json) -> Json:
    kind = part["type"]
    beside = {name: part[name] for name in ("prompt_cache_breakpoint",) if name in part}
    if kind in _PARTS:
        return {"type": "text", "text": part["text"], **beside}
    if kind == "refusal":
        return {"type": "refusal", "refusal": part["refusal"]}
    if kind == "input_image":
        image = {"url": part.get("image_url") or part.get("file_id"), "detail": part.get("detail") or "auto"}
        return {"type": "image_url", "image_url": image, **beside}
    file = {name: part[name] for name in ("file_data", "file_id", "file_url", "filename") if name in part}
    return {"type": "file", "file": file, **beside}


def _tool(tool: Json) -> Json:
    kind = tool["type"]
    if kind not in {"function", "custom"}:
        return tool
    return {"type": kind, kind: {name: value for name, value in tool.items() if name != "type"}}


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    kind = choice["type"]
    if kind == "allowed_tools":
        return {"type": kind, kind: {**choice, "tools": [_choice(tool) for tool in choice["tools"]]}}
    return {"type": kind, kind: {"name": choice["name"]}} if kind in {"function", "custom"} else "auto"
