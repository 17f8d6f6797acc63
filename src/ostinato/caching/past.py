"""What a cache remembers of what it kept: enough to say why something is not there any more."""

from __future__ import annotations

from math import inf
from typing import Literal

Miss = Literal["new", "expired", "evicted"]
"""Why a look-up found nothing: never kept here, older than its own or the call's limit, or pushed out."""

_MOST = 8192
"""Keys that are remembered, of about 150 bytes each; the oldest are forgotten first, and read as new."""


class Past:
    """When the latest keys were kept, and until when. It only ever explains, and decides nothing."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[bytes, float | tuple[float, float]] = {}

    def kept(self, key: bytes, at: float, until: float | None) -> None:
        """Remember that `key` was kept at a time, until a time or until evicted (None)."""
        kept = self._kept
        kept.pop(key, None)
        kept[key] = at if until is None else (at, until)
        if len(kept) > _MOST:
            kept.pop(next(iter(kept), b""), None)

    def why(self, key: bytes, now: float, max_age_s: float | None = None) -> Miss:
        """Return why a look-up of `key` found nothing."""
        found = self._kept.get(key)
        if found is None:
            return "new"
        at, until = found if isinstance(found, tuple) else (found, inf)
        if until <= now or (max_age_s is not None and now - at > max_age_s):
            return "expired"
        return "evicted"

    def forget(self, prefix: bytes) -> None:
        """Forget the keys that begin with `prefix`: they were taken away on purpose."""
        for key in [key for key in list(self._kept) if key.startswith(prefix)]:
            self._kept.pop(key, None)
