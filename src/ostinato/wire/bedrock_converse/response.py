"""From Converse's answer to a Completion, usage in one meaning, and whether the answer may be kept.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (read 2026-11-22), the
service model of botocore 1.44, and the recorded traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.records import Completion, Usage
from ostinato.wire.bedrock_converse.arguments import is_whole, text_of
from ostinato.wire.bedrock_converse.failure import event_error
from ostinato.wire.contract import Json
from ostinato.wire.openai_chat.failure import rejection
from ostinato.wire.tokens import Tokens

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
}
"""OpenAI's word for each of Converse's stop reasons. Converse's own stays beside it, as `native_finish_reason`."""

BLOCKS = "converse_content"
"""The member of a message's `provider_specific_fields` that holds the content as Converse sent it. It is there
where a text, a list of tool calls and `thinking_blocks` do not say everything: more than one text, another order,
citations, images, tools that the vendor ran."""

_set_raw = Usage.__dict__["_raw"].__set__

_TOOL = frozenset({"toolUseId", "name", "input"})


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return an answer of Converse as a record; see `Wire.parse`."""
    try:
        choice: Json = {"index": 0, "message": read_message(body["output"]["message"])}
    except (TypeError, KeyError, AttributeError) as exc:
        lacking = "the answer is not Converse's: it has no output with a message"
        raise rejection(body, headers, event_error, lacking) from exc
    stop = body.get("stopReason")
    choice["finish_reason"] = finish_of(stop)
    if stop is not None:
        choice["native_finish_reason"] = stop
    completion = Completion({"object": "chat.completion", "choices": [choice]})
    place_rest(completion, body)
    if len(body["output"]) > 1:
        completion["output"] = {name: value for name, value in body["output"].items() if name != "message"}
    return completion


def finish_of(stop: Any) -> str | None:
    """Return OpenAI's finish reason for one of Converse's, "stop" for one that is new."""
    return None if stop is None else FINISH.get(stop, "stop") if isinstance(stop, str) else "stop"


def place_rest(record: Json, body: Json) -> None:
    """Put into `record` what an answer or a last event says beside the message, under the vendor's own names."""
    for name, value in body.items():
        if name == "usage":
            if isinstance(value, dict):
                record["usage"] = usage_record(value)
        elif name not in {"output", "stopReason"}:
            record[name] = value
            if name == "serviceTier" and isinstance(value, dict) and isinstance(value.get("type"), str):
                record["service_tier"] = value["type"]
            elif name == "trace" and isinstance(value, dict):
                router = value.get("promptRouter")
                if isinstance(router, dict) and isinstance(router.get("invokedModelId"), str):
                    record["model"] = router["invokedModelId"]


def read_message(message: Json) -> Json:
    """Return a message of Converse's in OpenAI's shape, without loss. Raises: TypeError, KeyError, AttributeError."""
    read = read_content(message["content"])
    read["role"] = message.get("role", "assistant")
    if len(message) > 2:
        read |= {name: value for name, value in message.items() if name not in {"role", "content"}}
    return read


def read_content(blocks: list[Json]) -> Json:
    """Return content blocks as the members of an assistant's message, without the role."""
    if len(blocks) == 1 and type(blocks[0].get("text")) is str and len(blocks[0]) == 1 and blocks[0]["text"]:
        return {"role": "assistant", "content": blocks[0]["text"]}
    reading = _Reading()
    for block in blocks:
        reading.block(block)
    message = reading.message()
    if not reading.plain:
        message["provider_specific_fields"] = {BLOCKS: blocks}
    return message


class _Reading:
    """What the blocks of one message say, and whether OpenAI's members say all of it."""

    __slots__ = ("_stage", "calls", "citations", "plain", "texts", "thoughts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls: list[Json] = []
        self.thoughts: list[Json] = []
        self.citations: list[Any] = []
        self.plain = True
        self._stage = 0

    def block(self, block: Json) -> None:
        """Take the next block. What it holds beside what it says, `BLOCKS` alone can keep."""
        if len(block) > 1:
            self.plain = False
        text = block.get("text")
        if type(text) is str:
            self.text(text)
        elif block.get("toolUse") is not None:
            self.tool_use(block["toolUse"])
        elif block.get("reasoningContent") is not None:
            self.reasoning(block["reasoningContent"])
        else:
            self.other(block)

    def message(self) -> Json:
        """Return the message that the blocks make."""
        message: Json = {"role": "assistant", "content": "".join(self.texts) if self.texts else None}
        if self.thoughts:
            message["thinking_blocks"] = self.thoughts
            thought = [block["thinking"] for block in self.thoughts if "thinking" in block]
            if thought:
                message["reasoning_content"] = "".join(thought)
        if self.calls:
            message["tool_calls"] = self.calls
        if self.citations:
            message["citations"] = self.citations
        return message

    def text(self, text: str) -> None:
        if self.texts or not text or self._stage > 1:
            self.plain = False
        self._stage = 1
        self.texts.append(text)

    def tool_use(self, use: Json) -> None:
        self._stage = 2
        if is_server_tool(use):
            self.plain = False
            return
        if not use.keys() >= _TOOL:
            self.plain = False
        arguments = text_of(use["input"]) if "input" in use else "{}"
        call: Json = {
            "id": use.get("toolUseId"),
            "type": "function",
            "function": {"name": use.get("name"), "arguments": arguments},
        }
        if len(use) > 3:
            call["provider_specific_fields"] = {name: value for name, value in use.items() if name not in _TOOL}
        self.calls.append(call)

    def reasoning(self, reasoning: Json) -> None:
        thought, whole = read_thought(reasoning)
        if self._stage or not whole:
            self.plain = False
        if thought is not None:
            self.thoughts.append(thought)

    def other(self, block: Json) -> None:
        self.plain = False
        cited = block.get("citationsContent")
        if isinstance(cited, dict):
            self._stage = 1
            self.texts += [
                part["text"] for part in cited.get("content") or () if isinstance(part, dict) and "text" in part
            ]
            self.citations += cited.get("citations") or ()


def read_thought(reasoning: Json) -> tuple[Json | None, bool]:
    """Return reasoning as one of LiteLLM's `thinking_blocks`, where it is one, and whether that says all of it."""
    inner = reasoning.get("reasoningText")
    if isinstance(inner, dict) and isinstance(inner.get("text"), str):
        thought = {"type": "thinking", "thinking": inner["text"]}
        if "signature" in inner:
            thought["signature"] = inner["signature"]
        return thought, len(reasoning) == 1 and len(inner) == len(thought) - 1
    if isinstance(reasoning.get("redactedContent"), str):
        return {"type": "redacted_thinking", "data": reasoning["redactedContent"]}, len(reasoning) == 1
    return None, False


def is_server_tool(use: Json) -> bool:
    """Say whether the vendor runs this tool itself. Bedrock also writes an undocumented `tool_use` for the others."""
    return bool(use.get("type", "tool_use") != "tool_use")


def usage_record(raw: Json) -> Usage:
    """Return Converse's usage in the one meaning of `Usage`. `raw` is kept as `.raw` and not changed."""
    # The same sums as `usage_of` makes of `tokens`, at a quarter of the time.
    read, written = _cached(raw)
    prompt = _count(raw.get("inputTokens")) + read + written
    output = _count(raw.get("outputTokens"))
    usage = Usage(raw)
    _set_raw(usage, raw)
    usage["prompt_tokens"] = prompt
    usage["completion_tokens"] = output
    usage["total_tokens"] = prompt + output
    usage["prompt_tokens_details"] = {"cached_tokens": read, "cache_creation_tokens": written}
    usage["completion_tokens_details"] = {"reasoning_tokens": 0}
    usage["cache_read_input_tokens"] = read
    usage["cache_creation_input_tokens"] = written
    return usage


def _cached(raw: Json) -> tuple[int, int]:
    """Return what was read from and written to the prompt cache; some answers say each twice."""
    return (
        _count(raw.get("cacheReadInputTokens") or raw.get("cacheReadInputTokenCount")),
        _count(raw.get("cacheWriteInputTokens") or raw.get("cacheWriteInputTokenCount")),
    )


def tokens(body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
    """Return what the call used; see `Wire.tokens`."""
    raw = body.get("usage")
    return [_run(raw, body)] if isinstance(raw, dict) and raw else None


def _run(raw: Json, body: Json) -> Tokens:
    """Return the counters. `inputTokens` is what was neither read from nor written to the prompt cache."""
    read, written = _cached(raw)
    return Tokens(
        uncached=_count(raw.get("inputTokens")),
        read=read,
        written=_by_ttl(written, raw.get("cacheDetails")) if written else {},
        output=_count(raw.get("outputTokens")),
        service_tier=_tier(body),
    )


def _by_ttl(written: int, details: Any) -> dict[str, int]:
    """Return what was written by how long it is kept. The flat count is what is billed; the split says where."""
    named = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    hour = min(written, sum(_count(detail.get("inputTokens")) for detail in named if detail.get("ttl") == "1h"))
    rest = {"5m" if named else "": written - hour} if written > hour else {}
    return {**rest, "1h": hour} if hour else rest


def _tier(body: Json) -> str | None:
    """Return the tier that is billed at a price of its own, or None for the standard one."""
    tier, performance = body.get("serviceTier"), body.get("performanceConfig")
    named = tier.get("type") if isinstance(tier, dict) else None
    if isinstance(named, str) and named != "default":
        return named
    return "optimized" if isinstance(performance, dict) and performance.get("latency") == "optimized" else None


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


_REFUSED = {
    "guardrail_intervened": "a guardrail stopped or changed it",
    "content_filtered": "a content filter refused it",
    "malformed_model_output": "the model's output was malformed",
    "malformed_tool_use": "the model's tool call was malformed",
}


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    stop = body.get("stopReason")
    if not isinstance(stop, str):
        return "it has no stop reason"
    if stop in _REFUSED:
        return _REFUSED[stop]
    usage = body.get("usage")
    if isinstance(usage, dict) and usage.get("outputTokens") == 0 and not usage.get("totalTokens"):
        return "its usage is all zeros"
    try:
        blocks = body["output"]["message"]["content"]
        # A budget spent on reasoning alone leaves no text, and is as final as any other cut by length.
        if FINISH.get(stop) != "length" and not any(map(_says, blocks)):
            return "it is empty"
        uses = [block["toolUse"] for block in blocks if "toolUse" in block]
        whole = all(is_whole(use.get("input")) for use in uses)
    except (TypeError, KeyError, AttributeError):
        return "it has no message"
    return None if whole else "the arguments of a tool call are no JSON"


def _says(block: Json) -> bool:
    text = block.get("text")
    return bool(text.strip() if isinstance(text, str) else "reasoningContent" not in block)
