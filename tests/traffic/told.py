"""What an exchange says, in terms that know nothing of the library: for records and for our answers alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Call:
    """One call of a tool."""

    id: str | None = None
    name: str = ""
    arguments: str = ""


@dataclass
class Spoken:
    """One of the `n` answers."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None


@dataclass
class Counts:
    """Tokens, in the meaning that section 3 of the design gives to `usage`."""

    prompt: int
    completion: int
    read: int
    written: int
    reasoning: int


@dataclass
class Told:
    """One answer."""

    spoken: dict[int, Spoken] = field(default_factory=dict)
    model: str | None = None
    usage: Counts | None = None
    raw_usage: Any = None
    """The usage as the vendor sent it, the last word of a stream."""
    body: Json | None = None
    """The body whose every leaf must be found again; gathered from its events for a stream."""
    events: list[Json] = field(default_factory=list)
    """The events of a stream, up to an error."""
    whole: bool = True
    """Whether the answer came to its end."""
    failure: Json | None = None
    """The error that stands inside a 200."""
    status: str | None = None
    """How the vendor itself says the answer ended."""

    def at(self, index: int) -> Spoken:
        """Return the answer with this number, a new one when it is the first word of it."""
        return self.spoken.setdefault(index, Spoken())


def decoded(text: str) -> Any:
    """Return JSON decoded, nothing as an empty object, and what is no JSON as it is."""
    if not text:
        return {}
    try:
        return json.loads(text)
    except ValueError:
        return text


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every value that is no container, with the name of the member that holds it."""
    if isinstance(value, Mapping):
        for key, item in dict.items(value):  # type: ignore[arg-type]  # a record's own `items` is the same
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, json.dumps(value)


def lost(body: Any, kept: Any, renamed: Mapping[str, tuple[str, ...]], said: frozenset[tuple[str, str]]) -> Counter[Any]:
    """Return the leaves of `body` that are nowhere in `kept`, as often as they are missing.

    `renamed` gives the names under which a member may stand; `said` holds leaves that the shape itself says.
    """
    left = Counter(leaves(kept))
    missing: Counter[Any] = Counter()
    for name, value in leaves(body):
        if (name, value) in said:
            continue
        place = next((other for other in (name, *renamed.get(name, ())) if left[other, value] > 0), None)
        if place is None:
            missing[name, value] += 1
        else:
            left[place, value] -= 1
    return missing


def at_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every value that is no container with its path; an empty container counts as a value."""
    if isinstance(value, dict | list) and value:
        for name, item in dict.items(value) if isinstance(value, dict) else enumerate(value):
            yield from at_paths(item, (*path, name))
    else:
        yield path, value


def found(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path of plain JSON, or Ellipsis when there is none."""
    try:
        for step in path:
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return ...
    return value
