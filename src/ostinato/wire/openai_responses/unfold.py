"""A body as the events of a stream that folds to it.

The events of items that ran side by side come item by item.

The cuts are a list with an entry an item, each a list with an entry a text of the item, in the order of `channels_of`.
That is a list of steps: a number stands for so many characters, `[characters, count]` for characters with so many log
probabilities, null for the next annotation.

Source: https://platform.openai.com/docs/api-reference/responses-streaming (read 2026-11-22); the order of events and
the members of each are those of recorded traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.contract import Cuts, Event, Json
from ostinato.wire.openai_responses.channels import STEPS, TEXTS, Channel, channels_of

_PENDING: Json = {"output": [], "usage": None, "completed_at": None, "incomplete_details": None}
"""What a response that has just begun does not know yet."""


def unfold(body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Yield the events of a stream that folds to `body`, cut as `cuts` says; see `Wire.unfold`."""
    output = body.get("output")
    if type(output) is not list or not all(type(item) is dict for item in output):
        raise APIResponseError("the answer is no response: it has no list of output items")
    for number, event in enumerate(_events(body, output, cuts or [])):
        event["sequence_number"] = number
        yield event


def _events(body: Json, output: list[Json], cuts: Cuts) -> Iterator[Event]:
    begun = opening(body)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": to_builtins(begun)}
    for index, item in enumerate(output):
        steps = cuts[index] if index < len(cuts) and type(cuts[index]) is list else []
        yield from item_events(index, to_builtins(item), steps)
    ended = "response.incomplete" if body.get("status") == "incomplete" else "response.completed"
    yield {"type": ended, "response": to_builtins(body)}


def opening(body: Json) -> Json:
    """Return a response as its first event states it: without output, an end or counts."""
    begun: Json = to_builtins({name: value for name, value in body.items() if name not in _PENDING})
    begun |= {name: ([] if name == "output" else value) for name, value in _PENDING.items() if name in body}
    if "status" in body:
        begun["status"] = "in_progress"
    return begun


def item_events(index: int, item: Json, cuts: list[Any]) -> Iterator[Event]:
    """Yield the events of one item: it begins empty, fills, and comes once more whole. May keep `item`."""
    yield {"type": "response.output_item.added", "output_index": index, "item": _emptied(item)}
    kind = item.get("type")
    before, after = STEPS.get(kind, ((), ())) if isinstance(kind, str) else ((), ())
    place: Json = {"item_id": item.get("id"), "output_index": index}
    for step in before:
        yield {"type": f"response.{kind}.{step}", **place}
    for number, (channel, name, text) in enumerate(channels_of(item)):
        steps = cuts[number] if number < len(cuts) else None
        if name:
            yield from _channel_events(place, item, channel, name, _pieces(steps, text, _part(item, channel)))
        else:
            yield from _bare_part(place, item, channel)
    for step in after:
        yield {"type": f"response.{kind}.{step}", **place}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _emptied(item: Json) -> Json:
    """Return an item as it begins."""
    empty: Json = dict(item)
    for (member, place), _, _ in channels_of(item):
        empty[member] = "" if place is None else []
    if empty.get("status") in {"completed", "incomplete"}:
        empty["status"] = "in_progress"
    return empty


def _part(item: Json, channel: Channel) -> Json | None:
    member, place = channel
    if place is None:
        return None
    part: Json = item[member][place]
    return part


Piece = tuple[str, list[Any] | None] | None
"""A text with its log probabilities; None for the next annotation."""


def _pieces(steps: Any, text: str, part: Json | None) -> list[Piece]:
    """Return the pieces of a text in the order of `steps`; in one piece where they do not fit it."""
    logprobs = part.get("logprobs") if part is not None else None
    logprobs = logprobs if type(logprobs) is list else []
    annotations = part.get("annotations") if part is not None else None
    count = len(annotations) if type(annotations) is list else 0
    pieces: list[Piece] = []
    at = told = 0
    for step in steps if type(steps) is list else ():
        if step is None:
            pieces.append(None)
            continue
        length, chances = step if type(step) is list and len(step) == 2 else (step, 0)
        if type(length) is not int or type(chances) is not int or length < 0 or chances < 0:
            break
        pieces.append((text[at : at + length], logprobs[told : told + chances]))
        at, told = at + length, told + chances
    if steps and at == len(text) and told == len(logprobs) and pieces.count(None) == count:
        return pieces
    whole: list[Piece] = [(text, logprobs)] if text or logprobs else []
    return whole + [None] * count


def _channel_events(place: Json, item: Json, channel: Channel, name: str, pieces: list[Piece]) -> Iterator[Event]:
    member, number = channel
    part = _part(item, channel)
    where = dict(place)
    text_events = TEXTS[name]
    if part is not None and text_events.place is not None:
        where[text_events.place] = number
        empty = {**part, text_events.text: ""}
        empty |= {name: [] for name in ("annotations", "logprobs") if type(part.get(name)) is list}
        yield {"type": f"{_part_events(member)}.added", **where, "part": empty}
    tells = name == "response.output_text"
    annotations = list((part or {}).get("annotations") or ())
    for told in pieces:
        if told is None:
            first = {"annotation_index": len((part or {})["annotations"]) - len(annotations)}
            annotation = {"type": "response.output_text.annotation.added", **where, **first}
            yield {**annotation, "annotation": annotations.pop(0)}
        else:
            delta = {"type": f"{name}.delta", **where, "delta": told[0]}
            yield {**delta, "logprobs": told[1]} if tells else delta
    whole = item[member] if part is None else part[text_events.text]
    done = {"type": f"{name}.done", **where, text_events.text: whole}
    yield {**done, "logprobs": (part or {}).get("logprobs") or []} if tells else done
    if part is not None:
        yield {"type": f"{_part_events(member)}.done", **where, "part": part}


def _part_events(member: str) -> str:
    return "response.reasoning_summary_part" if member == "summary" else "response.content_part"


def _bare_part(place: Json, item: Json, channel: Channel) -> Iterator[Event]:
    """Yield the events of a part that holds no text."""
    member, number = channel
    where = {**place, "summary_index" if member == "summary" else "content_index": number}
    for step in ("added", "done"):
        yield {"type": f"{_part_events(member)}.{step}", **where, "part": _part(item, channel)}
