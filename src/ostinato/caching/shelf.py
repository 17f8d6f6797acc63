"""The entries of one cache where they stand: packed, checked and counted. What a call asks of its cache."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ostinato.caching.nearest import Fingerprint, Index
from ostinato.caching.record import Entry, pack, unpack, unpack_own
from ostinato.caching.register import Register, arun, run
from ostinato.caching.tags import Generations, Tags
from ostinato.errors import StoreError, warn

if TYPE_CHECKING:
    from ostinato.caching.counters import Counters
    from ostinato.caching.stores.contract import Store


class Shelf:
    """A store's bytes as entries. Whatever the store does, a call hears of an entry or of none."""

    def __init__(self, store: Store, counters: Counters, clock: Callable[[], float], *, ttl_jitter: float) -> None:
        self.store = store
        self.counters = counters
        self.clock = clock
        self._ttl_jitter = ttl_jitter
        self.tags = Tags(Register(clock))
        self._own = store.process_local
        self._log_store_errors = True
        self._indices: dict[bytes, Index] = {}

    def recall(self, store_key: bytes, kind: str, max_age_s: float | None = None) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses."""
        try:
            blob = self.store.get(store_key)
            if blob is not None and self._own:
                # The shortest way, for what never left this process.
                entry = unpack_own(blob)
                if entry is not None and entry.kind == kind and max_age_s is None and not entry.tags:
                    self.counters.hits += 1
                    return entry
            entry = self._entry(blob, store_key, kind, max_age_s)
            stands = entry is None or not entry.tags or run(self.store, self.tags.stand(store_key[:8], entry.tags))
        except StoreError as error:
            self._store_failed(error)
            return None
        return self._counted(entry, stands=stands)

    async def arecall(self, store_key: bytes, kind: str, max_age_s: float | None = None) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses."""
        if self.store.instant:
            return self.recall(store_key, kind, max_age_s)
        try:
            blob = await self.store.aget(store_key)
            entry = self._entry(blob, store_key, kind, max_age_s)
            stands = (
                entry is None or not entry.tags or await arun(self.store, self.tags.stand(store_key[:8], entry.tags))
            )
        except StoreError as error:
            self._store_failed(error)
            return None
        return self._counted(entry, stands=stands)

    def _entry(self, blob: bytes | None, store_key: bytes, kind: str, max_age_s: float | None) -> Entry | None:
        """Return the entry in `blob` if it is whole, of `kind` and young enough, else count why not."""
        counters = self.counters
        if blob is None:
            counters.absent += 1
            return None
        entry = unpack(blob, store_key[8:])
        if entry is None or entry.kind != kind:
            counters.broken += 1
            return None
        if max_age_s is not None and self.clock() - entry.stored_at > max_age_s:
            counters.too_old += 1
            return None
        return entry

    def _counted(self, entry: Entry | None, *, stands: bool) -> Entry | None:
        if entry is None:
            return None
        if not stands:
            self.counters.invalidated += 1
            return None
        self.counters.hits += 1
        return entry

    def hold(self, scope: bytes, tags: Iterable[str]) -> Generations | None:
        """Return the generations of `tags` for an entry to carry, or None where the store fails."""
        try:
            return run(self.store, self.tags.hold(scope, tags))
        except StoreError as error:
            self._store_failed(error)
            return None

    async def ahold(self, scope: bytes, tags: Iterable[str]) -> Generations | None:
        """Return the generations of `tags` for an entry to carry, or None where the store fails."""
        try:
            return await arun(self.store, self.tags.hold(scope, tags))
        except StoreError as error:
            self._store_failed(error)
            return None

    def keep(self, store_key: bytes, entry: Entry, ttl_s: float | None) -> None:
        """Store `entry`; a failing store is counted and logged once."""
        try:
            self.store.set(store_key, pack(entry), self._jittered(ttl_s))
        except StoreError as error:
            self._store_failed(error)
        else:
            self.counters.stored += 1

    async def akeep(self, store_key: bytes, entry: Entry, ttl_s: float | None) -> None:
        """Store `entry`; a failing store is counted and logged once."""
        try:
            await self.store.aset(store_key, pack(entry), self._jittered(ttl_s))
        except StoreError as error:
            self._store_failed(error)
        else:
            self.counters.stored += 1

    def _jittered(self, ttl_s: float | None) -> float | None:
        if ttl_s is not None and self._ttl_jitter:
            return ttl_s * (1 - self._ttl_jitter * random.random())
        return ttl_s

    def nearest(self, scope: bytes, parts: Fingerprint) -> str:
        """Return a sentence that names the record of `scope` nearest to a request, and the first difference.

        The records are indexed at the first question; those stored later are not among them.
        """
        index = self._indices.get(scope)
        if index is None:
            entries = (unpack(blob, key[8:]) for key, blob in self.store.scan(scope))
            index = self._indices[scope] = Index(entry for entry in entries if entry is not None)
        return index.explain(parts)

    def _store_failed(self, error: StoreError) -> None:
        self.counters.store_errors += 1
        if self._log_store_errors:
            self._log_store_errors = False
            warn("the response cache is failing, calls go on without it: %s", error)
