"""Answers, streams and errors as the Responses API gives them, whoever gave the answer."""

from __future__ import annotations

from typing import Any

from ostinato.errors import OstinatoError
from ostinato.records import Chunk, Completion, text_of
from ostinato.wire.complaints import anthropic_body, beside, message_of, openai_body
from ostinato.wire.contract import Event, Json
from ostinato.wire.media import Media, media_of, sound_in, spoken_in
from ostinato.wire.openai_responses.items import CALLS
from ostinato.wire.openai_responses.thoughts import reasoning_item
from ostinato.wire.openai_responses.unfold import opening
from ostinato.wire.openai_responses.writing import Writing
from ostinato.wire.values import call_id

_KINDS = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}

_AROUND = frozenset({"error", "response"})
"""Members of an error's body that are told otherwise: the response that failed stands in the stream."""

_SOUND = {"response.audio": "data", "response.audio.transcript": "transcript"}
"""The members of chat's sound by the names of their events."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def render(completion: Completion) -> Json:
    """Return an answer, whoever gave it, as the body of a response. Of several choices it is the first."""
    choices = dict.get(completion, "choices") or [{}]
    choice = choices[0]
    message: Json = dict.get(choice, "message") or {}
    if "created_at" in completion and "status" in completion:
        own = {name: value for name, value in dict.items(completion) if name not in {"choices", "created"}}
        body = own | {"object": "response", "output": dict.get(message, "output_items") or []}
        if completion.usage is not None:
            body["usage"] = completion.usage.raw
        return body
    body = _response(completion, dict.get(choice, "finish_reason"))
    body["output"] = _items(message, str(body["id"]), body["status"], _logprobs(choice))
    body |= media_of(message)
    body["usage"] = usage_of(dict.get(completion, "usage"))
    return body


def _response(head: Json, finish: Any) -> Json:
    """Return a response around no output: what it was asked for nobody has told us, so that reads as the defaults."""
    reason = _INCOMPLETE.get(finish)
    created = dict.get(head, "created")
    return {
        "id": dict.get(head, "id"),
        "object": "response",
        "created_at": created if isinstance(created, int | float) else 0,
        "status": "completed" if reason is None else "incomplete",
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": dict.get(head, "model"),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": dict.get(head, "service_tier") or "default",
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


def _items(message: Json, name: str, status: str, logprobs: list[Any]) -> list[Json]:
    """Return what a message says as output items: thoughts, words, calls, or in the vendor's own order."""
    own = dict.get(message, "content_blocks")
    if isinstance(own, list) and _goes_back(own):
        return _in_order(message, own, name, status)
    blocks = dict.get(message, "thinking_blocks") or []
    items = [reasoning_item(block, f"rs_{name}_{index}") for index, block in enumerate(blocks)]
    thought = dict.get(message, "reasoning_content") or dict.get(message, "reasoning")
    if not items and isinstance(thought, str) and thought:
        items.append(_reasoning(name, thought))
    parts = []
    text, refusal = _text(message) or spoken_in(message), dict.get(message, "refusal")
    if text:
        parts.append(_output_text(text, dict.get(message, "annotations"), logprobs))
    if refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        items.append({"id": f"msg_{name}", **_MESSAGE, "status": status, "content": parts})
    calls = dict.get(message, "tool_calls") or ()
    if parts and calls:
        items[-1]["status"] = "completed"
    items += [_call_item(call, place) for place, call in enumerate(calls)]
    return items


def _goes_back(blocks: list[Any]) -> bool:
    """Say whether Anthropic's blocks come in another order than thoughts, words, calls."""
    ranks = [_RANKS[kind] for block in blocks if (kind := dict.get(block, "type")) in _RANKS]
    return ranks != sorted(ranks)


_RANKS = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}


def _in_order(message: Json, blocks: list[Json], name: str, status: str) -> list[Json]:
    """Return a message's items as its stream writes them, block by block."""
    calls = list(dict.get(message, "tool_calls") or ())
    annotations = list(dict.get(message, "annotations") or ())
    deltas: list[Json] = []
    at = 0
    for block in blocks:
        match dict.get(block, "type"):
            case "text":
                at += len(block["text"])
                own = [cited for cited in annotations if dict.get(cited["url_citation"], "end_index") == at]
                deltas.append({"content": block["text"], "annotations": own})
            case "thinking" | "redacted_thinking":
                deltas.append({"thinking_blocks": [block]})
            case "tool_use" if calls:
                call = calls.pop(0)
                deltas.append({"tool_calls": [{**call, "index": len(calls)}]})
    writer = Renderer()
    for delta in deltas:
        writer.feed(Chunk({"id": name, "choices": [{"delta": delta}]}))
    writer.feed(Chunk({"choices": [{"finish_reason": "length" if status == "incomplete" else "stop"}]}))
    items: list[Json] = writer.end()[-1]["response"]["output"]
    return items


_MESSAGE = {"type": "message", "role": "assistant"}


def _text(message: Json) -> str:
    text = text_of(dict.get(message, "content"))
    return text if isinstance(text, str) else ""


def _reasoning(name: str, text: str) -> Json:
    return {"id": f"rs_{name}", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def _output_text(text: str, annotations: Any = None, logprobs: Any = None) -> Json:
    cited = [citation_of(item) for item in annotations or ()]
    return {"type": "output_text", "annotations": cited, "logprobs": logprobs or [], "text": text}


def citation_of(annotation: Json) -> Json:
    """Return a citation of chat's as the API's."""
    inner = dict.get(annotation, "url_citation")
    return {"type": "url_citation", **inner} if isinstance(inner, dict) else dict(annotation)


def _logprobs(choice: Json) -> list[Any]:
    logprobs = dict.get(choice, "logprobs")
    return (dict.get(logprobs, "content") or []) if isinstance(logprobs, dict) else []


def _call_item(call: Json, number: int, given_text: str | None = None) -> Json:
    """Return the tool call of this number as an item, with `given_text` in place of what it is given."""
    kind = "custom_tool_call" if isinstance(dict.get(call, "custom"), dict) else "function_call"
    name, given = CALLS[kind]
    called: Json = dict.get(call, name) or {}
    named = call_id(call, number)
    said = (called.get(given) or "") if given_text is None else given_text
    item = {"id": f"{'ctc' if kind == 'custom_tool_call' else 'fc'}_{named}", "type": kind, "status": "completed"}
    return {**item, "call_id": named, "name": called.get("name"), given: said}


def usage_of(usage: Any) -> Json | None:
    """Return usage in the API's terms; None where nobody said."""
    if not isinstance(usage, dict) or not usage:
        return None
    prompt, output = (dict.get(usage, f"{name}_tokens") or 0 for name in ("prompt", "completion"))
    spent = dict.get(usage, "completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": dict.get(usage, "cache_read_input_tokens") or 0,
            "cache_write_tokens": dict.get(usage, "cache_creation_input_tokens") or 0,
        },
        "output_tokens": output,
        "output_tokens_details": {
            "reasoning_tokens": (dict.get(spent, "reasoning_tokens") or 0) if isinstance(spent, dict) else 0
        },
        "total_tokens": prompt + output,
    }


def render_error(error: OstinatoError, status: int) -> Json:
    """Return an error as the body of an answer with `status`."""
    around, members = openai_body(error.body)
    foreign = anthropic_body(error.body)[1]
    usual = ("server_error", None) if status >= 500 else ("invalid_request_error", None)
    kind, code = _KINDS.get(status, usual)
    said = next((said for said in (members.get("type"), foreign.get("type")) if isinstance(said, str)), kind)
    told = {
        "message": message_of(error, members),
        "type": said,
        "param": members.get("param"),
        "code": members.get("code") or error.code or code,
    }
    return {"error": told | beside(members, told), **beside(around, _AROUND)}


class Renderer:
    """Turns the chunks of one stream, whoever gave it, into the events of a response.

    Calls of tools stay open until the answer ends, since chat may go back to one that came before.
    """

    __slots__ = (
        "_calls",
        "_finish",
        "_head",
        "_items",
        "_last",
        "_media",
        "_number",
        "_open",
        "_texts",
        "_told",
        "_usage",
    )

    def __init__(self) -> None:
        self._number = 0
        self._head: Json | None = None
        self._items: list[Writing] = []
        self._open: Writing | None = None
        self._calls: dict[Any, Writing] = {}
        self._last: Any = None
        self._told = 0
        self._texts: list[tuple[int, Writing | None]] = []
        """The items with a text, each with the characters told up to its end."""
        self._media = Media()
        self._finish: Any = None
        self._usage: Any = None

    def feed(self, chunk: Chunk) -> list[Event]:
        """Return the events that a chunk makes."""
        events = self._begin(chunk) if self._head is None else []
        self._usage = dict.get(chunk, "usage") or self._usage
        for choice in dict.get(chunk, "choices") or ():
            if dict.get(choice, "index", 0) == 0:
                events += self._say(dict.get(choice, "delta") or {}, _logprobs(choice))
                self._finish = dict.get(choice, "finish_reason") or self._finish
        return self._numbered(events)

    def end(self) -> list[Event]:
        """Return the events that end the response; none where the stream had no first chunk."""
        if self._head is None:
            return []
        body = _response(self._head, self._finish)
        events = self._close(body["status"])
        for item in self._calls.values():
            events += item.end()
        body["output"] = [item.item for item in self._items]
        body |= (media := self._media.body())
        events += [{"type": f"{name}.done"} for name, member in _SOUND.items() if member in media.get("audio", ())]
        body["usage"] = usage_of(self._usage)
        return self._numbered([*events, {"type": f"response.{body['status']}", "response": body}])

    def fail(self, error: OstinatoError, status: int) -> list[Event]:
        """Return the event that tells a stream's reader that it broke."""
        failed = error.body.get("response") if isinstance(error.body, dict) else None
        if isinstance(failed, dict):
            return self._numbered([{"type": "response.failed", "response": failed}])
        said = render_error(error, status)["error"]
        event = {"type": "error", "code": said["code"], "message": said["message"], "param": said["param"]}
        return self._numbered([event | beside(said, {"type", *event})])

    def _numbered(self, events: list[Event]) -> list[Event]:
        for event in events:
            event["sequence_number"] = self._number
            self._number += 1
        return events

    def _begin(self, chunk: Chunk) -> list[Event]:
        self._head = {name: dict.get(chunk, name) for name in ("id", "created", "model", "service_tier")}
        begun = opening(_response(self._head, None))
        return [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": dict(begun)},
        ]

    def _say(self, delta: Json, logprobs: list[Any]) -> list[Event]:
        events: list[Event] = []
        thought = dict.get(delta, "reasoning_content") or dict.get(delta, "reasoning")
        if isinstance(thought, str) and thought:
            events += self._add("reasoning", "summary_text", thought)
        for block in dict.get(delta, "thinking_blocks") or ():
            events += self._seal(block)
        text = self._media.feed(delta, _text(delta))
        sound = sound_in(delta)
        events += [
            {"type": f"{name}.delta", "delta": sound[member]} for name, member in _SOUND.items() if sound.get(member)
        ]
        if text:
            events += self._add("message", "output_text", text, logprobs)
            self._told += len(text)
            self._texts = [*(each for each in self._texts if each[1] is not self._open), (self._told, self._open)]
        refusal = dict.get(delta, "refusal")
        if isinstance(refusal, str) and refusal:
            events += self._add("message", "refusal", refusal)
        for annotation in dict.get(delta, "annotations") or ():
            events += self._annotate(annotation)
        for call in dict.get(delta, "tool_calls") or ():
            events += self._call(call)
        return events

    def _annotate(self, annotation: Json) -> list[Event]:
        """Return the event for a citation. It may come last of all: then it is for the text that ends where it does."""
        cited = citation_of(annotation)
        ends = cited.get("end_index")
        texts = [item for end, item in self._texts if item is not None and (type(ends) is not int or end >= ends)]
        return texts[0 if type(ends) is int else -1].annotate(cited) if texts else []

    def _add(self, kind: str, part: str, text: str, logprobs: list[Any] | None = None) -> list[Event]:
        events: list[Event] = []
        opened = self._open
        if opened is None or opened.item["type"] != kind:
            events = self._close()
            name = str((self._head or {}).get("id"))
            opened = self._open = self._start(_begun_item(kind, f"{name}_{len(self._items)}"))
            events += opened.begin()
        return events + opened.add(part, text, logprobs)

    def _seal(self, block: Json) -> list[Event]:
        """Return the events for a whole thinking block, whose text may have been on its way before."""
        plain = {name: value for name, value in dict.items(block) if name != "index"}
        events: list[Event] = []
        opened = self._open
        if opened is None or opened.item["type"] != "reasoning":
            events = self._close()
            opened = self._open = self._start(
                _begun_item("reasoning", f"{(self._head or {}).get('id')}_{len(self._items)}")
            )
            events += opened.begin()
            if isinstance(text := plain.get("thinking"), str) and text:
                events += opened.add("summary_text", text)
        opened.item["encrypted_content"] = reasoning_item(plain, "")["encrypted_content"]
        return events + self._close()

    def _call(self, call: Json) -> list[Event]:
        """Return the events for a piece of a tool call. A call without an index is the one before, or a new one."""
        number = dict.get(call, "index")
        if number is None:
            number = dict.get(call, "id") or self._last
        self._last = number
        events: list[Event] = []
        item = self._calls.get(number)
        if item is None:
            events = self._close()
            item = self._calls[number] = self._start(
                {**_call_item(call, len(self._calls), ""), "status": "in_progress"}
            )
            events += item.begin()
        called = dict.get(call, "function") or dict.get(call, "custom") or {}
        text = called.get("arguments") or called.get("input")
        return events + item.give(text) if isinstance(text, str) and text else events

    def _start(self, item: Json) -> Writing:
        opened = Writing(len(self._items), item)
        self._items.append(opened)
        return opened

    def _close(self, status: str = "completed") -> list[Event]:
        opened, self._open = self._open, None
        return [] if opened is None else opened.end(status)


def _begun_item(kind: str, name: str) -> Json:
    if kind == "reasoning":
        return {"id": f"rs_{name}", "type": "reasoning", "summary": []}
    return {"id": f"msg_{name}", **_MESSAGE, "status": "in_progress", "content": []}
