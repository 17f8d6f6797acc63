"""The entries of one cache where they stand: packed, checked and counted. What a call asks of its cache."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ostinato.caching.nearest import Fingerprint, Index
from ostinato.caching.past import Miss, Past
from ostinato.caching.record import Entry, pack, unpack, unpack_own
from ostinato.caching.register import FACT, Register, Steps, arun, run
from ostinato.caching.seal import SEALED, SHREDDINGS, Seal
from ostinato.caching.stores.leases import Lead, Leasing, Live
from ostinato.caching.tags import Generations, Tags
from ostinato.errors import StoreError, warn

if TYPE_CHECKING:
    from ostinato.caching.abroad import Abroad
    from ostinato.caching.counters import Counters
    from ostinato.caching.seal import DataKey, Keys
    from ostinato.caching.stores.contract import Store
    from ostinato.caching.stores.leases import Leases

_chance = random.SystemRandom().random  # a seed of the program makes no two processes alike, nor is it drawn from

Standing = Entry | Lead | Live | None
"""Where a call stands with a store that has leases; None: the store is failing."""


class Shelf:
    """A store's bytes as entries. Whatever the store does, a call hears of an entry or of none."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        clock: Callable[[], float],
        *,
        ttl_jitter: float,
        stall_s: float,
        encryption_key: Keys | None = None,
    ) -> None:
        self.store = store
        self.counters = counters
        self.clock = clock
        self._ttl_jitter = ttl_jitter
        self.register = Register(clock)
        self.tags = Tags(self.register)
        self.seal = None if encryption_key is None else Seal(encryption_key, self.register)
        self.past = Past()
        """What was kept here, to say why it is gone."""
        self._own = store.process_local
        self._log_store_errors = True
        self._indices: dict[bytes, Index] = {}
        self.abroad: Abroad | None = None
        """What this process tells others of its flights, and hears of theirs; None: the store has no leases."""
        leases = store.leases if isinstance(store, Leasing) else None
        if leases is not None:
            from ostinato.caching.abroad import Abroad  # a cache in memory does without
            from ostinato.caching.envelope import Envelope

            envelope = None if self.seal is None else Envelope(store, self.seal)
            self.abroad = Abroad(leases, counters, self._store_failed, stall_s=stall_s, envelope=envelope)

    def recall(
        self, store_key: bytes, kind: str, max_age_s: float | None = None, *, counts_miss: bool = True
    ) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses.

        `counts_miss`: not where the same call looks more than once.
        """
        try:
            blob = None if self.abroad is None else self.abroad.landing.get(store_key)
            blob = blob or self.store.get(store_key)
            if blob is None:
                self.counters.absent += counts_miss
                return None
            if self.seal is None:
                entry = unpack_own(blob) if self._own else unpack(blob, store_key[8:])
                if entry is not None and entry.kind == kind and max_age_s is None and entry.tags is None:
                    self.counters.hits += 1
                    return entry
            return run(self.store, self._judged(blob, store_key, kind, max_age_s, counts_miss=counts_miss))
        except StoreError as error:
            self._store_failed(error)
            return None

    async def arecall(
        self, store_key: bytes, kind: str, max_age_s: float | None = None, *, counts_miss: bool = True
    ) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses.

        `counts_miss`: not where the same call looks more than once.
        """
        if self.store.instant:
            return self.recall(store_key, kind, max_age_s, counts_miss=counts_miss)
        try:
            blob = None if self.abroad is None else self.abroad.landing.get(store_key)
            blob = blob or await self.store.aget(store_key)
            if blob is None:
                self.counters.absent += counts_miss
                return None
            if self.seal is None:
                entry = unpack_own(blob) if self._own else unpack(blob, store_key[8:])
                if entry is not None and entry.kind == kind and max_age_s is None and entry.tags is None:
                    self.counters.hits += 1
                    return entry
            return await arun(self.store, self._judged(blob, store_key, kind, max_age_s, counts_miss=counts_miss))
        except StoreError as error:
            self._store_failed(error)
            return None

    def _judged(
        self, blob: bytes, store_key: bytes, kind: str, max_age_s: float | None, *, counts_miss: bool
    ) -> Steps[Entry | None]:
        """Return the entry in `blob` if it answers, and count why not."""
        counters = self.counters
        entry = yield from self.entry_in(blob, store_key)
        if entry is None:
            if self.seal is not None or blob.startswith(SEALED):
                counters.undecryptable += counts_miss
            else:
                counters.broken += counts_miss
        elif entry.kind != kind:
            counters.broken += counts_miss
        elif max_age_s is not None and self.clock() - entry.stored_at > max_age_s:
            counters.too_old += counts_miss
            self.past.kept(store_key, entry.stored_at, None)
        elif entry.tags is not None and not (yield from self.tags.stand(store_key[:8], entry.tags)):
            counters.invalidated += counts_miss
        else:
            counters.hits += 1
            return entry
        return None

    def entry_in(self, blob: bytes, store_key: bytes) -> Steps[Entry | None]:
        """Return what was stored as `blob` under `store_key`, or None when that cannot be read."""
        packed: bytes | None = blob
        if self.seal is not None:
            packed = yield from self.seal.open(store_key, blob)
        return None if packed is None else unpack(packed, store_key[8:])

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

    def ready(self, scope: bytes) -> DataKey | None:
        """Return what entries of `scope` are encrypted with; None where nothing is, or the store fails."""
        try:
            return None if self.seal is None else run(self.store, self.seal.ready(scope))
        except StoreError as error:
            self._store_failed(error)
            return None

    async def aready(self, scope: bytes) -> DataKey | None:
        """Return what entries of `scope` are encrypted with; None where nothing is, or the store fails."""
        try:
            return None if self.seal is None else await arun(self.store, self.seal.ready(scope))
        except StoreError as error:
            self._store_failed(error)
            return None

    def keep(self, store_key: bytes, entry: Entry, ttl_s: float | None, data_key: DataKey | None = None) -> None:
        """Store `entry` for `ttl_s` seconds, or less by `ttl_jitter`; a failing store is counted and logged once."""
        entry, ttl_s = self._timed(entry, ttl_s)
        try:
            blob = run(self.store, self.blob_of(store_key, entry, data_key))
            self.store.set(store_key, blob, ttl_s)
        except StoreError as error:
            self._store_failed(error)
        else:
            self._stored(store_key, entry)

    def land(self, lease: Lead, entry: Entry, ttl_s: float | None, data_key: DataKey | None = None) -> None:
        """Have `entry` stored as `keep` does, behind the caller, if the lease still holds then."""
        assert self.abroad is not None  # noqa: S101  # only a leased flight lands under one
        entry, ttl_s = self._timed(entry, ttl_s)
        try:
            blob = run(self.store, self.blob_of(lease.key, entry, data_key))
        except StoreError as error:
            self._store_failed(error)
        else:
            self.abroad.courier.keep(lease, blob, ttl_s)
            self.past.kept(lease.key, entry.stored_at, entry.expires_at)

    async def akeep(self, store_key: bytes, entry: Entry, ttl_s: float | None, data_key: DataKey | None = None) -> None:
        """Store `entry` for `ttl_s` seconds, or less by `ttl_jitter`; a failing store is counted and logged once."""
        entry, ttl_s = self._timed(entry, ttl_s)
        try:
            blob = await arun(self.store, self.blob_of(store_key, entry, data_key))
            await self.store.aset(store_key, blob, ttl_s)
        except StoreError as error:
            self._store_failed(error)
        else:
            self._stored(store_key, entry)

    def blob_of(self, store_key: bytes, entry: Entry, data_key: DataKey | None = None) -> Steps[bytes]:
        """Return `entry` as it is stored under `store_key`."""
        if self.seal is not None:
            # Not compressed: how well an answer shrinks would be told by its size.
            return (yield from self.seal.seal(store_key, pack(entry), data_key))
        return pack(entry, squeeze=not self.store.process_local)

    def _stored(self, store_key: bytes, entry: Entry) -> None:
        self.counters.stored += 1
        self.past.kept(store_key, entry.stored_at, entry.expires_at)

    def _why_missed(self, store_key: bytes, max_age_s: float | None = None) -> Miss:
        """Return why a look-up just now found nothing, as far as this process knows."""
        return self.past.why(store_key, self.clock(), max_age_s)

    def _timed(self, entry: Entry, ttl_s: float | None) -> tuple[Entry, float | None]:
        """Return `entry` with the end of its life in it, and how long that is, cut by chance where that is wanted."""
        if ttl_s is None:
            return entry, None
        if self._ttl_jitter:
            ttl_s *= 1 - self._ttl_jitter * _chance()
        return replace(entry, expires_at=entry.stored_at + ttl_s), ttl_s

    def walk(self, scope: bytes = b"") -> Iterator[tuple[bytes, int, Entry | None]]:
        """Yield the key of each entry that starts with `scope`, its size in the store, and itself.

        In place of an entry that cannot be read here is None.

        Raises: StoreError: the store could not go on.
        """
        self.settle()
        for store_key, blob in self.store.scan(scope):
            if not blob.startswith(FACT):
                yield store_key, len(blob), run(self.store, self.entry_in(blob, store_key))

    def clear_all(self) -> int:
        """Remove everything, whatever cache it is of; but not the word of what was shredded."""
        self.settle()
        kept = list(self.store.scan(SHREDDINGS))
        count = self.store.clear() - len(kept)
        for key, value in kept:
            self.store.set(key, value)
        self.store.flush()
        return count

    def stands(self, store_key: bytes, entry: Entry) -> bool:
        """Return whether no tag of `entry` was invalidated."""
        return entry.tags is None or run(self.store, self.tags.stand(store_key[:8], entry.tags))

    def nearest(self, scope: bytes, parts: Fingerprint) -> str:
        """Return a sentence that names the record of `scope` nearest to a request, and the first difference.

        The records are indexed at the first question; those stored later are not among them.
        """
        index = self._indices.get(scope)
        if index is None:
            entries = (entry for _, _, entry in self.walk(scope) if entry is not None)
            index = self._indices[scope] = Index(entries)
        return index.explain(parts)

    def claim(
        self, store_key: bytes, kind: str, max_age_s: float | None, *, over: bool, again: bool = False
    ) -> Standing:
        """Return the entry that answers, unless it is to be replaced (`over`); else who asks for it."""
        try:
            claimed = self._leases.claim(store_key, over=over, again=again)
            if isinstance(claimed, bytes):
                entry = run(self.store, self._judged(claimed, store_key, kind, max_age_s, counts_miss=False))
                if entry is not None:
                    return entry
                claimed = self._leases.claim(store_key, over=True, again=again)
        except StoreError as error:
            self._store_failed(error)
            return None
        return None if isinstance(claimed, bytes) else claimed

    async def aclaim(
        self, store_key: bytes, kind: str, max_age_s: float | None, *, over: bool, again: bool = False
    ) -> Standing:
        """Return the entry that answers, unless it is to be replaced (`over`); else who asks for it."""
        try:
            claimed = await self._leases.aclaim(store_key, over=over, again=again)
            if isinstance(claimed, bytes):
                entry = await arun(self.store, self._judged(claimed, store_key, kind, max_age_s, counts_miss=False))
                if entry is not None:
                    return entry
                claimed = await self._leases.aclaim(store_key, over=True, again=again)
        except StoreError as error:
            self._store_failed(error)
            return None
        return None if isinstance(claimed, bytes) else claimed

    @property
    def _leases(self) -> Leases:
        assert self.abroad is not None  # noqa: S101  # only a leased flight claims
        return self.abroad.leases

    def settle(self) -> None:
        """Have in the store what has landed."""
        if self.abroad is not None:
            self.abroad.flush()

    async def asettle(self) -> None:
        """Have in the store what has landed."""
        if self.abroad is not None and self.abroad.landing:
            import asyncio  # the caller's loop has loaded it

            await asyncio.to_thread(self.abroad.flush)

    def _store_failed(self, error: StoreError) -> None:
        self.counters.store_errors += 1
        if self._log_store_errors and not error.logged:
            self._log_store_errors = False
            warn("the response cache is failing, calls go on without it: %s", error)
