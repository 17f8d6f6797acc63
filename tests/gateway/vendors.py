"""Answers of vendors, as their own bytes: what a test's emulator sends for a body of a wire, whole and streamed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from ostinato.testing.emulator import Reply
from ostinato.wire import find_wire
from ostinato.wire.eventstream import encode_frame

Json = dict[str, Any]
Spoil = Callable[[bytes], bytes]
"""Makes of JSON what no encoder of ours writes."""

WIRE_OF = {
    "gpt": "openai_chat",
    "claude": "anthropic",
    "converse": "bedrock_converse",
    "invoke": "bedrock_invoke",
    "responses": "openai_responses",
}
"""The wire of each model of the tests' gateway."""


def said(model: str, text: str, arguments: Json | None = None, **more: Any) -> Json:
    """Return the body of a model's wire that says a text, and calls a tool where there are arguments."""
    called = arguments is not None
    match WIRE_OF[model]:
        case "openai_chat":
            message: Json = {"role": "assistant", "content": text}
            if called:
                function = {"name": "f", "arguments": json.dumps(arguments)}
                message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if called else "stop"}
            usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
            head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "gpt-4o-2024-08-06"}
            return {**head, "choices": [choice], "usage": usage, **more}
        case "openai_responses":
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            output: list[Json] = [
                {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
            ]
            if called:
                call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "status": "completed"}
                output.append({**call, "name": "f", "arguments": json.dumps(arguments)})
            usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}
            head = {"id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "model": "gpt-4o"}
            shown: Json = {"error": None, "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
            return {**head, **shown, "output": output, "usage": usage, **more}
        case "bedrock_converse":
            content: list[Json] = [{"text": text}]
            if called:
                content.append({"toolUse": {"toolUseId": "call_1", "name": "f", "input": arguments}})
            answer = {"output": {"message": {"role": "assistant", "content": content}}}
            usage = {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14}
            return {**answer, "stopReason": "tool_use" if called else "end_turn", "usage": usage, **more}
    blocks: list[Json] = [{"type": "text", "text": text}]
    if called:
        blocks.append({"type": "tool_use", "id": "call_1", "name": "f", "input": arguments})
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": blocks}
    ended = {"stop_reason": "tool_use" if called else "end_turn", "stop_sequence": None}
    return {**head, **ended, "usage": {"input_tokens": 9, "output_tokens": 5}, **more}


def reply(model: str, body: Json, *, stream: bool, spoil: Spoil = bytes) -> Reply:
    """Return the reply that answers with a body of the model's wire."""
    wire = find_wire(WIRE_OF[model])
    if not stream:
        return Reply(raw_body=spoil(json.dumps(body).encode()), headers={"content-type": "application/json"})
    return Reply(raw_events=tuple(_framed(wire.name, event, spoil) for event in wire.unfold(body, None)))


def _framed(wire: str, event: Json, spoil: Spoil) -> bytes:
    if wire == "bedrock_converse":
        ((kind, payload),) = event.items()
        return encode_frame(kind, spoil(json.dumps(payload).encode()))
    data = spoil(json.dumps(event).encode())
    if wire == "bedrock_invoke":
        return encode_frame("chunk", {"bytes": base64.b64encode(data).decode()})
    name = b"event: %s\n" % event["type"].encode() if "type" in event else b""
    return name + b"data: " + data + b"\n\n"
