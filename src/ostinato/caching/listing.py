"""An entry as a listing shows it: everything but what was asked and what was answered."""

from __future__ import annotations

import msgspec

from ostinato.caching.record import Entry


class Listed(msgspec.Struct, frozen=True):
    """One entry."""

    key: str
    """The 64 hex digits of its key, as `response._hidden_params["cache_key"]` says it."""
    scope: str
    """16 hex digits that entries of one tenant, namespace and seed share."""
    kind: str
    """`chat`, `embedding`, or `value` for one of your own."""
    model: str
    """As the call named it; empty for a value."""
    stored_at: float
    """UTC seconds."""
    expires_at: float | None
    """UTC seconds; None: kept until evicted."""
    size_bytes: int
    """What it takes in the store."""
    tags: tuple[str, ...]
    has_request: bool
    """Whether the request is kept beside the answer, as record mode does."""


def listed(store_key: bytes, size_bytes: int, entry: Entry) -> Listed:
    """Return what a listing shows of `entry`."""
    return Listed(
        key=store_key[8:].hex(),
        scope=store_key[:8].hex(),
        kind=entry.kind,
        model=entry.model,
        stored_at=entry.stored_at,
        expires_at=entry.expires_at,
        size_bytes=size_bytes,
        tags=tuple(entry.tags or ()),
        has_request="request" in entry.meta,
    )
