"""The wire from the other side: answers, streams and errors as Anthropic's API gives them."""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato.errors import OstinatoError
from ostinato.records import Chunk, Completion, text_of
from ostinato.wire.anthropic.messages import assistant_content
from ostinato.wire.anthropic.response import FINISH
from ostinato.wire.complaints import anthropic_body, beside, message_of
from ostinato.wire.contract import Event, Json
from ostinato.wire.media import Media, media_of, spoken_in
from ostinato.wire.values import Flaw, call_id

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_encode = msgspec.json.Encoder().encode

_ON_THE_COMPLETION = ("container", "context_management", "diagnostics")


def render(completion: Completion) -> Json:
    """Return an answer, whoever gave it, as the body of a message. Of several choices it is the first."""
    choices = dict.get(completion, "choices") or [{}]
    choice = choices[0]
    message: Json = dict.get(choice, "message") or {}
    body: Json = {
        "id": dict.get(completion, "id"),
        "type": "message",
        "role": "assistant",
        "model": dict.get(completion, "model"),
        "content": content_of(message),
        "stop_reason": stop_reason(choice, called=bool(dict.get(message, "tool_calls"))),
        "stop_sequence": dict.get(choice, "stop_sequence"),
    }
    if "stop_details" in choice:
        body["stop_details"] = choice["stop_details"]
    body |= {name: completion[name] for name in _ON_THE_COMPLETION if name in completion}
    body |= media_of(message)
    body["usage"] = usage_of(dict.get(completion, "usage"))
    return body


def content_of(message: Json) -> list[Json]:
    """Return what a message says as content blocks. Reasoning without a signature is thinking without one."""
    if not dict.get(message, "content") and (spoken := spoken_in(message)):
        message = {**message, "content": spoken}
    calls = dict.get(message, "tool_calls")
    if isinstance(calls, list) and calls:
        named = [{**call, "id": call_id(call, place)} for place, call in enumerate(calls) if _is_call(call)]
        message = {**message, "tool_calls": named}
    try:
        said = assistant_content(message)
    except Flaw:
        said = str(text_of(dict.get(message, "content")) or "")
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) else said
    blocks = [_block(block) for block in blocks if block != {"type": "text", "text": ""}]
    reasoning = dict.get(message, "reasoning_content") or dict.get(message, "reasoning")
    if isinstance(reasoning, str) and reasoning and not any(block.get("type") == "thinking" for block in blocks):
        blocks.insert(0, {"type": "thinking", "thinking": reasoning, "signature": ""})
    return blocks


def _is_call(call: Any) -> bool:
    """Say whether Anthropic has a block for a tool call. One of a kind that is newer takes no other with it."""
    return isinstance(call, dict) and any(isinstance(dict.get(call, kind), dict) for kind in ("function", "custom"))


def _block(block: Json) -> Json:
    """Return a block with its thinking as text: Mistral's is a list of parts."""
    if block.get("type") == "thinking" and isinstance(block.get("thinking"), list):
        return {"type": "thinking", "thinking": text_of(block["thinking"]), "signature": ""}
    return block


def stop_reason(choice: Json, *, called: bool) -> str | None:
    """Return why an answer stopped: the vendor's own word where it is one of Anthropic's."""
    native = dict.get(choice, "native_finish_reason")
    if native in FINISH:
        return str(native)
    reason = dict.get(choice, "finish_reason")
    if called and reason == "stop":
        return "tool_use"
    return None if reason is None else _STOP.get(reason, "end_turn")


def usage_of(usage: Any) -> Json:
    """Return usage in Anthropic's exclusive terms; as it came where it came from Anthropic."""
    if not isinstance(usage, dict):
        return {"input_tokens": 0, "output_tokens": 0}
    raw = getattr(usage, "raw", usage)
    if "input_tokens" in raw and not {"prompt_tokens", "total_tokens"} & raw.keys():  # the Responses API totals
        return dict(raw)
    read = dict.get(usage, "cache_read_input_tokens") or 0
    written = dict.get(usage, "cache_creation_input_tokens") or 0
    return {
        "input_tokens": max(0, (dict.get(usage, "prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": dict.get(usage, "completion_tokens") or 0,
    }


def render_error(error: OstinatoError, status: int) -> Json:
    """Return an error as the body of an answer with `status`; also what an `error` event holds."""
    around, members = anthropic_body(error.body)
    kind = members.get("type")
    if not isinstance(kind, str):
        kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    told = {"type": kind, "message": message_of(error, members)}
    body: Json = {"type": "error", "error": told | beside(members, told)}
    if error.request_id is not None:
        body["request_id"] = error.request_id
    return body | beside(around, {"type", "error", "request_id"})


class Renderer:
    """Turns the chunks of one stream, whoever gave it, into the events of a message."""

    __slots__ = ("_blocks", "_called", "_end", "_free", "_last", "_media", "_open", "_tools", "_usage")

    def __init__(self) -> None:
        self._blocks = 0
        self._open: str | None = None
        self._tools: dict[Any, int] = {}
        self._free: set[int] = set()
        """The blocks of tools that are given a text: an object with it stands for that, as in a whole answer."""
        self._last: Any = None
        self._called = False
        self._media = Media()
        self._end: Json | None = None
        self._usage: Any = None

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that a chunk makes."""
        events = self._begin(chunk) if self._usage is None else []
        usage = dict.get(chunk, "usage")
        if usage:
            self._usage = usage
        for choice in dict.get(chunk, "choices") or ():
            if dict.get(choice, "index", 0) != 0:
                continue
            delta = dict.get(choice, "delta") or {}
            events += self._say(delta)
            if dict.get(choice, "finish_reason") is not None:
                self._end = choice
        return events

    def end(self) -> list[Event]:
        """Return the events that end the message; none where the stream had no first chunk."""
        if self._usage is None:
            return []
        choice = self._end or {}
        reason = stop_reason(choice, called=self._called)
        end = {"stop_reason": reason, "stop_sequence": dict.get(choice, "stop_sequence")}
        last = {"type": "message_delta", "delta": end, **self._media.body(), "usage": usage_of(self._usage)}
        return [*self._close(), last, {"type": "message_stop"}]

    def fail(self, error: OstinatoError, status: int) -> list[Event]:
        """Return the event that tells a stream's reader that it broke."""
        return [render_error(error, status)]

    def _begin(self, chunk: Chunk) -> list[Event]:
        self._usage = {}
        message: Json = {
            "id": dict.get(chunk, "id"),
            "type": "message",
            "role": "assistant",
            "model": dict.get(chunk, "model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return [{"type": "message_start", "message": message}]

    def _say(self, delta: Json) -> list[Event]:
        events: list[Event] = []
        reasoning = dict.get(delta, "reasoning_content") or dict.get(delta, "reasoning")
        if isinstance(reasoning, str) and reasoning:
            events += self._add("thinking", {"thinking": "", "signature": ""}, "thinking", reasoning)
        for block in dict.get(delta, "thinking_blocks") or ():
            events += self._sign(block)
        text = self._media.feed(delta, text_of(dict.get(delta, "content")) or dict.get(delta, "refusal"))
        if isinstance(text, str) and text:
            events += self._add("text", {"text": ""}, "text", text)
        for call in dict.get(delta, "tool_calls") or ():
            events += self._call(call)
        return events

    def _add(self, kind: str, empty: Json, member: str, text: str) -> list[Event]:
        events = [] if self._open == kind else [*self._close(), self._start({"type": kind, **empty})]
        self._open = kind
        events.append(self._delta(self._blocks - 1, {"type": f"{kind}_delta", member: text}))
        return events

    def _sign(self, block: Json) -> list[Event]:
        """Return the events for a whole thinking block, whose text may have been on its way before."""
        events: list[Event] = []
        if dict.get(block, "type") == "redacted_thinking":
            events += [*self._close(), self._start({"type": "redacted_thinking", "data": dict.get(block, "data")})]
            self._open = "redacted_thinking"
        else:
            if self._open != "thinking":
                text = dict.get(block, "thinking") or ""
                events += self._add("thinking", {"thinking": "", "signature": ""}, "thinking", text)
            if signature := dict.get(block, "signature"):
                events.append(self._delta(self._blocks - 1, {"type": "signature_delta", "signature": signature}))
        return [*events, *self._close()]

    def _call(self, call: Json) -> list[Event]:
        """Return the events for a piece of a tool call. A call without an index is the one before, or a new one."""
        self._called = True
        function = dict.get(call, "function") or dict.get(call, "custom") or {}
        number = dict.get(call, "index")
        if number is None:
            number = dict.get(call, "id") or self._last
        events: list[Event] = []
        if number not in self._tools:
            named = {**call, "id": call_id(call, len(self._tools))}
            events = [*self._close(), self._start(_tool_use(named, function))]
            self._open = "tool_use"
            self._tools[number] = self._blocks - 1
            if isinstance(dict.get(call, "custom"), dict):
                self._free.add(self._blocks - 1)
                events.append(self._piece(self._blocks - 1, '{"input":"'))
        self._last = number
        piece = function.get("arguments") or function.get("input")
        if isinstance(piece, str) and piece:
            index = self._tools[number]
            events.append(self._piece(index, _encode(piece)[1:-1].decode() if index in self._free else piece))
        return events

    def _piece(self, index: int, text: str) -> Event:
        return self._delta(index, {"type": "input_json_delta", "partial_json": text})

    def _start(self, block: Json) -> Event:
        self._blocks += 1
        return {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}

    def _delta(self, index: int, delta: Json) -> Event:
        return {"type": "content_block_delta", "index": index, "delta": delta}

    def _close(self) -> list[Event]:
        if self._open is None:
            return []
        self._open = None
        last = self._blocks - 1
        ended = [self._piece(last, '"}')] if last in self._free else []
        return [*ended, {"type": "content_block_stop", "index": last}]


def _tool_use(call: Json, function: Json) -> Json:
    return {"type": "tool_use", "id": dict.get(call, "id"), "name": function.get("name"), "input": {}}
