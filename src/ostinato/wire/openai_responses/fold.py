"""A stream, gathered into the body that the same call would have returned unstreamed.

The last event carries that body whole, and then it is the fold. Where the vendor leaves the output out of it, or the
stream has not come so far, the items are what their own events said: an item that ended as it ended, one that has
not as its deltas made it.

The cuts are described in `unfold`.
"""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.contract import Cuts, Event, Json
from ostinato.wire.openai_responses.channels import DELTAS, DONES, PARTS, Channel, Delta, channels_of

ENDINGS = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}
"""The status of a response by the event that ends its stream."""

_STATES = frozenset({"response.created", "response.in_progress", "response.queued"})

_PART_EVENTS = {f"{name}.{step}": place for name, place in PARTS.items() for step in ("added", "done")}


class ResponsesFold:
    """Gathers one stream. Every event is read once and kept nowhere."""

    __slots__ = ("_end", "_items", "_response", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._response: Json = {}
        self._end: str | None = None
        self._items: dict[int, _Item] = {}

    def feed(self, event: Event) -> None:
        try:
            kind = event["type"]
            delta = DELTAS.get(kind)
            if delta is not None:
                self._item(event, delta.item).add(event, delta)
            elif kind == "response.output_item.added":
                self._items[event["output_index"]] = _Item(_object(event["item"]))
            elif kind == "response.output_item.done":
                self._item(event, "").end(_object(event["item"]))
            elif kind in _PART_EVENTS:
                member, place = _PART_EVENTS[kind]
                self._item(event, "").put_part(member, event[place], _object(event["part"]))
            elif kind in DONES:
                self._item(event, DONES[kind].item).put_text(event, DONES[kind])
            elif kind == "response.output_text.annotation.added":
                self._item(event, "message").annotate(event)
            elif kind in _STATES:
                self._response = _object(event["response"])
            elif kind in ENDINGS:
                self._finish(ENDINGS[kind], event["response"])
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise APIResponseError(f"an event of the stream contradicts the wire: {error!r}") from error

    def _item(self, event: Event, kind: str) -> _Item:
        """Return the item that an event is of. One that was not announced begins with it."""
        index = event["output_index"]
        item = self._items.get(index)
        if item is None:
            item = self._items[index] = _Item({"id": event.get("item_id"), "type": kind, "status": "in_progress"})
        return item

    def _finish(self, status: str, response: Any) -> None:
        self._response = {**self._response, **_object(response)}
        self._end = status
        self.complete = status != "failed"

    def channel(self, event: Event, delta: Delta) -> Channel:
        """Return the channel that the event of a delta, fed before, has added to."""
        return self._items[event["output_index"]].channel(event, delta)

    def body(self) -> Json:
        body: Json = to_builtins(self._response)
        if self._items and not body.get("output"):
            items = [self._items[index].body() for index in sorted(self._items)]
            if self._end is not None:
                _settle(items, self._end)
            body["output"] = items
        return body

    def cuts(self) -> Cuts:
        ranked = [self._items[index] for index in sorted(self._items)]
        return [item.cuts(whole) for item, whole in zip(ranked, self.body().get("output") or (), strict=False)]


def _object(value: Any) -> Json:
    """Return a copy of a JSON object. Raises: TypeError: it is none."""
    if type(value) is not dict:
        raise TypeError(f"an object was due, not {value!r:.40}")
    copy: Json = to_builtins(value)
    return copy


def _settle(items: list[Json], status: str) -> None:
    """Give the items that never ended the status they ended with: the last one that of the response."""
    for place, item in enumerate(items):
        if item.get("status") == "in_progress":
            item["status"] = status if place == len(items) - 1 else "completed"


class _Item:
    """An output item, as far as it has come."""

    __slots__ = ("_annotations", "_ended", "_item", "_logprobs", "_places", "_steps", "_texts")

    def __init__(self, item: Json) -> None:
        self._item = item
        self._ended = False
        # Some servers number the first part of a message 1: the place of a part is the order in which it came.
        self._places: dict[tuple[str, int], int] = {}
        self._texts: dict[Channel, list[str]] = {}
        self._logprobs: dict[Channel, list[Any]] = {}
        self._annotations: dict[Channel, list[Any]] = {}
        self._steps: dict[Channel, list[Any]] = {}

    def channel(self, event: Event, delta: Delta) -> Channel:
        """Return the channel of an event's text. A part that was not announced begins with it."""
        if delta.place is None:
            return delta.member, None
        number = event[delta.place]
        place = self._places.get((delta.member, number))
        if place is None:
            place = self._put(delta.member, number, {"type": delta.part, delta.text: ""}, begun=False)
        return delta.member, place

    def _put(self, member: str, number: int, part: Json, *, begun: bool) -> int:
        """Put a part where its number says, in place of what is there where it is `begun`; return its place."""
        parts = self._item.setdefault(member, [])
        place = self._places.get((member, number))
        if place is None:
            taken = [place for (name, _), place in self._places.items() if name == member]
            place = number if number < len(parts) and number not in taken else len(parts)
            self._places[member, number] = place
        if place == len(parts):
            parts.append(part)
        elif begun:
            parts[place] = part
        return place

    def add(self, event: Event, delta: Delta) -> None:
        """Take a piece of a text."""
        channel = self.channel(event, delta)
        text = event["delta"]
        texts = self._texts.get(channel)
        if texts is None:
            texts = self._begin(channel, delta)
        texts.append(text)
        logprobs = event.get("logprobs")
        if logprobs:
            self._logprobs.setdefault(channel, []).extend(to_builtins(logprobs))
            self._steps[channel].append([len(text), len(logprobs)])
        else:
            self._steps[channel].append(len(text))

    def _begin(self, channel: Channel, delta: Delta) -> list[str]:
        """Make room for a text, with what of it has come with its item or its part."""
        member, place = channel
        holder = self._item if place is None else self._item[member][place]
        before = holder.get(delta.text) or ""
        self._texts[channel] = [before] if before else []
        self._steps.setdefault(channel, [])
        return self._texts[channel]

    def put_part(self, member: str, number: int, part: Json) -> None:
        """Take a part as it begins or as it ended."""
        channel = (member, self._put(member, number, part, begun=True))
        self._forget(channel)
        self._annotations.pop(channel, None)

    def put_text(self, event: Event, delta: Delta) -> None:
        """Take a text as it ended."""
        if event.get(delta.text) is None:
            return
        member, place = channel = self.channel(event, delta)
        holder = self._item if place is None else self._item[member][place]
        holder[delta.text] = event[delta.text]
        if "logprobs" in event:
            holder["logprobs"] = to_builtins(event["logprobs"])
        self._forget(channel)

    def _forget(self, channel: Channel) -> None:
        self._texts.pop(channel, None)
        self._logprobs.pop(channel, None)

    def annotate(self, event: Event) -> None:
        channel = self.channel(event, DELTAS["response.output_text.delta"])
        self._annotations.setdefault(channel, []).append(to_builtins(event["annotation"]))
        self._steps.setdefault(channel, []).append(None)

    def end(self, item: Json) -> None:
        """Take the item as it ended."""
        self._item = item
        self._ended = True

    def body(self) -> Json:
        item: Json = to_builtins(self._item)
        if self._ended:
            return item
        for (member, place), pieces in self._texts.items():
            if place is None:
                item[member] = "".join(pieces)
                continue
            part = item[member][place]
            part["refusal" if part.get("type") == "refusal" else "text"] = "".join(pieces)
        for (member, place), logprobs in self._logprobs.items():
            part = item[member][place]
            part["logprobs"] = [*(part.get("logprobs") or ()), *to_builtins(logprobs)]
        for (member, place), cited in self._annotations.items():
            part = item[member][place]
            part["annotations"] = [*(part.get("annotations") or ()), *to_builtins(cited)]
        return item

    def cuts(self, whole: Any) -> list[Any]:
        """Return the steps of each text of the item `whole`, in the order in which the item holds them."""
        channels = channels_of(whole) if isinstance(whole, dict) else ()
        return [list(self._steps.get(channel, ())) for channel, _, _ in channels]
