"""Why a prompt cache missed: two calls, laid beside each other as the vendor reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ostinato.prompt_cache.prefix import BYTES_PER_TOKEN, Piece, Prefix, prefix_of

Cause = Literal[
    "model",
    "setting",
    "tools_added",
    "tools_removed",
    "tools_order",
    "tool_changed",
    "key_order",
    "system_changed",
    "message_changed",
    "history_cut",
    "not_marked_before",
    "not_marked_now",
    "marked_behind",
    "too_far_back",
    "below_minimum",
    "expired",
]

ADVICE: Mapping[Cause, str] = {
    "model": "A prompt is kept for one model. Keep a conversation on the model that it began with.",
    "setting": "This setting is a part of what is kept. Keep it the same from call to call.",
    "tools_added": "Tools stand before all else. Send every tool from the first call on.",
    "tools_removed": "Tools stand before all else. Keep them, and say in tool_choice which may be called.",
    "tools_order": "Tools stand before all else. Sort them.",
    "tool_changed": "Tools stand before all else. Keep what changes out of their descriptions.",
    "key_order": "It is the same but for the order of names in its JSON. Build it the same way each time.",
    "system_changed": "Instructions stand before the conversation. Move what changes behind it, into the last message.",
    "message_changed": "What was said once must stay as it was. Append to a conversation, and change nothing in it.",
    "history_cut": "Cutting the oldest messages changes the beginning. Cut rarely and much, or summarise at the end.",
    "not_marked_before": 'This vendor keeps what is marked. Mark the prompt, or pass prompt_caching="auto".',
    "not_marked_now": 'This vendor looks up what is marked. Mark the prompt, or pass prompt_caching="auto".',
    "marked_behind": 'What both share was not kept by itself. Mark its end, or pass prompt_caching="auto".',
    "too_far_back": "A mark finds entries no more than 20 blocks back. Mark the end of the turn before as well.",
    "below_minimum": "What was marked is too short to be kept. Put more before the mark, or leave it out.",
    "expired": "It was kept no longer. Ask again sooner, or mark with a ttl of 1h.",
}
"""What to do about each cause."""

LOOK_BACK = 20
"""How many blocks an entry may lie back from a mark, the mark's own included.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22)."""
_TTLS = {"5m": 300, "30m": 1800, "1h": 3600, "12h": 43_200}
_ORDER = {"setting": 0, "tools": 1, "system": 2, "messages": 3}
_ABOUT = 24
"""How many characters are shown before and behind a difference."""
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}|[0-9a-f]{16,}"
_TIME = r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b1[6-9]\d{8}"
_VOLATILE = (
    ("an id", re.compile(_ID, re.IGNORECASE)),
    ("a time", re.compile(_TIME, re.IGNORECASE)),
    ("a number", re.compile(r"\d")),
)
"""What changes from call to call, by how it looks."""


class Explanation(msgspec.Struct, frozen=True):
    """Why a call did not read all that the call before it wrote, or that it should have."""

    cause: Cause | None
    """None where all that was written can be read."""
    path: str = ""
    """Where in the vendor's request the two calls first differ."""
    before: str = ""
    """What stood there, with a few characters around it."""
    now: str = ""
    """What stands there."""
    looks_like: str = ""
    """What changed, where it looks like something that always does: an id, a time, a number."""
    readable_tokens: int = 0
    """About how many tokens can be read still."""
    written_tokens: int = 0
    """About how many tokens the call before wrote or had read."""

    @property
    def advice(self) -> str:
        """What to do about it; empty where there is nothing to do."""
        return "" if self.cause is None else ADVICE[self.cause]

    def __str__(self) -> str:
        share = f"about {self.readable_tokens:,} of {self.written_tokens:,} tokens can be read"
        if self.cause is None:
            return f"nothing is in the way: {share}"
        said = [f"{self.cause}{f' at {self.path}' if self.path else ''}: {share}"]
        if self.before or self.now:
            said += [f"  before: {self.before!r}", f"  now:    {self.now!r}"]
        if self.looks_like:
            said.append(f"  It looks like {self.looks_like}.")
        return "\n".join([*said, f"  {self.advice}"])


def explain(before: Mapping[str, Any], now: Mapping[str, Any], *, seconds_between: float | None = None) -> Explanation:
    """Say why the call `now` reads less from the vendor's prompt cache than the call `before` it wrote.

    Nothing is asked of the vendor: the requests are built and laid beside each other by its rules. Tokens are
    estimates, from the length of the text.

    Args:
        before: a call in the words of `completion`: `model`, `messages`, `tools` …
        now: the call after it.
        seconds_between: how long after it, where that may have been too long.

    Raises: ConfigurationError, BadRequestError: one of them is no call.
    """
    one, other = prefix_of(before), prefix_of(now)
    shared = _shared(one, other)
    if (one.found.provider.name, one.found.name) != (other.found.provider.name, other.found.name):
        names = f"{one.found.provider.name}/{one.found.name}", f"{other.found.provider.name}/{other.found.name}"
        return Explanation("model", "model", *names, written_tokens=_written(one))
    if one.marked or other.marked:
        return _explain_marked(one, other, shared, seconds_between)
    return _explain_automatic(one, other, shared)


def _explain_automatic(one: Prefix, other: Prefix, shared: int) -> Explanation:
    """Explain where beginnings are kept without marks."""
    written, readable = _written(one), one.tokens(shared)
    if written < one.minimum:
        return Explanation("below_minimum", written_tokens=written)
    if shared == len(one.pieces):
        return Explanation(None, readable_tokens=readable, written_tokens=written)
    if shared < len(other.pieces):
        # Text is kept up to any place in it.
        readable += _alike(one.pieces[shared].text, other.pieces[shared].text) // BYTES_PER_TOKEN
    return _difference(one, other, shared, (readable if readable >= one.minimum else 0, written))


def _explain_marked(one: Prefix, other: Prefix, shared: int, seconds: float | None) -> Explanation:
    """Explain where beginnings are kept up to marks."""
    written = _written(one)
    if not one.marks:
        return Explanation("not_marked_before")
    entries = [end for end in one.marks if one.tokens(end + 1) >= one.minimum]
    if not entries:
        return Explanation("below_minimum", written_tokens=written)
    if not other.marks:
        return Explanation("not_marked_now", written_tokens=written)
    alive = [end for end in entries if seconds is None or seconds < _TTLS.get(one.marks[end], seconds + 1)]
    if not alive:
        return Explanation("expired", written_tokens=written)
    whole = [end for end in alive if end < shared]
    found = [end for end in whole if any(_blocks_between(other, end, mark) < LOOK_BACK for mark in other.marks)]
    readable = one.tokens(max(found) + 1) if found else 0

    def told(cause: Cause | None, path: str = "") -> Explanation:
        return Explanation(cause, path, readable_tokens=readable, written_tokens=written)

    if found and max(found) == max(entries):
        return told(None)
    if whole and (not found or max(found) < max(whole)):
        return told("too_far_back", other.pieces[max(whole)].path)
    if max(entries) < shared:
        return told("expired")
    if not whole and _is_another_conversation(one, shared) and one.tokens(shared) >= one.minimum:
        return told("marked_behind", one.pieces[shared - 1].path)
    return _difference(one, other, shared, (readable, written))


def _blocks_between(prefix: Prefix, end: int, mark: int) -> int:
    """Return how many blocks an entry lies back from a mark; very many where it lies behind it."""
    if mark < end:
        return LOOK_BACK
    return sum(piece.level != "setting" for piece in prefix.pieces[end:mark])


def _written(one: Prefix) -> int:
    end = max(one.marks, default=-1) + 1 if one.marked else len(one.pieces)
    return one.tokens(end)


def _shared(one: Prefix, other: Prefix) -> int:
    """Return with how many equal pieces both begin."""
    pairs = zip(one.pieces, other.pieces, strict=False)
    return next(
        (
            at
            for at, (piece, now) in enumerate(pairs)
            if (piece.level, piece.name, piece.text) != (now.level, now.name, now.text)
        ),
        min(len(one.pieces), len(other.pieces)),
    )


def _is_another_conversation(one: Prefix, shared: int) -> bool:
    """Say whether the difference is the first thing that was said."""
    return not any(piece.level == "messages" for piece in one.pieces[:shared])


def _difference(one: Prefix, other: Prefix, at: int, tokens: tuple[int, int]) -> Explanation:
    """Name the first difference; `tokens` are those that can be read and those that were written."""
    piece = one.pieces[at] if at < len(one.pieces) else None
    now = other.pieces[at] if at < len(other.pieces) else None
    if piece is not None and now is not None and piece.level != now.level:
        # One of them has something here that the other has not: a setting, a tool, a block of instructions.
        earlier = min((piece, now), key=lambda each: _ORDER[each.level])
        piece, now = (piece, None) if earlier is piece else (None, now)
    shown = piece or now
    assert shown is not None  # noqa: S101  # one of them goes on, or there was no difference
    cause: Cause
    if shown.level == "tools":
        cause = _of_tools(one, other, piece, now)
    elif shown.level == "setting":
        cause = "setting"
    elif piece is not None and now is not None and piece.order_free == now.order_free:
        cause = "key_order"
    elif shown.level == "system":
        cause = "system_changed"
    else:
        cause = "history_cut" if _is_cut(one, other, at) else "message_changed"
    texts = (piece.text if piece else "", now.text if now else "")
    before, after, changed = _shown(*texts)
    looks = next((what for what, pattern in _VOLATILE if all(map(pattern.search, changed))), "")
    if cause in {"tools_added", "tools_removed", "tools_order", "history_cut", "setting", "key_order"}:
        looks = ""
    return Explanation(cause, shown.path, before, after, looks, *tokens)


def _of_tools(one: Prefix, other: Prefix, piece: Piece | None, now: Piece | None) -> Cause:
    had, has = (Counter(each.name for each in prefix.pieces if each.level == "tools") for prefix in (one, other))
    if has - had and not had - has:
        return "tools_added"
    if had - has:
        return "tools_removed"
    if piece is not None and now is not None and piece.name == now.name:
        return "key_order" if piece.order_free == now.order_free else "tool_changed"
    return "tools_order"


def _is_cut(one: Prefix, other: Prefix, at: int) -> bool:
    """Say whether what stands now at the difference stood further behind, and goes on as it did there."""
    rest = [(piece.name, piece.text) for piece in other.pieces[at:]]
    had = [(piece.name, piece.text) for piece in one.pieces]
    return any(had[start:] == rest[: len(had) - start] for start in range(at + 1, len(had)))


def _shown(before: str, now: str) -> tuple[str, str, tuple[str, str]]:
    """Return both texts around their first difference, and what differs, whole words."""
    same = _alike(before, now)
    start = same
    while start and not before[start - 1].isspace():
        start -= 1
    first, last = max(0, same - _ABOUT), same + _ABOUT
    shown = [f"{'…' * bool(first)}{text[first:last]}{'…' * (len(text) > last)}" for text in (before, now)]
    words = [text[start : start + 40] for text in (before, now)]
    return shown[0], shown[1], (words[0], words[1])


def _alike(one: str, other: str) -> int:
    """Return with how many equal characters both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
