"""Marks placed by themselves: `prompt_caching="auto"`.

Where the marks go, four at most:

- the last tool and the end of the opening system prompt: what calls of different conversations share;
- the end of the prompt, and the end of the prompt of the turn before. The turn before wrote up to there, so all that
  it wrote is found at once, however many blocks came since: a mark alone finds entries only 20 blocks back.

The last two are placed where a conversation goes on: it has tools, or has been answered before. A question that stands
alone would pay for a write that nobody reads.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.wire.bedrock_converse.models import traits_of
from ostinato.wire.openai_chat.breakpoints import takes_breakpoints
from ostinato.wire.openai_chat.marks import takes_marks

if TYPE_CHECKING:
    from ostinato.providers import Found

MARK = "cache_control"
TTLS = ("5m", "1h")
USUAL_MINIMUM = 1024
"""Tokens that a prefix must have to be kept, where the model's own minimum is not known."""
UNSEEN_TOKENS = 1000
"""What a vendor may say to a model by itself, at most: the instructions about tools, above all."""

_OPENING = frozenset({"system", "developer"})
_Placed = tuple[Any, dict[str, Any]]


class Taken(msgspec.Struct, frozen=True):
    """Where a model takes marks."""

    tools: bool = True
    results: bool = True
    """Whether a mark may stand on a tool's result."""
    turns: bool = True
    """Whether marks belong in the conversation, and not only at its head."""


def place_auto(messages: Any, params: dict[str, Any], found: Found, minimum: Callable[[], int | None]) -> _Placed:
    """Return `messages` and `params` with the marks that `params["prompt_caching"]` asks for.

    Nothing is marked where the caller has placed a mark of his own, for models that take none, and where the prompt
    is certainly shorter than what is kept.

    Raises: ConfigurationError: it asks for something else than marks.
    """
    mark = mark_of(params["prompt_caching"])
    taken = taken_by(found) if mark is not None else None
    if taken is None or not isinstance(messages, list | tuple) or _is_marked(messages, params):
        return messages, params
    at_least = minimum() or USUAL_MINIMUM
    tools = _items(params.get("tools"))
    size = _size(tools) + UNSEEN_TOKENS if tools else 0
    if taken.tools and size >= at_least and isinstance(tools[-1], Mapping):
        params = {**params, "tools": [*tools[:-1], {**tools[-1], MARK: mark}]}
    long_from = _long_from(messages, at_least - size)
    marked = list(messages)
    for index in {*_heads(messages), *_ends(messages, taken, goes_on=bool(tools))}:
        if index >= long_from:
            marked[index] = {**messages[index], MARK: mark}
    return marked, params


def mark_of(asked: Any) -> dict[str, str] | None:
    """Return the mark that `prompt_caching` asks for, or None for none.

    Raises: ConfigurationError: it is none of "auto", {"ttl": "5m"} and {"ttl": "1h"}.
    """
    if asked is None or asked is False:
        return None
    if asked == "auto":
        return {"type": "ephemeral"}
    ttl = asked.get("ttl") if isinstance(asked, Mapping) and len(asked) == 1 else None
    if isinstance(ttl, str) and ttl in TTLS:
        return {"type": "ephemeral", "ttl": ttl}
    raise ConfigurationError(f"prompt_caching is 'auto', or {{'ttl': '5m'}} or {{'ttl': '1h'}}, not {asked!r}")


def taken_by(found: Found) -> Taken | None:
    """Return where a model takes marks, or None where it takes none or needs none."""
    match found.wire:
        case "anthropic" | "bedrock_invoke":
            return Taken()
        case "bedrock_converse":
            traits = traits_of(found.name)
            return Taken(tools=traits.caches_tools, results=traits.caches_tools) if traits.caches else None
        case "openai_chat" if takes_marks(found.provider.name, found.name):
            return Taken()
        case "openai_chat" if found.provider.name == "openai" and takes_breakpoints(found.name):
            # The vendor marks the end of the conversation by itself, and tools take no mark.
            return Taken(tools=False, turns=False)
    return None


def _long_from(messages: Sequence[Any], least: int) -> int:
    """Return the first message at whose end the prompt may have as many tokens as are needed."""
    for index, message in enumerate(messages):
        least -= _size(message)
        if least <= 0:
            return index
    return len(messages)


def _heads(messages: Sequence[Any]) -> list[int]:
    """Return the place of the last of the instructions that the conversation opens with."""
    opening = next((at for at, message in enumerate(messages) if _role(message) not in _OPENING), len(messages))
    return [opening - 1] if opening and _fits(messages[opening - 1]) else []


def _ends(messages: Sequence[Any], taken: Taken, *, goes_on: bool) -> list[int]:
    """Return where this prompt ends, and where that of the turn before did."""
    answered = [at for at, message in enumerate(messages) if _role(message) == "assistant"]
    if not taken.turns or not (goes_on or answered):
        return []
    closed = answered[-1] if answered else 0
    ends = _end(messages, len(messages), taken), _end(messages, closed, taken)
    return [end for end in ends if end is not None]


def _end(messages: Sequence[Any], stop: int, taken: Taken) -> int | None:
    """Return the place of the last message before `stop` that can close what is kept."""
    closing = {"user", "tool", "function"} if taken.results else {"user", "assistant"}
    places = range(stop - 1, -1, -1)
    return next((at for at in places if _role(messages[at]) in closing and _fits(messages[at])), None)


def _fits(message: Any) -> bool:
    return isinstance(message, Mapping) and (bool(message.get("content")) or bool(message.get("tool_calls")))


def _role(message: Any) -> str | None:
    role = message.get("role") if isinstance(message, Mapping) else getattr(message, "role", None)
    return role if isinstance(role, str) else None


def _is_marked(messages: Sequence[Any], params: Mapping[str, Any]) -> bool:
    """Say whether the caller has marked anything: then he knows better."""
    return params.get(MARK) is not None or any(map(_has_mark, [*messages, *_items(params.get("tools"))]))


def _has_mark(item: Any) -> bool:
    if not isinstance(item, Mapping):
        return False
    if item.get(MARK) is not None or item.get("prompt_cache_breakpoint") is not None:
        return True
    inner = [*_items(item.get("content")), *_items(item.get("tool_calls")), item.get("function")]
    return any(map(_has_mark, inner))


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _size(value: Any) -> int:
    """Return no fewer bytes than a value has tokens: a token is a byte at least. What is no text may be anything."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    if isinstance(value, Mapping):
        if value.get("type") in ("image_url", "file", "input_audio", "image", "document"):
            return 1_000_000
        return sum(len(str(name)) + 10 + _size(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 1_000_000 if hasattr(value, "model_dump") else 10
