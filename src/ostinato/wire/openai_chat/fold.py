"""A stream, gathered into the body that the same call would have returned unstreamed.

What a delta may hold is open: text is joined, lists grow or merge by the `index` of their items, objects merge,
of anything else the last one counts. A null never displaces a value. `content` is null where none was sent, and
`role` is "assistant", as in OpenAI's own unstreamed answers.

The cuts are a list with an entry an event: a number stands for that many more characters of the same text as
before; a list for the steps `[choice, field, length]`, `[choice, "tool_calls", call, length]`,
`[choice, "logprobs", list, length]`, `[choice, field]` and `["usage"]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import to_builtins

from ostinato.errors import APIResponseError
from ostinato.wire.contract import Cuts, Event, Json
from ostinato.wire.openai_chat.calls import CallNumbers

PADDING = frozenset({"obfuscation", "p"})
"""Members of events that only hide their length: OpenAI's and Bedrock's."""

MENDS = "ostinato"
"""The member of a last event of ours that says what no event of OpenAI's can: see `unfold`."""

LABELS = frozenset({"role", "type", "id", "index", "name", "format", "channel", "object"})
"""Members that name rather than say something: the first value counts, nothing is joined to it."""

RESTATED = frozenset({"executed_tools"})
"""Lists whose items Groq sends again whole, each time with more members."""

_GROWING = frozenset({"content", "reasoning_details"})
"""Lists whose last item the next delta may go on with, though no `index` says so (Mistral, OpenRouter)."""

_HEAD = ("id", "object", "created", "model")

_CALL_TEXT = {"function": "arguments", "custom": "input"}


class OpenAIFold:
    """Gathers one stream. Every event is read once and kept nowhere."""

    __slots__ = ("_choices", "_cuts", "_mends", "_open", "_run", "_top", "complete")

    def __init__(self) -> None:
        self.complete = False
        self._top: Json = {}
        self._choices: dict[int, _Choice] = {}
        self._open = 0
        self._cuts: Cuts = []
        self._run: list[Any] | None = None
        self._mends: list[Any] = []

    def feed(self, event: Event) -> None:
        if not isinstance(event, dict):
            raise APIResponseError(f"an event of the stream is a JSON {type(event).__name__}, not an object")
        top = self._top
        steps: list[list[Any]] = []
        for name, value in event.items():
            kind = type(value)
            if kind is list or kind is dict:
                if name == "choices":
                    for choice in value:
                        self._take_choice(choice, steps)
                else:
                    self._take_object(name, value, steps)
            elif value is None or value == "":
                top.setdefault(name, value)
            else:
                top[name] = value
        if steps:
            self._record(steps)

    def _record(self, steps: list[list[Any]]) -> None:
        """Add an event to the cuts."""
        if len(steps) > 1:
            steps = [step for step in steps if step[-1] != 0] or steps[:1]
        if len(steps) > 1:
            self._run = None
            self._cuts.append(steps)
            return
        step = steps[0]
        length = step.pop()
        if step == self._run and type(length) is int:
            self._cuts.append(length)
        else:
            self._run = step if type(length) is int else None
            self._cuts.append([[*step, length]])

    def _take_object(self, name: str, value: Any, steps: list[list[Any]]) -> None:
        if name == MENDS:
            self._mends = to_builtins(value)
            return
        if name == "usage":
            steps.append(["usage"])
        old = self._top.get(name)
        if type(old) is dict and type(value) is dict and name != "usage":
            self._top[name] = {**old, **to_builtins(value)}
        else:
            self._top[name] = to_builtins(value)

    def _take_choice(self, choice: Any, steps: list[list[Any]]) -> None:
        if type(choice) is not dict:
            raise APIResponseError("a choice in the stream is no object")
        index = choice.get("index", 0)
        state = self._choices.get(index) if type(index) is int else None
        if state is None:
            state = self._choice(index)
        for name, value in choice.items():
            if value is None:
                state.members.setdefault(name, None)
            elif name == "delta":
                state.take(value, steps)
            elif name != "index" and state.take_member(name, value, steps):
                self._open -= 1
                self.complete = not self._open

    def _choice(self, index: Any) -> _Choice:
        if index is None and 0 in self._choices:
            return self._choices[0]
        index = 0 if index is None else index
        if type(index) is not int:
            raise APIResponseError(f"a choice in the stream has the index {index!r}")
        self._open += 1
        self.complete = False
        state = self._choices[index] = _Choice(index)
        return state

    def body(self) -> Json:
        top = self._top
        body: Json = {name: top[name] for name in _HEAD if name in top}
        if body.get("object") == "chat.completion.chunk":
            body["object"] = "chat.completion"
        body["choices"] = [self._choices[index].body() for index in sorted(self._choices)]
        body |= {name: value for name, value in top.items() if name not in body and name not in PADDING}
        whole: Json = to_builtins(body)
        for mend in self._mends:
            _mend(whole, mend)
        return whole

    def cuts(self) -> Cuts:
        ranks = {state.index: rank for state in self._choices.values() if (rank := state.call_ranks())}
        if not ranks:
            return list(self._cuts)
        return [entry if type(entry) is int else [_ranked(step, ranks) for step in entry] for entry in self._cuts]


def _ranked(step: list[Any], ranks: dict[int, dict[int, int]]) -> list[Any]:
    """Return a step with the number of a tool call replaced by its place in the message."""
    if len(step) == 4 and step[1] == "tool_calls" and step[0] in ranks:
        return [*step[:2], ranks[step[0]][step[2]], step[3]]
    return step


class _Choice:
    """One of the `n` answers, as far as it has come."""

    __slots__ = ("calls", "done", "fields", "index", "members", "numbers", "spoke", "texts", "whole")

    def __init__(self, index: int) -> None:
        self.index = index
        self.done = False
        self.spoke = False
        self.whole: Any = None
        self.members: Json = {}
        self.fields: Json = {}
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[int, _Call] = {}
        self.numbers = CallNumbers()

    def take(self, delta: Any, steps: list[list[Any]]) -> None:
        """Take a delta, and note in `steps` what it added."""
        if type(delta) is not dict:
            raise APIResponseError("a delta in the stream is no object")
        self.spoke = True
        texts = self.texts
        for name, value in delta.items():
            if type(value) is str:
                pieces = texts.get(name)
                if pieces is None:
                    self._take_text(name, value, steps)
                else:
                    pieces.append(value)
                    steps.append([self.index, name, len(value)])
            elif value is None:
                self.fields.setdefault(name, None)
            else:
                self._take_field(name, value, steps)

    def _take_text(self, name: str, value: str, steps: list[list[Any]]) -> None:
        if name in LABELS:
            self.fields[name] = self.fields.get(name) or value
        elif type(self.fields.get(name)) is list:
            _extend(self.fields[name], [{"type": "text", "text": value}] if value else [], growing=True)
        else:
            self.fields[name] = None
            self.texts[name] = [value]
            steps.append([self.index, name, len(value)])

    def _take_field(self, name: str, value: Any, steps: list[list[Any]]) -> None:
        if name == "tool_calls" and type(value) is list:
            self._take_calls(value, steps)
        elif type(value) is list:
            self._take_list(name, value, steps)
        else:
            old = self.fields.get(name)
            if name == "function_call" and type(value) is dict and type(value.get("arguments")) is str:
                steps.append([self.index, name, len(value["arguments"])])
            elif old is None:
                steps.append([self.index, name])
            self.texts.pop(name, None)
            self.fields[name] = merged(old, value)

    def _take_list(self, name: str, value: list[Any], steps: list[list[Any]]) -> None:
        said = "".join(self.texts.pop(name, ()))
        items = self.fields.get(name)
        if type(items) is not list:
            items = self.fields[name] = [{"type": "text", "text": said}] if said else []
            steps.append([self.index, name])
        _extend(items, value, growing=name in _GROWING, restated=name in RESTATED)

    def _take_calls(self, pieces: list[Any], steps: list[list[Any]]) -> None:
        if not pieces and self.fields.get("tool_calls") is None:
            self.fields["tool_calls"] = []
        for piece in pieces:
            if type(piece) is not dict:
                raise APIResponseError("a tool call in the stream is no object")
            number = self.numbers.number(piece)
            call = self.calls.get(number)
            if call is None:
                call = self.calls[number] = _Call()
                self.fields["tool_calls"] = None
            steps.append([self.index, "tool_calls", number, call.take(piece)])

    def take_member(self, name: str, value: Any, steps: list[list[Any]]) -> bool:
        """Take a member of the choice beside its delta; say whether it ends the choice."""
        if name == "logprobs" and type(value) is dict:
            self._take_logprobs(value, steps)
            return False
        if name == "message":
            # Perplexity repeats the message so far beside each delta; it counts only where no delta comes.
            self.whole = to_builtins(value)
            return False
        old = self.members.get(name)
        if type(value) is dict and type(old) is dict:
            self.members[name] = {**old, **to_builtins(value)}
        elif value != "" or old is None:
            self.members[name] = to_builtins(value)
        if self.done or not value or name not in {"finish_reason", "finish_details"}:
            return False
        steps.append([self.index, name])
        self.done = True
        return True

    def _take_logprobs(self, value: Json, steps: list[list[Any]]) -> None:
        logprobs = self.members.get("logprobs")
        if type(logprobs) is not dict:
            logprobs = self.members["logprobs"] = {}
        for name, items in value.items():
            if type(items) is list:
                if type(logprobs.get(name)) is not list:
                    logprobs[name] = []
                logprobs[name].extend(to_builtins(items))
                if items:
                    steps.append([self.index, "logprobs", name, len(items)])
            elif items is not None or name not in logprobs:
                logprobs[name] = to_builtins(items)

    def body(self) -> Json:
        choice: Json = {"index": self.index}
        if self.spoke:
            choice["message"] = self._message()
        elif self.whole is not None:
            choice["message"] = self.whole
        choice |= {name: value for name, value in self.members.items() if name not in {"index", "message", "delta"}}
        return choice

    def _message(self) -> Json:
        message: Json = {"role": self.fields.get("role") or "assistant", "content": None}
        message |= {name: value for name, value in self.fields.items() if name != "role"}
        message |= {name: "".join(pieces) for name, pieces in self.texts.items()}
        if self.calls:
            message["tool_calls"] = [self.calls[number].body() for number in sorted(self.calls)]
        return message

    def call_ranks(self) -> dict[int, int] | None:
        """Return the place of each tool call in the message, or None where the numbers are the places."""
        ranks = {number: rank for rank, number in enumerate(sorted(self.calls))}
        return None if all(number == rank for number, rank in ranks.items()) else ranks


class _Call:
    """One tool call, as far as it has come."""

    __slots__ = ("fields", "texts")

    def __init__(self) -> None:
        self.fields: Json = {}
        self.texts: dict[str, list[str]] = {}

    def take(self, piece: Json) -> int:
        """Take a piece and return how many characters of arguments it added."""
        added = 0
        for name, value in piece.items():
            text = _CALL_TEXT.get(name)
            if text is not None and type(value) is dict and type(value.get(text)) is str:
                added = added or len(value[text])
                self.texts.setdefault(name, []).append(value[text])
                if len(value) == 1 and type(self.fields.get(name)) is dict:
                    continue
                _merge_member(self.fields, name, {**value, text: None})
            elif name != "index":
                _merge_member(self.fields, name, value)
        return added

    def body(self) -> Json:
        call = dict(self.fields)
        for name, pieces in self.texts.items():
            if type(call[name]) is dict and call[name].get(_CALL_TEXT[name]) is None:
                call[name] = {**call[name], _CALL_TEXT[name]: "".join(pieces)}
        return call


def merged(old: Any, new: Any, *, growing: bool = False) -> Any:
    """Return what `old` becomes when a stream adds `new`. Changes `old`, keeps nothing of `new`."""
    if type(old) is str and type(new) is str:
        return old + new
    if type(old) is dict and type(new) is dict:
        for name, value in new.items():
            _merge_member(old, name, value, growing=growing)
        return old
    if type(old) is list and type(new) is list:
        _extend(old, new, growing=growing)
        return old
    return to_builtins(new)


def _merge_member(old: Json, name: str, value: Any, *, growing: bool = False) -> None:
    if value is None:
        old.setdefault(name, None)
    elif name in LABELS:
        if not old.get(name):
            old[name] = to_builtins(value)
    else:
        old[name] = merged(old.get(name), value, growing=growing)


def _extend(items: list[Any], new: list[Any], *, growing: bool = False, restated: bool = False) -> None:
    """Add `new` to `items`, each to the one it continues, if there is one."""
    last = items[-1] if items and growing else None
    for item in new:
        known = _continued(items, last, item)
        last = None
        if known is None:
            items.append(to_builtins(item))
        elif restated:
            known |= to_builtins(item)
        else:
            merged(known, item, growing=growing)


def _continued(items: Iterable[Any], last: Any, item: Any) -> Json | None:
    """Return the one of `items` that `item` goes on with, or None when it begins another."""
    if type(item) is not dict:
        return None
    index, kind = item.get("index"), item.get("type")
    if type(index) is int:
        for known in items:
            if type(known) is dict and known.get("index") == index and kind in {None, known.get("type")}:
                return known
        return None
    if type(last) is dict and last.get("type") == kind and _streams(last) and _streams(item):
        return last if not item.get("id") or item.get("id") == last.get("id") else None
    return None


def _streams(item: Json) -> bool:
    """Say whether an item is of a kind that comes in pieces: text, thinking, a summary."""
    return any(name in item for name in ("text", "thinking", "summary"))


def _mend(body: Json, mend: Any) -> None:
    """Set the value at a path of `body`, or take it out where there is none; a path that leads nowhere is left."""
    try:
        path, *value = mend
        *way, name = path
        place: Any = body
        for step in way:
            place = place[step]
        if isinstance(place, dict) and not isinstance(name, str):
            return
        if value:
            place[name] = to_builtins(value[0])
        else:
            del place[name]
    except (TypeError, ValueError, KeyError, IndexError):
        return
