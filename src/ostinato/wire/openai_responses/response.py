"""From a response to a Completion, and whether the answer may be kept.

The items of the output become one message: texts, reasoning and calls in chat's places, and `output_items` with
every item as it came, which a request that has the message in its history sends again. Reasoning stands in
`reasoning_items` too. The rest of the body keeps the vendor's names on the completion.

Source: https://platform.openai.com/docs/api-reference/responses/object (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ostinato.errors import APIResponseError
from ostinato.records import Completion
from ostinato.wire.contract import Json
from ostinato.wire.openai_chat import response as chat
from ostinato.wire.openai_chat.failure import rejection
from ostinato.wire.openai_responses.failure import event_error
from ostinato.wire.openai_responses.items import CALLS
from ostinato.wire.openai_responses.usage import usage_record

CUT = frozenset({"max_output_tokens", "max_tokens", "length"})
"""Reasons of an incomplete response that leave a complete answer."""

_FINISH = {"content_filter": "content_filter", **dict.fromkeys(CUT, "length")}

BETWEEN_THOUGHTS = "\n\n"
"""What divides the parts of a summary in `reasoning_content`."""

_UNFINISHED = frozenset({"queued", "in_progress", "failed", "cancelled"})

_COUNTS = ("input_tokens", "output_tokens", "total_tokens")


def parse(body: Json, headers: Mapping[str, str] | None = None) -> Completion:
    """Return a response's body as a record; see `Wire.parse`."""
    output: Any = body.get("output") if type(body) is dict else None
    if type(output) is not list or body.get("error") or body.get("status") == "failed":
        raise rejection(body, headers, event_error, "the answer is no response: it has no list of output items")
    completion = Completion(body)
    del completion["output"]
    message = message_of(output)
    completion["object"] = "chat.completion"
    created = body.get("created_at")
    completion["created"] = int(created) if type(created) is int or type(created) is float else 0
    choice = ending(body, called="tool_calls" in message)
    choice["message"] = message
    logprobs = logprobs_of(output)
    if logprobs is not None:
        choice["logprobs"] = logprobs
    completion["choices"] = [choice]
    usage = usage_record(body)
    if usage is not None:
        completion["usage"] = usage
    return completion


def ending(body: Json, *, called: bool) -> Json:
    """Return how an answer ended, as the choice that has no message yet."""
    status, details = body.get("status"), body.get("incomplete_details")
    reason = details.get("reason") if type(details) is dict else None
    if reason is not None or status == "incomplete":
        finish: str | None = _FINISH.get(str(reason), "length")
    elif status in _UNFINISHED:
        finish = None
    else:
        finish = "tool_calls" if called else "stop"
    native = status if reason is None else reason
    return {"index": 0, "finish_reason": finish, "native_finish_reason": native}


def message_of(items: list[Any]) -> Json:
    """Return output items as a message of chat's. Raises: APIResponseError: an item is none."""
    message: Json = {"role": "assistant", "content": None}
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    try:
        for item in items:
            kind = item.get("type", "message")
            if kind == "message":
                _read_message(item["content"], message, texts, refusals)
            elif kind == "reasoning":
                message.setdefault("reasoning_items", []).append(item)
                thoughts += _thoughts(item)
            elif kind in CALLS:
                message.setdefault("tool_calls", []).append(_tool_call(item, kind))
        if texts:
            message["content"] = texts[0] if len(texts) == 1 else "".join(texts)
        if refusals:
            message["refusal"] = "".join(refusals)
        if thoughts:
            message["reasoning_content"] = BETWEEN_THOUGHTS.join(thoughts)
    except (KeyError, TypeError, AttributeError) as error:
        raise APIResponseError("the answer is no response: one of its output items is none") from error
    if items:
        message["output_items"] = items
    return message


def _thoughts(item: Json) -> list[str]:
    parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
    return [part["text"] for part in parts if part.get("text")]


def _read_message(content: Any, message: Json, texts: list[str], refusals: list[str]) -> None:
    if type(content) is str:
        texts.append(content)
        return
    for part in content:
        kind = part["type"]
        if kind == "output_text":
            text = part["text"]
            if part.get("annotations"):
                start = sum(map(len, texts))
                message.setdefault("annotations", []).extend(annotations_of(part["annotations"], start))
            texts.append(text)
        elif kind == "refusal":
            refusals.append(part["refusal"])


def annotations_of(annotations: Any, start: int) -> list[Json]:
    """Return the citations of web pages as chat's; `start` is where their text begins in the content."""
    found = []
    for item in annotations if isinstance(annotations, list) else ():
        if isinstance(item, dict) and item.get("type") == "url_citation":
            place = {name: value for name, value in item.items() if name != "type"}
            for name in ("start_index", "end_index"):
                if type(place.get(name)) is int:
                    place[name] += start
            found.append({"type": "url_citation", "url_citation": place})
    return found


def _tool_call(item: Json, kind: str) -> Json:
    name, given = CALLS[kind]
    return {"id": item["call_id"], "type": name, name: {"name": item["name"], given: item[given]}}


def logprobs_of(items: list[Any]) -> Json | None:
    """Return the log probabilities of an answer's text, or None where it has none."""
    found: list[Any] = []
    for item in items:
        content = item.get("content") if item.get("type") == "message" else None
        for part in content if type(content) is list else ():
            if part.get("logprobs"):
                found += part["logprobs"]
    return {"content": found, "refusal": None} if found else None


def incomplete(body: Json) -> str | None:
    """Say why an answer must not be kept, or None; see `Wire.incomplete`."""
    output, status = body.get("output"), body.get("status")
    if not isinstance(output, list):
        return "it has no list of output items"
    if body.get("background"):
        return "it runs in the background"
    if body.get("error") or status in _UNFINISHED:
        return f"its status is {status!r}"
    details = body.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    cut = status == "incomplete" or reason is not None
    if cut and reason not in CUT:
        return "a content filter refused it" if reason == "content_filter" else f"it broke off: {reason}"
    usage = body.get("usage")
    # A status says how it ended. Without one, counts that are all zero are those of an answer that broke off.
    if (
        status is None
        and isinstance(usage, dict)
        and 0 in usage.values()
        and not any(usage.get(name) for name in _COUNTS)
    ):
        return "its usage is all zeros"
    # A budget spent on reasoning alone leaves no text, and is as final as any other cut by length.
    if not cut and not any(map(_says, output)):
        return "it is empty"
    return _cut_call(output, cut=cut)


def _says(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind, content = item.get("type", "message"), item.get("content")
    if kind == "message" and isinstance(content, list):
        return any(part.get("text") or part.get("refusal") for part in content if isinstance(part, dict))
    return bool(content) if kind == "message" else kind != "reasoning"


def _cut_call(output: list[Any], *, cut: bool) -> str | None:
    """Say whether a call of a tool is not whole, or None."""
    try:
        message = message_of(output)
    except APIResponseError:
        return "one of its output items is none"
    if "tool_calls" not in message:
        return None
    if cut and any(item.get("status") == "incomplete" for item in output if item.get("type") in CALLS):
        return "the limit cut a tool call"
    finish = "length" if cut else "stop"
    return chat.incomplete({"choices": [{"finish_reason": finish, "message": message}]})
