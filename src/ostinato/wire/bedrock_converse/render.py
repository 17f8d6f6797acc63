"""The other way round: a Completion, chunks and errors in Converse's words."""

from __future__ import annotations

from typing import Any

from ostinato.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConflictError,
    NotFoundError,
    OstinatoError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.records import Chunk, Completion, Usage
from ostinato.wire.bedrock_converse.arguments import value_of
from ostinato.wire.bedrock_converse.response import BLOCKS, FINISH
from ostinato.wire.contract import Event, Json

_STOPS = {"stop": "end_turn", "tool_calls": "tool_use", "function_call": "tool_use", "length": "max_tokens",
          "content_filter": "content_filtered"}  # fmt: skip

_REST = ("metrics", "trace", "performanceConfig", "serviceTier", "additionalModelResponseFields")

_ERRORS: tuple[tuple[type[OstinatoError], str], ...] = (
    (RateLimitError, "ThrottlingException"),
    (ServiceUnavailableError, "ServiceUnavailableException"),
    (AuthenticationError, "UnrecognizedClientException"),
    (PermissionDeniedError, "AccessDeniedException"),
    (BudgetExceededError, "ServiceQuotaExceededException"),
    (NotFoundError, "ResourceNotFoundException"),
    (ConflictError, "ConflictException"),
    (Timeout, "ModelTimeoutException"),
    (BadRequestError, "ValidationException"),
)


def render(completion: Completion) -> Json:
    """Return the body that Converse would have answered."""
    choice = completion["choices"][0]
    body: Json = {"output": {"message": _message(choice["message"])}, "stopReason": _stop(choice)}
    body["output"] |= completion.get("output") or {}
    if completion.usage is not None:
        body["usage"] = _usage(completion.usage)
    body["metrics"] = completion.get("metrics", {"latencyMs": 0})
    return body | {name: dict.__getitem__(completion, name) for name in _REST if name in completion}


_SAID = frozenset(
    """
    role content tool_calls thinking_blocks reasoning_content citations provider_specific_fields refusal annotations
    audio function_call
    """.split()  # noqa: SIM905 - 11 quoted words are harder to read
)


def _message(message: Json) -> Json:
    fields = message.get("provider_specific_fields") or {}
    own = fields.get(BLOCKS)
    rest = {name: value for name, value in message.items() if name not in _SAID}
    return {"role": message.get("role") or "assistant", "content": own or _blocks(message), **rest}


def _blocks(message: Json) -> list[Json]:
    blocks = [_thought(thought) for thought in message.get("thinking_blocks") or ()]
    if not blocks and message.get("reasoning_content"):
        blocks.append({"reasoningContent": {"reasoningText": {"text": message["reasoning_content"]}}})
    text = message.get("content") or message.get("refusal")
    if text:
        blocks.append({"text": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = value_of(function.get("arguments") or "")
        use = {"toolUseId": call.get("id"), "name": function.get("name"), "input": arguments}
        blocks.append({"toolUse": use | (call.get("provider_specific_fields") or {})})
    return blocks


def _thought(thought: Json) -> Json:
    if thought.get("type") == "redacted_thinking":
        return {"reasoningContent": {"redactedContent": thought.get("data")}}
    inner = {"text": thought.get("thinking") or ""}
    if thought.get("signature") is not None:
        inner["signature"] = thought["signature"]
    return {"reasoningContent": {"reasoningText": inner}}


def _stop(choice: Json) -> str:
    native = choice.get("native_finish_reason")
    if native in FINISH:
        return str(native)
    return _STOPS.get(choice.get("finish_reason") or "stop", "end_turn")


def _usage(usage: Usage) -> Json:
    """Return usage in Converse's terms, where the prompt's count leaves out what the prompt cache read and wrote."""
    raw = usage.raw
    if "inputTokens" in raw:
        return dict(raw)
    prompt, output = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {
        "inputTokens": usage.uncached_tokens,
        "outputTokens": output,
        "totalTokens": prompt + output,
        "cacheReadInputTokens": usage.cache_read_input_tokens or 0,
        "cacheWriteInputTokens": usage.cache_creation_input_tokens or 0,
    }


def error_type(error: OstinatoError) -> str:
    """Return AWS's name for an error, for the header `x-amzn-errortype` or a frame."""
    return next((name for kind, name in _ERRORS if isinstance(error, kind)), "InternalServerException")


def render_error(error: OstinatoError) -> Json:
    """Return the body of an error answer. It says no more: the error's name goes into a header, see `error_type`."""
    return {"message": error.message}


class Renderer:
    """Turns the chunks of one stream into the events of ConverseStream."""

    __slots__ = ("_call", "_end", "_index", "_open", "_role", "_stopped", "_thought")

    def __init__(self) -> None:
        self._role: str | None = None
        self._index = -1
        self._open = ""
        self._call: Any = None
        self._thought = False
        self._stopped = False
        self._end: Json = {}

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that this chunk makes."""
        events: list[Event] = []
        for choice in dict.get(chunk, "choices") or ():
            self._take(choice.get("delta") or {}, events)
            if choice.get("finish_reason") and not self._stopped:
                self._close(events)
                self._stopped = True
                events.append({"messageStop": {"stopReason": _stop(choice)}})
        if chunk.usage is not None:
            self._end["usage"] = _usage(chunk.usage)
        self._end |= {name: dict.__getitem__(chunk, name) for name in _REST if name in chunk}
        return events

    def end(self) -> list[Event]:
        """Return the last event: what the stream used, where it said so."""
        if not self._end:
            return []
        return [{"metadata": {"metrics": {"latencyMs": 0}, **self._end}}]

    def _take(self, delta: Json, events: list[Event]) -> None:
        if self._role is None:
            self._role = delta.get("role") or "assistant"
            events.append({"messageStart": {"role": self._role}})
        if delta.get("reasoning_content"):
            self._begin("reasoning", events)
            self._thought = True
            events.append(self._delta({"reasoningContent": {"text": delta["reasoning_content"]}}))
        for thought in delta.get("thinking_blocks") or ():
            self._think(thought, events)
        text = dict.get(delta, "content") or delta.get("refusal")
        if text:
            self._begin("text", events)
            events.append(self._delta({"text": text}))
        for call in delta.get("tool_calls") or ():
            self._use(call, events)

    def _think(self, thought: Json, events: list[Event]) -> None:
        """Pass on what a whole block of reasoning says beyond the text that came before it."""
        if thought.get("type") == "redacted_thinking":
            self._close(events)
            self._begin("reasoning", events)
            events.append(self._delta({"reasoningContent": {"redactedContent": thought.get("data")}}))
        else:
            if self._open != "reasoning":
                self._begin("reasoning", events)
                self._thought = False
            if not self._thought and (thought.get("thinking") or thought.get("signature") is None):
                events.append(self._delta({"reasoningContent": {"text": thought.get("thinking") or ""}}))
            if thought.get("signature") is not None:
                events.append(self._delta({"reasoningContent": {"signature": thought["signature"]}}))
        self._close(events)

    def _use(self, call: Json, events: list[Event]) -> None:
        function = call.get("function") or {}
        number = call.get("index")
        if self._open != "tool" or number != self._call or (call.get("id") and function.get("name")):
            self._close(events)
            self._begin("tool", events)
            self._call = number
            use = {"toolUseId": call.get("id"), "name": function.get("name")}
            start = {"toolUse": use | (call.get("provider_specific_fields") or {})}
            events.append({"contentBlockStart": {"contentBlockIndex": self._index, "start": start}})
        if function.get("arguments"):
            events.append(self._delta({"toolUse": {"input": function["arguments"]}}))

    def _begin(self, kind: str, events: list[Event]) -> None:
        if self._open != kind:
            self._close(events)
            self._open = kind
            self._index += 1

    def _close(self, events: list[Event]) -> None:
        if self._open:
            events.append({"contentBlockStop": {"contentBlockIndex": self._index}})
        self._open = ""
        self._thought = False

    def _delta(self, delta: Json) -> Event:
        return {"contentBlockDelta": {"contentBlockIndex": self._index, "delta": delta}}
