"""A call's place in its cache: which entry it is, and what it may do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.nearest import fingerprint
from ostinato.caching.record import Entry
from ostinato.errors import ReplayMissError, StoreError

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.key import Parts
    from ostinato.caching.leased_flight import LeasedFlight
    from ostinato.caching.moves import Keep
    from ostinato.caching.past import Miss
    from ostinato.caching.policy import Policy
    from ostinato.caching.seal import DataKey
    from ostinato.caching.shelf import Standing
    from ostinato.caching.stores.leases import Lead
    from ostinato.caching.tags import Generations
    from ostinato.wire.contract import Cuts, Json, Wire

_encode = msgspec.json.Encoder().encode


class Seat:
    """One call in one cache."""

    __slots__ = (
        "alone",
        "cache",
        "data_key",
        "failing",
        "kind",
        "miss",
        "model",
        "parts",
        "policy",
        "request",
        "spared",
        "store_key",
        "tags",
        "wire",
    )

    def __init__(self, cache: Cache, policy: Policy, store_key: bytes, kind: str, wire: str, model: str) -> None:
        self.cache = cache
        self.policy = policy
        self.store_key = store_key
        self.kind = kind
        self.wire = wire
        self.model = model
        self.alone = False
        """Whether other processes may ask for the same in another wire: then none follows another."""
        self.spared = False
        """Whether this call has found nothing just now, so that its next look can be spared."""
        self.failing = False
        """Whether the store failed this call, which asks it nothing more then: a call waits for one deadline."""
        self.parts: Parts = []
        """The request in normal form, to be told apart by in replay mode."""
        self.request: Json | None = None
        """The request to store beside the answer, in record mode."""
        self.miss: Miss = "new"
        """Why the last look-up found nothing."""
        self.tags: Generations | None = None
        """The generations of the call's tags from before it went upstream."""
        self.data_key: DataKey | None = None
        """What the answer is to be encrypted with, from then as well: shredding reaches answers on their way."""

    @property
    def key(self) -> bytes:
        """The 32 bytes of the call's key."""
        return self.store_key[8:]

    @property
    def prepares(self) -> bool:
        """Whether a look-up does more than to read: what the answer is stored with comes from the store, too."""
        return self.policy.write and (bool(self.policy.tags) or self.cache.shelf.seal is not None)

    @property
    def shares(self) -> bool:
        """Whether this call may lead for other processes, and follow them."""
        return self.policy.read and self.policy.write and not self.alone and not self.failing

    def claim(self, *, anew: bool, again: bool) -> Standing:
        """Return the entry that answers, the lead, somebody's live stream, or None: the store is failing.

        With `anew` no entry answers. `again`: this call has followed a leader that is gone.
        """
        return self.cache.shelf.claim(self.store_key, self.kind, self.policy.max_age_s, over=anew, again=again)

    async def aclaim(self, *, anew: bool, again: bool) -> Standing:
        """Return the entry that answers, the lead, somebody's live stream, or None: the store is failing."""
        return await self.cache.shelf.aclaim(self.store_key, self.kind, self.policy.max_age_s, over=anew, again=again)

    def settle(self, flight: LeasedFlight, token: int, standing: Standing) -> Entry | None:
        """Give `flight` what its claim brought. Return the entry that answers, if it was one."""
        assert self.cache.shelf.abroad is not None  # noqa: S101  # only a leased flight claims
        return self.cache.shelf.abroad.settle(flight, token, standing)

    def recall(self, *, again: bool = False) -> Entry | None:
        """Return the entry that answers, or None. `again`: this call has looked before."""
        shelf, errors = self.cache.shelf, self.cache.counters.store_errors
        if self.prepares and not self.failing:
            self.tags = shelf.hold(self.store_key[:8], self.policy.tags) if self.policy.tags else None
            self.data_key = shelf.ready(self.store_key[:8]) if self._is_held() else None
            self.failing = not self._is_ready()
        if not self.policy.read:
            return None
        entry = None
        if not self.spared and not self.failing:
            entry = shelf.recall(self.store_key, self.kind, self.policy.max_age_s, counts_miss=not again)
        return self._looked(entry, errors)

    async def arecall(self, *, again: bool = False) -> Entry | None:
        """Return the entry that answers, or None. `again`: this call has looked before."""
        shelf, errors = self.cache.shelf, self.cache.counters.store_errors
        if self.prepares and not self.failing:
            self.tags = await shelf.ahold(self.store_key[:8], self.policy.tags) if self.policy.tags else None
            self.data_key = await shelf.aready(self.store_key[:8]) if self._is_held() else None
            self.failing = not self._is_ready()
        if not self.policy.read:
            return None
        entry = None
        if not self.spared and not self.failing:
            entry = await shelf.arecall(self.store_key, self.kind, self.policy.max_age_s, counts_miss=not again)
        return self._looked(entry, errors)

    def found_nothing(self, errors: int) -> None:
        """Take note that this call was looked up just now, when the store had met `errors`: that is not done again.

        Where it has met more since, it is taken for failing; that another call met one does no harm.
        """
        self.spared = True
        self.failing = self.cache.counters.store_errors != errors

    def _looked(self, entry: Entry | None, errors: int) -> Entry | None:
        self.spared = False
        if entry is None:
            self.failing = self.failing or self.cache.counters.store_errors != errors
            self.miss = self.cache.shelf._why_missed(self.store_key, self.policy.max_age_s)
        return entry

    def _is_held(self) -> bool:
        return self.tags is not None or not self.policy.tags

    def _is_ready(self) -> bool:
        """Return whether there is all that the answer is to be stored with."""
        return self._is_held() and (self.data_key is not None or self.cache.shelf.seal is None)

    def is_stale(self, entry: Entry) -> bool:
        """Return whether `entry` answers, but is to be asked anew."""
        soft_ttl_s = self.policy.soft_ttl_s
        return soft_ttl_s is not None and self.cache.is_stale(entry, soft_ttl_s)

    def missed(self) -> ReplayMissError:
        """Return the error of a replay that has no record: why, which record is nearest, where it differs."""
        why = "nothing is sent in replay mode, and no usable record answers this call"
        try:
            hint = f"; {self.cache.shelf.nearest(self.store_key[:8], fingerprint(self.parts))}"
        except StoreError as error:
            hint = f"; the store is failing: {error}"
        return ReplayMissError(f"{why} (key {self.key.hex()[:16]}){hint}")

    def keep_body(
        self,
        body_bytes: bytes,
        cuts: Cuts | None = None,
        headers: dict[str, str] | None = None,
        lease: Lead | None = None,
    ) -> None:
        """Store a final body under this call's key, with the headers that belong to it.

        Under a `lease` it is stored if this process still leads.
        """
        if self.prepares and not self._is_ready():
            return  # what could not be tagged could not be invalidated; the store's failure is counted
        meta: dict[str, Any] = {}
        if self.parts and not self.cache.store.process_local:
            meta["parts"] = fingerprint(self.parts)  # to be told apart by in replay mode, by another process
        if headers:
            meta["headers"] = headers
        if self.request is not None:
            meta["request"] = self.request
        cut_bytes = None if cuts is None else _encode(cuts)
        stored_at = self.cache.clock()
        entry = Entry(self.key, self.kind, self.wire, stored_at, body_bytes, cut_bytes, self.model, meta, self.tags)
        if lease is None:
            self.cache.shelf.keep(self.store_key, entry, self.policy.ttl_s, self.data_key)
        else:
            self.cache.shelf.land(lease, entry, self.policy.ttl_s, self.data_key)

    def keeper(self, wire: Wire) -> Keep | None:
        """Return what stores a landed answer of `wire` here, or None where nothing may be stored."""
        if not self.policy.write:
            return None

        def keep(
            body_bytes: bytes, body: Json, cuts: Cuts | None, headers: dict[str, str] | None, lease: Lead | None
        ) -> None:
            if wire.incomplete(body) is None:
                self.keep_body(body_bytes, cuts, headers, lease)
            else:
                self.cache.counters.rejected += 1

        return keep
