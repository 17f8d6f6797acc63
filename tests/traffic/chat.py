"""What a record of OpenAI's chat says, read by a few lines that share nothing with the library."""

from __future__ import annotations

import json
from typing import Any

from tests.traffic.told import Call, Counts, Json, Spoken, Told


def sse(text: str) -> list[Json]:
    """Return the decoded data of each event, `[DONE]` and comments left out."""
    events = []
    for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if data and data != "[DONE]":
            events.append(json.loads(data))
    return events


def told(response: Json) -> Told:
    """Return what the recorded answer says."""
    return _streamed(sse(response["sse_text"])) if "sse_text" in response else _whole(response["json"])


def _whole(body: Json) -> Told:
    answer = Told(body=body, model=body.get("model"), raw_usage=body.get("usage"))
    if body.get("error"):
        answer.failure = body
        return answer
    for choice in body["choices"]:
        message = choice["message"]
        spoken = answer.at(choice.get("index", 0))
        _say(spoken, message)
        spoken.calls = [_call(call) for call in message.get("tool_calls") or ()]
        if message.get("function_call"):
            spoken.calls.append(_call({"function": message["function_call"]}))
        spoken.finish = choice.get("finish_reason")
    answer.usage = counts(answer.raw_usage)
    answer.status = answer.spoken[0].finish if 0 in answer.spoken else None
    answer.whole = all(spoken.finish for spoken in answer.spoken.values())
    return answer


def _streamed(events: list[Json]) -> Told:
    answer = Told()
    numbers: dict[tuple[int, Any], Call] = {}
    for event in events:
        if event.get("error"):
            answer.failure = event
            break
        answer.events.append(event)
        answer.model = answer.model or event.get("model") or None
        answer.raw_usage = event.get("usage") or (event.get("x_groq") or {}).get("usage") or answer.raw_usage
        for choice in event.get("choices") or ():
            number = choice.get("index", 0)
            spoken, delta = answer.at(number), choice.get("delta") or {}
            _say(spoken, delta)
            for piece in delta.get("tool_calls") or ():
                _add(spoken, numbers, (number, piece.get("index")), piece)
            if delta.get("function_call"):
                _add(spoken, numbers, (number, "function_call"), {"function": delta["function_call"]})
            spoken.finish = choice.get("finish_reason") or spoken.finish
    answer.usage = counts(answer.raw_usage)
    answer.status = answer.spoken[0].finish if 0 in answer.spoken else None
    finished = bool(answer.spoken) and all(spoken.finish for spoken in answer.spoken.values())
    answer.whole = answer.failure is None and finished
    return answer


def _say(spoken: Spoken, message: Json) -> None:
    spoken.text += text_of(message.get("content"))
    spoken.reasoning += message.get("reasoning_content") or message.get("reasoning") or ""
    spoken.refusal += message.get("refusal") or ""


def text_of(content: Any) -> str:
    """Return a content as its text: parts joined, an object as its JSON."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if isinstance(content, dict):
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return content or ""


def _call(call: Json) -> Call:
    named = call.get("function") or call.get("custom") or {}
    return Call(call.get("id"), named.get("name") or "", named.get("arguments") or named.get("input") or "")


def _add(spoken: Spoken, numbers: dict[tuple[int, Any], Call], number: tuple[int, Any], piece: Json) -> None:
    """Add a piece of a call; one without a number is whole, or goes on with the last."""
    came = _call(piece)
    known = numbers.get(number) if number[1] is not None else None
    if number[1] is None and not came.id and spoken.calls:
        known = spoken.calls[-1]
    if known is None:
        numbers[number] = came
        spoken.calls.append(came)
        return
    known.id = known.id or came.id
    known.name = known.name or came.name
    known.arguments += came.arguments


def counts(raw: Any) -> Counts | None:
    """Return the tokens of a usage, by surprises 1, 2, 6 and 9 of the corpus."""
    if not raw:
        return None
    prompt, completion = raw.get("prompt_tokens") or 0, raw.get("completion_tokens") or 0
    given, made = raw.get("prompt_tokens_details") or {}, raw.get("completion_tokens_details") or {}
    outside = max(0, (raw.get("total_tokens") or 0) - prompt - completion)
    if outside and (outside == given.get("audio_tokens") or raw.get("prompt_tokens") is None):
        prompt += outside
    else:
        completion += outside
    written = _first(given.get("cache_write_tokens"), given.get("cache_creation_tokens"))
    written = _first(written or None, raw.get("cache_creation_input_tokens"))
    read = _first(
        given.get("cached_tokens"),
        *(raw.get(name) for name in ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")),
        raw.get("num_cached_tokens"),
    )
    written = min(written, prompt)
    return Counts(prompt, completion, min(read, prompt - written), written, made.get("reasoning_tokens") or 0)


def _first(*values: Any) -> int:
    return next((value for value in values if isinstance(value, int)), 0)
