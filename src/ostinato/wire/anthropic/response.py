"""From Anthropic's answer to a Completion, its tokens, and whether the answer may be kept.

What OpenAI's shape has no place for keeps the vendor's own name where a reader meets it: on the message
(`thinking_blocks`, `content_blocks`), on the choice (`native_finish_reason`, `stop_sequence`, `stop_details`), or
on the completion (`container`, `context_management`, …).

Source: https://platform.claude.com/docs/en/api/messages and
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.errors import APIResponseError
from ostinato.records import Completion, Usage
from ostinato.wire.anthropic.failure import event_error
from ostinato.wire.anthropic.inputs import arguments_of
from ostinato.wire.contract import Json
from ostinato.wire.openai_chat.failure import rejection
from ostinato.wire.tokens import Tokens
from ostinato.wire.usage import calls_of, usage_of

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""OpenAI's finish reason by Anthropic's stop reason. One that is newer than this table reads as "stop"."""

_set_raw = Usage.__dict__["_raw"].__set__

_CUT = frozenset({"max_tokens", "model_context_window_exceeded"})

_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

_ANYWHERE = frozenset({"global", "not_available"})
"""What `inference_geo` says where no place was asked for."""


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return a message's body as a record; see `Wire.parse`."""
    content: Any = body.get("content") if type(body) is dict else None
    if type(content) is not list or body.get("type") == "error":
        raise rejection(body, headers, event_error, "the answer is no message: it has no list of content blocks")
    completion = Completion(body)
    del completion["content"]
    choice = ending(completion)
    completion.pop("role", None)
    choice["message"] = message_of(content)
    completion["object"] = "chat.completion"
    completion["created"] = 0
    completion["choices"] = [choice]
    usage = usage_record(body)
    if usage is not None:
        completion["usage"] = usage
    return completion


def ending(body: Json) -> Json:
    """Take how an answer ended out of `body`, and return it as the choice that has no message yet."""
    reason = body.pop("stop_reason", None)
    choice = {"index": 0, "finish_reason": None if reason is None else FINISH.get(reason, "stop")}
    choice["native_finish_reason"] = reason
    for name in ("stop_sequence", "stop_details"):
        if name in body:
            choice[name] = body.pop(name)
    return choice


def message_of(content: list[Any]) -> Json:
    """Return content blocks as a message of OpenAI's.

    Where thinking, one text and tool calls, in that order, are all there is, the message says it all. Where not,
    `content_blocks` holds the blocks as they came, and a request that has the message in its history sends those.

    Raises: APIResponseError: a block is none.
    """
    message: Json = {"role": "assistant", "content": None}
    texts: list[str] = []
    plain = True
    for block in content:
        try:
            kind = block["type"]
            if kind == "text":
                plain = plain and not texts and "tool_calls" not in message and len(block) == 2 and block["text"] != ""
                texts.append(_text(block))
            elif kind == "tool_use":
                call, whole = _tool_call(block)
                plain = plain and whole
                message.setdefault("tool_calls", []).append(call)
            elif kind == "thinking" or kind == "redacted_thinking":  # noqa: PLR1714
                plain = plain and not texts and "tool_calls" not in message
                message.setdefault("thinking_blocks", []).append(block)
            else:
                plain = False
        except (KeyError, TypeError) as error:
            raise APIResponseError("the answer is no message: one of its content blocks is none") from error
    if texts:
        message["content"] = texts[0] if len(texts) == 1 else "".join(texts)
    if "thinking_blocks" in message:
        _add_reasoning(message)
    if not plain:
        message["content_blocks"] = content
        if annotations := _annotations(content):
            message["annotations"] = annotations
    return message


def _text(block: Json) -> str:
    text = block["text"]
    if type(text) is not str:
        raise TypeError
    return text


def _tool_call(block: Json) -> tuple[Json, bool]:
    """Return a tool call in OpenAI's shape, and whether that shape holds all of it."""
    given = block["input"]
    arguments = arguments_of(given)
    call = {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}
    if len(block) == 4:
        return call, type(given) is dict
    if "caller" in block:
        call["caller"] = block["caller"]
    return call, type(given) is dict and block.get("caller") is not None and len(block) == 5


def _add_reasoning(message: Json) -> None:
    thoughts = [block.get("thinking") for block in message["thinking_blocks"]]
    text = "".join([thought for thought in thoughts if type(thought) is str])
    if text:
        message["reasoning_content"] = text


def _annotations(content: list[Any]) -> list[Json]:
    """Return the citations of web pages as OpenAI's, each for the whole text that it stands by."""
    found = []
    start = 0
    for block in content:
        if block["type"] != "text":
            continue
        end = start + len(block["text"])
        for citation in block.get("citations") or ():
            if isinstance(citation, dict) and isinstance(citation.get("url"), str):
                place = {"url": citation["url"], "title": citation.get("title"), "start_index": start, "end_index": end}
                found.append({"type": "url_citation", "url_citation": place})
        start = end
    return found


def usage_record(body: Json) -> Usage | None:
    """Return the usage of a body in the one meaning of `Usage`, or None when it does not say."""
    raw = body.get("usage")
    if type(raw) is not dict or raw.get("iterations"):
        runs = tokens(body)
        return None if runs is None else usage_of(raw or {}, runs)
    output = raw.get("output_tokens")
    uncached = raw.get("input_tokens")
    if type(output) is not int or type(uncached) is not int:
        runs = tokens(body)
        return None if runs is None else usage_of(raw, runs)
    # One run is what nearly every answer has: the same sums as `usage_of`, at a quarter of the time.
    read = _count(raw.get("cache_read_input_tokens"))
    written = _count(raw.get("cache_creation_input_tokens"))
    details = raw.get("output_tokens_details")
    thinking = _count(details.get("thinking_tokens")) if type(details) is dict else 0
    prompt = max(0, uncached) + read + written
    usage = Usage(raw)
    _set_raw(usage, raw)
    usage["prompt_tokens"] = prompt
    usage["completion_tokens"] = output = max(0, output)
    usage["total_tokens"] = prompt + output
    usage["prompt_tokens_details"] = {"cached_tokens": read, "cache_creation_tokens": written}
    usage["completion_tokens_details"] = {"reasoning_tokens": min(output, thinking)}
    usage["cache_read_input_tokens"] = read
    usage["cache_creation_input_tokens"] = written
    return usage


def tokens(body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
    """Return what a call used: a run for each iteration where the vendor counts them, one run otherwise.

    The iterations hold what the whole leaves out: a compaction, or an advisor that is another model.
    """
    usage = body.get("usage")
    if type(usage) is not dict or not any(type(usage.get(name)) is int for name in _COUNTS):
        return None
    tier = usage.get("service_tier")
    if tier is None or tier == "standard":
        tier = "fast" if usage.get("speed") == "fast" else None
    geo = usage.get("inference_geo")
    region = geo if isinstance(geo, str) and geo not in _ANYWHERE else None
    details = usage.get("output_tokens_details")
    thinking = _count(details.get("thinking_tokens")) if type(details) is dict else 0
    calls = calls_of(usage)
    iterations = usage.get("iterations")
    if not isinstance(iterations, list) or not iterations:
        return [_run(usage, thinking, tier, region, calls)]
    runs: list[Tokens] = []
    for iteration in iterations:
        if isinstance(iteration, dict):
            own = thinking if iteration.get("type") == "message" else 0
            run = _run(iteration, own, tier, region, {} if runs else calls)
            thinking -= min(own, run.reasoning)
            runs.append(run)
    return runs


def _run(usage: Json, thinking: int, tier: str | None, region: str | None, calls: Mapping[str, int]) -> Tokens:
    """Return one run. Of what was written the flat field is what is billed; the split may not add up to it."""
    written = _count(usage.get("cache_creation_input_tokens"))
    kept: dict[str, int] = {}
    if written:
        split = usage.get("cache_creation")
        hour = min(written, _count(split.get("ephemeral_1h_input_tokens"))) if type(split) is dict else 0
        kept = {name: count for name, count in (("5m", written - hour), ("1h", hour)) if count}
    output = _count(usage.get("output_tokens"))
    model = usage.get("model")
    return Tokens(
        uncached=_count(usage.get("input_tokens")),
        read=_count(usage.get("cache_read_input_tokens")),
        written=kept,
        output=output,
        reasoning=min(output, thinking),
        calls=calls,
        model=model if isinstance(model, str) else None,
        service_tier=tier,
        region=region,
    )


def _count(value: Any) -> int:
    if type(value) is int:
        return max(0, value)
    return max(0, int(value)) if type(value) is float and abs(value) < 1e18 else 0


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    reason = body.get("stop_reason")
    if reason is None:
        return "it has no stop reason"
    if reason == "refusal":
        return "the vendor refused it"
    usage = body.get("usage")
    if type(usage) is dict and 0 in usage.values() and not any(usage.get(name) for name in _COUNTS):
        return "its usage is all zeros"
    content = body.get("content")
    if not content or not any(_says(block) for block in content):
        return "it is empty"
    for block in content:
        kind = str(block.get("type"))
        if kind.endswith("tool_use") and type(block.get("input")) is not dict:
            return "the input of a tool call is no JSON object"
    # Unstreamed, the vendor closes the JSON of a call that the limit cut; nothing shows what is missing.
    if reason in _CUT and str(content[-1].get("type")).endswith("tool_use"):
        return "the limit cut a tool call"
    return None


def _says(block: Any) -> bool:
    return block.get("type") != "text" or bool(block.get("text"))
