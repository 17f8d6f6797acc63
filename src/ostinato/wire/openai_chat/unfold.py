"""A body, taken apart again into the events of a stream, and events as the chunks a caller reads.

`unfold` is exact for every body, also for those that no stream of OpenAI's folds to (no `content` at all, a tool
call with an `index`, a choice with a `delta` in an unstreamed answer). What the events cannot say stands in a
member of the last one, `ostinato`: a list of `[path, value]` to set and `[path]` to take out. It is there for such
bodies only, other readers ignore it, and chunks do not show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import to_builtins

from ostinato.records import Chunk
from ostinato.wire.contract import Cuts, Event, Json
from ostinato.wire.openai_chat.calls import CallNumbers
from ostinato.wire.openai_chat.fold import LABELS, MENDS, PADDING
from ostinato.wire.openai_chat.usage import reported_usage, usage_record

Steps = list[list[Any]]


def unfold(body: Json, cuts: Cuts | None, headers: Mapping[str, str] | None = None) -> Iterator[Event]:
    """Yield the events of a stream that folds to `body`; see `Wire.unfold`.

    Cuts that do not fit the body do no harm: what they leave out comes at the end.
    """
    entries = [entry for entry in cuts or () if type(entry) is int or _is_spelled(entry)]
    # Perplexity counts with every chunk; what counts is what came last.
    usages = sum(["usage"] in entry for entry in entries if type(entry) is list)
    stream = _Stream(body)
    run: list[Any] = []
    for entry in entries:
        if type(entry) is int:
            steps = [[*run, entry]] if run else []
        else:
            steps = entry
            run = entry[0][:-1] if len(entry) == 1 and type(entry[0][-1]) is int else []
            if ["usage"] in entry:
                usages -= 1
                stream.ends = not usages
        event = stream.event(steps)
        if event is not None:
            yield event
    yield from stream.rest()


def _is_spelled(entry: Any) -> bool:
    return type(entry) is list and bool(entry) and all(type(step) is list and step for step in entry)


class _Stream:
    """The body, and how much of it has been sent."""

    def __init__(self, body: Json) -> None:
        self.ends = False
        self._mends: list[Any] = [] if "object" in body else [[["object"]]]
        self._frame: Json = {}
        self._tail: Json = {}
        for name, value in body.items():
            if name != "choices":
                self._place(name, value)
        self._frame["object"] = "chat.completion.chunk"
        choices = body["choices"]
        indexes = [choice.get("index") for choice in choices]
        if not all(type(index) is int for index in indexes) or sorted(set(indexes)) != indexes:
            self._mends.append([["choices"], choices])
            indexes = list(range(len(choices)))
        self._sources = {
            index: _Source(index, choice, ["choices", place], self._mends)
            for place, (index, choice) in enumerate(zip(indexes, choices, strict=True))
        }

    def _place(self, name: str, value: Any) -> None:
        """Put a member of the body where it is sent: with each event, with the last one, or as a mend."""
        if name == MENDS or name in PADDING or (name == "object" and value != "chat.completion"):
            self._mends.append([[name], value])
        elif isinstance(value, dict | list):
            self._tail[name] = value
        else:
            self._frame[name] = value

    def event(self, steps: Steps) -> Event | None:
        """Return the event that `steps` describe, or None when the body has nothing for it."""
        by_choice: dict[int, Steps] = {}
        for step in steps:
            if type(step[0]) is int and step[0] in self._sources:
                by_choice.setdefault(step[0], []).append(step[1:])
        choices = [self._sources[index].choice(taken) for index, taken in by_choice.items()]
        return self._event([choice for choice in choices if choice is not None])

    def _event(self, choices: list[Json]) -> Event | None:
        tail = self._tail if self.ends else {}
        if not choices and not tail:
            return None
        event = {**self._frame, "choices": choices}
        if tail:
            event |= to_builtins(tail)
            self._tail = {}
        return event

    def rest(self) -> Iterator[Event]:
        """Yield what is left, and last what belongs to no choice."""
        self.ends = False
        for source in self._sources.values():
            for choice in source.rest():
                yield {**self._frame, "choices": [choice]}
        self.ends = True
        if self._mends:
            self._tail[MENDS] = self._mends
        last = self._event([])
        if last is not None:
            yield last
        elif not self._sources:
            yield {**self._frame, "choices": []}


class _Source:
    """One choice of the body, and how much of it has been sent."""

    def __init__(self, index: int, choice: Json, path: list[Any], mends: list[Any]) -> None:
        self._mends = mends
        self._frame: Json = {"index": index, "delta": None}
        self._head: Json = {}
        self._first: Json = {}
        self._end: Json = {}
        self._texts: dict[str, _Text] = {}
        self._calls: list[_Call] = []
        self._legacy: _Call | None = None
        self._logprobs: dict[str, list[Any]] = {}
        self._begun = self._ended = False
        for name, value in choice.items():
            self._place(name, value, path)
        message = choice.get("message")
        if isinstance(message, dict):
            self._place_message(message, [*path, "message"])
        else:
            mends.append([[*path, "message"], message] if "message" in choice else [[*path, "message"]])

    def _place(self, name: str, value: Any, path: list[Any]) -> None:
        """Put a member of the choice where it is sent: with each event, the first one, the last one."""
        if name == "delta":
            self._mends.append([[*path, name], value])
        elif name == "logprobs" and isinstance(value, dict):
            self._logprobs = {part: list(items) for part, items in value.items() if isinstance(items, list) and items}
            self._first[name] = {part: items for part, items in value.items() if part not in self._logprobs}
        elif name not in {"index", "message"}:
            if name == "finish_reason" or value is None:
                self._frame[name] = None
            if value is not None:
                self._end[name] = value

    def _place_message(self, message: Json, path: list[Any]) -> None:
        if not message.get("role"):
            self._mends.append([[*path, "role"], *([message["role"]] if "role" in message else [])])
        if "content" not in message:
            self._mends.append([[*path, "content"]])
        self._head["role"] = message.get("role") or "assistant"
        for name, value in message.items():
            if name == "role":
                continue
            if isinstance(value, str) and value and name not in LABELS:
                self._texts[name] = _Text(value)
            elif name == "tool_calls" and isinstance(value, list) and value:
                self._place_calls(value, [*path, name])
            elif name == "function_call" and isinstance(value, dict) and isinstance(value.get("arguments"), str):
                self._legacy = _Call({name: value})
            else:
                self._head[name] = value
                if isinstance(value, list) and _meets_itself(value):
                    self._mends.append([[*path, name], value])

    def _place_calls(self, calls: list[Any], path: list[Any]) -> None:
        if not all(isinstance(call, dict) for call in calls):
            self._mends.append([path, calls])
            return
        for place, call in enumerate(calls):
            if "index" in call:
                self._mends.append([[*path, place, "index"], call["index"]])
            self._calls.append(_Call({**call, "index": place}))

    def choice(self, steps: Steps) -> Json | None:
        """Return what `steps` name as the choice of an event, or None when there is none of it left."""
        delta: Json = {}
        beside: Json = {}
        for step in steps:
            text = self._texts.get(step[0]) if len(step) == 2 and type(step[0]) is str else None
            if text is not None and type(step[1]) is int and (text.left or step[1] == 0):
                delta[step[0]] = delta.get(step[0], "") + text.take(step[1])
            else:
                self._take(step, delta, beside)
        return self._choice(delta, beside) if delta or beside else None

    def _choice(self, delta: Json, beside: Json) -> Json:
        if not self._begun:
            self._begun = True
            delta = {**to_builtins(self._head), **delta}
            if self._first:
                beside["logprobs"] = {**to_builtins(self._first["logprobs"]), **beside.get("logprobs", {})}
        return {**self._frame, "delta": delta, **beside}

    def _take(self, step: list[Any], delta: Json, beside: Json) -> None:
        """Put what a step names into the `delta` of an event, or `beside` it."""
        match step:
            case ["finish_reason" | "finish_details"] if not self._ended:
                self._ended = True
                beside |= to_builtins(self._end)
            case ["tool_calls", int(place), int(length)] if 0 <= place < len(self._calls):
                piece = self._calls[place].piece(length)
                if piece is not None:
                    delta.setdefault("tool_calls", []).append(piece)
            case ["function_call", int(length)] if self._legacy is not None:
                delta |= self._legacy.piece(length) or {}
            case ["logprobs", str(name), int(length)] if length > 0 and self._logprobs.get(name):
                beside.setdefault("logprobs", {})[name] = to_builtins(self._logprobs[name][:length])
                del self._logprobs[name][:length]
            case [str(name), 0] if self._head.get(name) == "":
                delta[name] = ""
            case [str(name)] if not self._begun and name in self._head:
                delta[name] = to_builtins(self._head[name])

    def rest(self) -> Iterator[Json]:
        """Yield what is left: a text an event, thoughts before words, then the calls, then the end."""
        beside: Json = {"logprobs": to_builtins(self._logprobs)} if any(self._logprobs.values()) else {}
        for piece in self._pieces():
            yield self._choice(piece, beside)
            beside = {}
        if not self._ended:
            beside |= to_builtins(self._end)
        if beside or not self._begun:
            yield self._choice({}, beside)

    def _pieces(self) -> Iterator[Json]:
        for name in sorted(self._texts, key=lambda name: not name.startswith("reasoning")):
            text = self._texts[name]
            if text.left:
                yield {name: text.take(text.left)}
        for call in self._calls:
            piece = call.piece(None)
            if piece is not None:
                yield {"tool_calls": [piece]}
        if self._legacy is not None and (piece := self._legacy.piece(None)) is not None:
            yield piece


class _Text:
    """A text and how much of it is still to be sent."""

    __slots__ = ("left", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.left = len(text)

    def take(self, length: int) -> str:
        """Return the next `length` characters, fewer where there are no more."""
        start = len(self.text) - self.left
        piece = self.text[start : start + max(0, length)]
        self.left -= len(piece)
        return piece


class _Call:
    """A tool call: a head that names it and holds the first piece of its arguments, then more of them."""

    __slots__ = ("_begun", "_fields", "_holder", "_member", "_text")

    def __init__(self, fields: Json) -> None:
        self._fields = fields
        self._begun = False
        self._holder = ""
        self._member = ""
        self._text = _Text("")
        for holder, member in (("function", "arguments"), ("custom", "input"), ("function_call", "arguments")):
            value = fields.get(holder)
            if isinstance(value, dict) and isinstance(value.get(member), str):
                self._holder, self._member, self._text = holder, member, _Text(value[member])
                break

    def piece(self, length: int | None) -> Json | None:
        """Return the next piece, with all that is left where `length` is None; None when there is no more."""
        if self._begun and not self._text.left and length != 0:
            return None
        text = self._text.take(self._text.left if length is None else length)
        piece = {name: value for name, value in self._fields.items() if name == "index"}
        if not self._begun:
            self._begun = True
            piece = to_builtins(self._fields)
            if self._holder:
                piece[self._holder][self._member] = text
        elif self._holder:
            piece[self._holder] = {self._member: text}
        return piece


def _meets_itself(items: list[Any]) -> bool:
    """Say whether two items of a list would become one in a fold."""
    seen: list[tuple[Any, Any]] = []
    for item in items:
        if isinstance(item, dict) and type(item.get("index")) is int:
            index, kind = item["index"], item.get("type")
            if any(index == other and kind in {None, known} for other, known in seen):
                return True
            seen.append((index, kind))
    return False


class OpenAITranslator:
    """Makes a chunk of each event: whole deltas, numbered tool calls, usage in one meaning."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[Any, CallNumbers] = {}

    def feed(self, event: Event) -> list[Chunk]:
        choices = event.get("choices")
        if type(choices) is not list:
            choices = event["choices"] = []
        for choice in choices:
            delta = choice.get("delta")
            if delta is None:
                # Azure's filter results come without a delta, and readers look into it all the same.
                choice["delta"] = {}
            elif delta.get("tool_calls"):
                self._number(choice.get("index"), delta["tool_calls"])
        usage = event.get("usage")
        if usage is not None or "x_groq" in event:
            usage = reported_usage(event)
            if usage is not None:
                event["usage"] = usage_record(usage)
        event.pop(MENDS, None)
        return [Chunk(event)]

    def _number(self, index: Any, calls: list[Json]) -> None:
        numbers = self._numbers.setdefault(index, CallNumbers())
        for call in calls:
            number = numbers.number(call)
            if call.get("index") != number:
                call["index"] = number

    def end(self) -> list[Chunk]:
        return []
