"""Which record a call came nearest to, and where it first differs: what replay says of a miss.

Every record carries a short digest of each part of its request (`fingerprint`). An index from digests to
records finds the candidates by their rarest parts, so a miss is explained in well under a millisecond
whether there are ten records or a hundred thousand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ostinato.caching.key import Parts
from ostinato.caching.record import Entry

DIGEST_BYTES = 8
MOST_CANDIDATES = 256

Fingerprint = dict[str, bytes]
"""The digest of each part of a request, by its path, in the order of the request."""


def fingerprint(parts: Parts) -> Fingerprint:
    """Return the digests of a request's parts: where it goes, each field of the body, each message."""
    digests: Fingerprint = {}
    for path, part in parts:
        if path == "messages":
            for index in range(0, len(part), 32):
                digests[f"messages[{index >> 5}]"] = part[index : index + DIGEST_BYTES]
        else:
            digests[path] = hashlib.sha256(part).digest()[:DIGEST_BYTES]
    return digests


class Index:
    """Records by the digests of their parts."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._records: list[tuple[bytes, Fingerprint, str]] = []
        self._holders: dict[tuple[str, bytes], list[int]] = {}
        for entry in entries:
            parts = entry.meta.get("parts")
            if not parts:
                continue
            number = len(self._records)
            self._records.append((entry.key, parts, entry.model))
            for part in parts.items():
                self._holders.setdefault(part, []).append(number)

    def __len__(self) -> int:
        return len(self._records)

    def explain(self, parts: Fingerprint) -> str:
        """Return a sentence that names the nearest record and the first path at which it differs."""
        if not self._records:
            return "the cache holds no record to compare it with"
        key, theirs, model = self._records[self._nearest(parts)]
        path, how = difference(theirs, parts)
        return f"the nearest record is {key.hex()[:16]} of {model}, and the first difference is {path}: {how}"

    def _nearest(self, parts: Fingerprint) -> int:
        holders = sorted((self._holders.get(part, ()) for part in parts.items()), key=len)
        candidates: dict[int, None] = {}
        for numbers in holders:
            candidates.update(dict.fromkeys(numbers[: MOST_CANDIDATES - len(candidates)]))
            if len(candidates) >= MOST_CANDIDATES:
                break
        mine = parts.items()
        return max(candidates or (0,), key=lambda number: len(mine & self._records[number][1].items()))


def difference(recorded: Fingerprint, asked: Fingerprint) -> tuple[str, str]:
    """Return the first path at which two requests differ, and how: `recorded` is the one that was answered."""
    for path, digest in asked.items():
        if path not in recorded:
            return path, "this call has it and the record has not"
        if recorded[path] != digest:
            return path, "its value is another"
    for path in recorded:
        if path not in asked:
            return path, "the record has it and this call has not"
    return "the namespace, seed, sample index or order of names", "every part of the request is the same"
