"""What the cache counts: every call once, as a hit or as a miss with its reason."""

from __future__ import annotations

MISSES = ("absent", "broken", "invalidated", "too_old", "undecryptable")
"""Why a look-up was none."""


class Counters:
    """Counts since the cache was made, of this process.

    Plain integers: in CPython an increment of a slot is not interrupted by another thread.
    """

    __slots__ = (
        "absent",
        "broken",
        "bypassed",
        "hits",
        "invalidated",
        "joins",
        "refresh_errors",
        "refreshes",
        "rejected",
        "stale",
        "store_errors",
        "stored",
        "too_old",
        "undecryptable",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    hits: int
    """Calls answered by an entry."""
    stale: int
    """Hits past their soft ttl."""
    refreshes: int
    """Entries asked anew behind a stale hit."""
    refresh_errors: int
    """Refreshes that brought no answer."""
    absent: int
    """Look-ups that found nothing: never stored, expired or evicted."""
    broken: int
    """Entries that could not be read, or were of another kind."""
    undecryptable: int
    """Entries that no key of this cache opens, or that are not encrypted where they should be."""
    too_old: int
    """Entries older than the call's `s-maxage`."""
    invalidated: int
    """Entries with a tag that was invalidated since."""
    bypassed: int
    """Calls that were not looked up: `no-cache`, server-side tools, a mode that never reads."""
    joins: int
    """Calls that joined an identical one on its way."""
    stored: int
    rejected: int
    """Answers that were not stored: refused, cut, empty."""
    store_errors: int

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, with `misses` in all."""
        counts = {name: getattr(self, name) for name in self.__slots__}
        return {**counts, "misses": sum(getattr(self, name) for name in MISSES)}
