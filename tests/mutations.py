"""Valid requests of every dialect, and what becomes of them when any node is replaced by another JSON type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

IMAGE = "data:image/png;base64,iVBORw0KGgo="
_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^a+$", "minLength": 1},
        "b": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1, "maximum": 9}]},
        "c": {"type": "array", "items": {"$ref": "#/$defs/d"}, "maxItems": 2},
    },
    "required": ["a"],
    "$defs": {"d": {"enum": [1, 2]}},
}
_MARK = {"type": "ephemeral", "ttl": "1h"}
_SAID: list[Json] = [
    {"role": "system", "content": [{"type": "text", "text": "brief", "cache_control": _MARK}]},
    {"role": "user", "name": "bob", "content": [
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
    ]},
    {"role": "assistant", "content": None, "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
     "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "a"}'}, "cache_control": _MARK},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
    ]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
    {"role": "tool", "tool_call_id": "c2", "content": "r"},
    {"role": "assistant", "content": "x", "content_blocks": [{"type": "text", "text": "x"}],
     "output_items": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}],
     "reasoning_items": [{"type": "reasoning", "summary": []}], "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": "x"},
    {"role": "developer", "content": "late"},
    {"role": "user", "content": "bye"},
]  # fmt: skip
_TOOLS: list[Json] = [
    {"type": "function", "function": {"name": "f", "description": "d", "parameters": _SCHEMA, "strict": True}},
    {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
]
_CHAT: Json = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
CHATS: list[Json] = [
    _CHAT | {"messages": _SAID, "tools": _TOOLS, "prompt_caching": "auto"},
    *({**_CHAT, **more} for more in (
        {"messages": _SAID, "cache_control_injection_points": [{"location": "message", "role": "system", "index": 0}]},
        {"messages": _SAID[:4], "tools": _TOOLS[:1], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": _TOOLS[:1], "tool_choice": "required", "parallel_tool_calls": False},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA}}},
        {"stop": ["a"], "logit_bias": {"1": 1}, "metadata": {"a": "b"}, "service_tier": "auto", "user": "u"},
        {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 3, "temperature": 0.5, "n": 1},
        {"reasoning_effort": "low", "max_completion_tokens": 9}, {"thinking": {"type": "enabled", "budget_tokens": 9}},
        {"web_search_options": {"search_context_size": "low"}}, {"extra_body": {"top_k": 3}, "betas": ["x"]},
        {"functions": [{"name": "f", "parameters": _SCHEMA}], "function_call": "auto"},
        {"cache_control": _MARK, "search_parameters": {"mode": "on"}, "plugins": [{"id": "web"}]},
    )),
]  # fmt: skip
_MESSAGE: Json = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
MESSAGES: list[Json] = [
    _MESSAGE | {
        "system": [{"type": "text", "text": "s", "cache_control": _MARK}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "hi"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "a", "citations": [{"url": "u", "title": "t"}]},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "x"}]},
            ]},
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": _SCHEMA, "cache_control": _MARK}],
    },
    *({**_MESSAGE, **more} for more in (
        {"tools": [{"name": "f", "input_schema": _SCHEMA}], "tool_choice": {"type": "tool", "name": "f"}},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}], "mcp_servers": [{"type": "url"}]},
        {"stop_sequences": ["a"], "metadata": {"user_id": "x"}, "service_tier": "auto", "stream": True},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}, "container": {"id": "x"}},
        {"cache_control": _MARK, "temperature": 1, "top_p": 0.5, "top_k": 3},
    )),
]  # fmt: skip
_RESPONSE: Json = {"model": "responses", "input": "hi"}
RESPONSES: list[Json] = [
    _RESPONSE | {"input": [
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": IMAGE, "detail": "low"},
            {"type": "input_file", "filename": "a", "file_data": "data:application/pdf;base64,AAAA"},
        ]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "x"}], "encrypted_content": "x"},
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "x"},
    ]},
    *({**_RESPONSE, **more} for more in (
        {"tools": [{"type": "function", "name": "f", "parameters": _SCHEMA}, {"type": "custom", "name": "g"}]},
        {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}], "tool_choice": {"type": "web_search"}},
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}, "verbosity": "low"}},
        {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["message.output_text.logprobs"]},
        {"instructions": "x", "stream": True, "stream_options": {"include_obfuscation": False}},
        {"conversation": {"id": "x"}, "prompt": {"id": "x", "variables": {"a": "b"}}, "max_output_tokens": 9},
    )),
]  # fmt: skip
COMPLETIONS: list[Json] = [
    {"model": "gpt", "prompt": ["x"], "stop": ["a"], "best_of": 1, "stream": True, "stream_options": {}},
]
EMBEDDINGS: list[Json] = [
    {"model": "embed", "input": ["a", "b"], "dimensions": 4, "encoding_format": "float", "user": "u"},
    {"model": "embed", "input": [[1, 2], [3]]},
]
CONVERSE: list[Json] = [
    {
        "messages": [
            {"role": "user", "content": [
                {"text": "hi"}, {"cachePoint": {"type": "default"}},
                {"document": {"format": "pdf", "name": "x", "source": {"bytes": "AAAA"}}},
            ]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "x"}]}}]},
        ],
        "system": [{"text": "s"}],
        "inferenceConfig": {"maxTokens": 3, "temperature": 0.1, "stopSequences": ["a"]},
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": _SCHEMA}}}],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "additionalModelRequestFields": {"top_k": 2},
    },
]  # fmt: skip
BY_DIALECT = {"openai_chat": CHATS, "anthropic": MESSAGES, "openai_responses": RESPONSES, "completions": COMPLETIONS}

OTHERS: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "auto", [], [1], ["x"], [None], [[]], [{}], {}, {"a": 1}, {"type": {}},
    {"type": []}, {"type": "text"}, {"role": []}, {"url": 1}, [{"type": {}}], {"function": []},
    {"function": {"name": 1}},
    "text", "function", "custom", "tool", "image", "image_url", "tool_use", "tool_result", "thinking", "assistant",
    "system", "message", "reasoning", "json_schema", "base64", "document", "any", "enabled",
]  # fmt: skip
"""What a node may become: every JSON type, and words that send a request another way."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        yield (*path, name)
        yield from _places(item, (*path, name))


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


@st.composite
def mutated(draw: st.DrawFn, samples: Sequence[Json], others: Sequence[Any] = OTHERS) -> Json:
    """Draw a request in which one to three nodes are something else."""
    body: Json = _copied(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(body))
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder: Any = body
        for step in way:
            holder = holder[step]
        holder[last] = _copied(draw(st.sampled_from(others)))
    return body
