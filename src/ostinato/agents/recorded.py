"""What no vendor answered but belongs to a conversation all the same: kept in its cache, and repeated with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.agents.steps import Do, Steps
from ostinato.errors import ReplayMissError

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache


def name_of(kind: str, *parts: Any) -> str:
    """Return the name under which a value is kept that depends on all these parts."""
    encoded = msgspec.json.encode(parts, enc_hook=repr, order="deterministic")
    return f"{kind}:{hashlib.sha256(encoded).hexdigest()}"


def recorded(
    cache: Cache | None,
    name: str,
    fresh: Callable[[], Steps[Any]],
    *,
    missed: str,
    reads: bool = True,
    as_json: Callable[[Any], Any] = lambda value: value,
) -> Steps[tuple[Any, bool]]:
    """Return the value kept under `name` and True; else what `fresh` brings and False, once it is kept.

    Args:
        cache: where; None: it is neither read nor kept.
        name: what the value depends on; see `name_of`.
        fresh: brings the value where it is not there.
        missed: what is wrong where it is not there and the cache only replays.
        reads: whether the cache may answer.
        as_json: what is kept of a fresh value; None: nothing.

    Raises: ReplayMissError: the cache only replays, and has no such value.
    """
    if cache is None:
        return (yield from fresh()), False
    if reads and cache.mode != "record":
        kept = yield Do(cache.get, cache.aget, (name,))
        if kept is not None:
            return kept, True
    if cache.mode == "replay":
        raise ReplayMissError(missed)
    value = yield from fresh()
    keeps = as_json(value)
    if keeps is not None:
        yield Do(cache.set, cache.aset, (name, keeps))
    return value, False
