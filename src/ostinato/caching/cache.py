"""The response cache as its user holds it: a store, whose entries it means, and what calls may do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import msgspec

from ostinato.caching import ambient
from ostinato.caching.counters import Counters
from ostinato.caching.flights import Flights
from ostinato.caching.key import Scope, custom_key
from ostinato.caching.nearest import Fingerprint, Index
from ostinato.caching.policy import MODES, Mode, Policy, apply_controls, default_policy, seconds
from ostinato.caching.record import Entry, pack, unpack, unpack_own
from ostinato.caching.stores.opening import ALIASES, Wanted, open_store
from ostinato.errors import ConfigurationError, StoreError, warn

if TYPE_CHECKING:
    from pathlib import Path

    from ostinato.caching.stores.contract import Store

CALL_TYPES = {
    "completion": "chat",
    "acompletion": "chat",
    "embedding": "embedding",
    "aembedding": "embedding",
}
"""What `supported_call_types` may name, and the kind of entry each makes."""


class Cache:
    """A response cache. As a context manager it is the cache of every call inside the block.

    Args:
        type: `memory` (alias `local`) or `disk`.
        ttl: seconds that an answer is kept; None: until it is evicted.
        soft_ttl: seconds after which an entry still answers, and is asked anew once behind the answer.
        ttl_jitter: the part of every ttl, from 0 to 1, that is cut by chance, so that what was stored together
            does not expire together.
        namespace: keeps entries apart; the `namespace` control of a call replaces it.
        mode: `default_on`; `default_off` (calls opt in with `cache={"use-cache": True}`); `record` (always
            ask, always store); `replay` (never ask: a miss is an error).
        max_bytes: upper bound of what is kept, 256 MB in memory and 4 GB on disk unless given.
        supported_call_types: which calls are cached, of `completion`, `acompletion`, `embedding`, `aembedding`.
        cache_seed: another seed is another set of entries.
        stall_timeout_s: seconds after which a call stops waiting for an identical one that goes nowhere.
        finish_on_disconnect: read an answer to its end for the cache when its last reader has left.
        store: a store of your own instead of `type`.
        settings: those of the type alone. Disk: `cache_path_root`, the folder in which it has a folder a seed.

    Raises: ConfigurationError: a setting that cannot be.
    """

    get_cache_key: Callable[..., str] | None = None
    """Set it to a function of the call's own arguments to choose keys yourself."""

    def __init__(
        self,
        type: str = "memory",  # the name that users of LiteLLM write
        *,
        ttl: float | None = None,
        soft_ttl: float | None = None,
        ttl_jitter: float = 0.0,
        namespace: str | None = None,
        mode: Mode = "default_on",
        max_bytes: int | None = None,
        supported_call_types: list[str] | None = None,
        cache_seed: int | str | None = None,
        stall_timeout_s: float = 30.0,
        finish_on_disconnect: bool = False,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        if mode not in MODES:
            raise ConfigurationError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        if max_bytes is not None and max_bytes <= 0:
            raise ConfigurationError(f"max_bytes must be a number of bytes above 0, not {max_bytes!r}")
        if not 0 <= ttl_jitter <= 1:
            raise ConfigurationError(f"ttl_jitter must be a number from 0 to 1, not {ttl_jitter!r}")
        self.type = ALIASES.get(type, type)
        self.mode: Mode = mode
        self.ttl = seconds("ttl", ttl)
        self.ttl_jitter = ttl_jitter
        self.namespace = namespace
        self.stall_timeout_s = seconds("stall_timeout_s", stall_timeout_s)
        self.finish_on_disconnect = finish_on_disconnect
        self.counters = Counters()
        self.flights = Flights()
        self.clock = clock
        self._kinds = _kinds(supported_call_types)
        self._log_store_errors = True
        self._index: Index | None = None
        self._marks: list[ambient.Mark] = []
        if store is not None and settings:
            raise ConfigurationError(f"a store of your own has no setting {', '.join(map(repr, sorted(settings)))}")
        seed = "" if cache_seed is None else str(cache_seed)
        self.scope = Scope(namespace=namespace or "", seed=seed)
        self.default = default_policy(self.scope, mode, self.ttl, seconds("soft_ttl", soft_ttl, zero=True))
        self.tag = self.scope.tag()
        self.store = store or open_store(self.type, settings, Wanted(seed, max_bytes, clock))
        self._check = not self.store.process_local

    @classmethod
    def memory(cls, **settings: Any) -> Self:
        """Return a cache in this process's memory."""
        return cls("memory", **settings)

    @classmethod
    def disk(cls, cache_seed: int | str = 42, cache_path_root: str | Path = ".cache", **settings: Any) -> Self:
        """Return a cache in the folder `<cache_path_root>/<cache_seed>`, shared by processes of this machine."""
        return cls("disk", cache_seed=cache_seed, cache_path_root=cache_path_root, **settings)

    # What a call asks.

    def caches(self, kind: str) -> bool:
        """Return whether calls of this kind are cached at all."""
        return kind in self._kinds

    def policy(self, controls: Mapping[str, Any] | None) -> Policy:
        """Return what a call with these controls may do.

        Raises: ConfigurationError: an unknown control or a wrong value.
        """
        return apply_controls(self.default, self.mode, controls) if controls else self.default

    def recall(self, store_key: bytes, kind: str, max_age_s: float | None = None) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses."""
        try:
            blob = self.store.get(store_key)
        except StoreError as error:
            self._store_failed(error)
            return None
        if blob is not None and not self._check and max_age_s is None:
            # The shortest way, for what never left this process.
            entry = unpack_own(blob)
            if entry.kind == kind:
                self.counters.hits += 1
                return entry
        return self._answering(blob, store_key, kind, max_age_s)

    def is_stale(self, entry: Entry, soft_ttl_s: float) -> bool:
        """Return whether `entry` is to be asked anew behind the answer."""
        return self.clock() - entry.stored_at > soft_ttl_s

    def nearest(self, parts: Fingerprint) -> str:
        """Return a sentence that names the record nearest to a request, and the first difference.

        The records are indexed at the first question; those stored later are not among them.
        """
        if self._index is None:
            scanned = self.store.scan(self.tag)
            entries = (unpack(blob, key[8:]) for key, blob in scanned)
            self._index = Index(entry for entry in entries if entry is not None)
        return self._index.explain(parts)

    async def arecall(self, store_key: bytes, kind: str, max_age_s: float | None = None) -> Entry | None:
        """Return the entry that answers, or None. A failing store and a broken entry are misses."""
        if self.store.instant:
            return self.recall(store_key, kind, max_age_s)
        try:
            blob = await self.store.aget(store_key)
        except StoreError as error:
            self._store_failed(error)
            return None
        return self._answering(blob, store_key, kind, max_age_s)

    def _answering(self, blob: bytes | None, store_key: bytes, kind: str, max_age_s: float | None) -> Entry | None:
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
        counters.hits += 1
        return entry

    def keep(self, store_key: bytes, entry: Entry, ttl_s: float | None) -> None:
        """Store `entry`; a failing store is counted and logged once."""
        if ttl_s is not None and self.ttl_jitter:
            ttl_s *= 1 - self.ttl_jitter * random.random()
        try:
            self.store.set(store_key, pack(entry), ttl_s)
        except StoreError as error:
            self._store_failed(error)
        else:
            self.counters.stored += 1

    def _store_failed(self, error: StoreError) -> None:
        self.counters.store_errors += 1
        if self._log_store_errors:
            self._log_store_errors = False
            warn("the response cache is failing, calls go on without it: %s", error)

    # What a user asks.

    def get(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = self.recall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl."""
        store_key, entry = self._value_entry(key, value)
        self.keep(store_key, entry, seconds("ttl", ttl) or self.ttl)

    def delete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        return sum(self.store.delete(store_key) for store_key in self._keys_named(key)) > 0

    def clear(self) -> int:
        """Forget every entry of this cache's namespace and seed. Return how many there were."""
        return self.store.clear(self.tag)

    def stats(self) -> dict[str, Any]:
        """Return what was hit and missed, and why, and the state of the store."""
        return {**self.counters.as_dict(), "in_flight": len(self.flights), "store": self.store.stats()}

    def flush(self) -> None:
        """Return when everything stored so far is as durable as the store makes it."""
        self.store.flush()

    def close(self) -> None:
        """Flush and give back threads and handles. A later call opens them again."""
        self.store.close()

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = await self.arecall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    async def aset(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl."""
        store_key, entry = self._value_entry(key, value)
        await self.store.aset(store_key, pack(entry), seconds("ttl", ttl) or self.ttl)

    async def adelete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        deleted = [await self.store.adelete(store_key) for store_key in self._keys_named(key)]
        return any(deleted)

    async def aclear(self) -> int:
        """Forget every entry of this cache's namespace and seed. Return how many there were."""
        return await self.store.aclear(self.tag)

    async def aclose(self) -> None:
        """Flush and give back what is open."""
        await self.store.aclose()

    def _value_key(self, key: str) -> bytes:
        return self.tag + custom_key(self.scope, "value", key)

    def _value_entry(self, key: str, value: Any) -> tuple[bytes, Entry]:
        store_key = self._value_key(key)
        return store_key, Entry(store_key[8:], "value", "", self.clock(), msgspec.json.encode(value))

    def _keys_named(self, key: str) -> list[bytes]:
        keys = [self._value_key(key)]
        if len(key) == 64:
            try:
                keys.append(self.tag + bytes.fromhex(key))
            except ValueError:
                pass
        return keys

    # As a block.

    def __enter__(self) -> Self:
        self._marks.append(ambient.enter(self))
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave_block()
        if not self._marks:
            self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        self._leave_block()
        if not self._marks:
            await self.aclose()

    def _leave_block(self) -> None:
        """End the innermost block of this cache in this context; in another context, the latest one."""
        mine = [mark for mark in ambient.blocks() if mark.cache is self and not mark.ended] or self._marks
        if mine:
            mark = mine[-1]
            ambient.leave(mark)
            if mark in self._marks:
                self._marks.remove(mark)

    def __repr__(self) -> str:
        return f"Cache(type={self.type!r}, namespace={self.namespace!r}, mode={self.mode!r})"


def _kinds(supported_call_types: list[str] | None) -> frozenset[str]:
    names = list(CALL_TYPES) if supported_call_types is None else supported_call_types
    unknown = [name for name in names if name not in CALL_TYPES]
    if unknown:
        raise ConfigurationError(f"unknown call types {unknown!r}; there are: {', '.join(CALL_TYPES)}")
    return frozenset(CALL_TYPES[name] for name in names)
