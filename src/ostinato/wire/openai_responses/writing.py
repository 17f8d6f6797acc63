"""An output item while it is being written: its events, and what it holds in the end."""

from __future__ import annotations

from typing import Any

from ostinato.wire.contract import Event, Json
from ostinato.wire.openai_responses.channels import BY_ITEM, BY_PART, TEXTS

_PART_EVENTS = {"content": "response.content_part", "summary": "response.reasoning_summary_part"}


class Writing:
    """One output item. Its text is joined when it ends."""

    __slots__ = ("_kind", "_logprobs", "_part", "_texts", "_where", "item")

    def __init__(self, index: int, item: Json) -> None:
        self.item = item
        self._where: Json = {"item_id": item["id"], "output_index": index}
        self._texts: list[str] = []
        self._logprobs: list[Any] = []
        self._part: Json | None = None
        self._kind = ""

    def begin(self) -> list[Event]:
        """Return the event that begins the item."""
        shown = {name: list(value) if isinstance(value, list) else value for name, value in self.item.items()}
        return [{"type": "response.output_item.added", "output_index": self._where["output_index"], "item": shown}]

    def add(self, kind: str, text: str, logprobs: list[Any] | None = None) -> list[Event]:
        """Return the events for a piece of the text of a part of type `kind`, begun if it is not the open one."""
        events: list[Event] = []
        if self._kind != kind:
            events = [*self._end_part(), self._begin_part(kind)]
        self._texts.append(text)
        self._logprobs += logprobs or []
        delta = {"type": f"{BY_PART[kind]}.delta", **self._place(), "delta": text}
        if kind == "output_text":
            delta["logprobs"] = logprobs or []
        return [*events, delta]

    def annotate(self, annotation: Json) -> list[Event]:
        """Return the event for an annotation of the last text; none where there is no text."""
        texts = [place for place, part in enumerate(self.item["content"]) if part["type"] == "output_text"]
        if not texts:
            return []
        part = self.item["content"][texts[-1]]
        where = {**self._where, "content_index": texts[-1], "annotation_index": len(part["annotations"])}
        part["annotations"].append(annotation)
        return [{"type": "response.output_text.annotation.added", **where, "annotation": annotation}]

    def give(self, text: str) -> list[Event]:
        """Return the event for a piece of what a tool is given."""
        self._texts.append(text)
        return [{"type": f"{BY_ITEM[self.item['type']]}.delta", **self._where, "delta": text}]

    def end(self, status: str = "completed") -> list[Event]:
        """Return the events that end the item, as what it is then."""
        events = self._end_part()
        name = BY_ITEM.get(self.item["type"])
        if name is not None:
            member = TEXTS[name].member
            self.item[member] = "".join(self._texts)
            events.append({"type": f"{name}.done", **self._where, member: self.item[member]})
        if "status" in self.item:
            self.item["status"] = status
        done = {"type": "response.output_item.done", "output_index": self._where["output_index"]}
        return [*events, {**done, "item": self.item}]

    def _begin_part(self, kind: str) -> Event:
        delta = TEXTS[BY_PART[kind]]
        self._kind = kind
        self._part = {"type": kind, delta.text: ""}
        if kind == "output_text":
            self._part |= {"annotations": [], "logprobs": []}
        self.item[delta.member].append(self._part)
        shown = {name: list(value) if isinstance(value, list) else value for name, value in self._part.items()}
        return {"type": f"{_PART_EVENTS[delta.member]}.added", **self._place(), "part": shown}

    def _place(self) -> Json:
        delta = TEXTS[BY_PART[self._kind]]
        return {**self._where, str(delta.place): len(self.item[delta.member]) - 1}

    def _end_part(self) -> list[Event]:
        if self._part is None:
            return []
        delta = TEXTS[BY_PART[self._kind]]
        part, text = self._part, "".join(self._texts)
        part[delta.text] = text
        done = {"type": f"{BY_PART[self._kind]}.done", **self._place(), delta.text: text}
        if self._kind == "output_text":
            part["logprobs"] = done["logprobs"] = self._logprobs
        ended = {"type": f"{_PART_EVENTS[delta.member]}.done", **self._place(), "part": part}
        self._part, self._kind, self._texts, self._logprobs = None, "", [], []
        return [done, ended]
