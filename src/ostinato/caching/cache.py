"""The response cache as its user holds it: a store, whose entries it means, and what calls may do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec.structs import replace

from ostinato.caching import ambient
from ostinato.caching.contents import Contents
from ostinato.caching.counters import Counters
from ostinato.caching.flights import Flights
from ostinato.caching.key import Scope
from ostinato.caching.policy import MODES, Mode, Policy, apply_controls, default_policy, seconds
from ostinato.caching.shelf import Shelf
from ostinato.caching.stores.opening import ALIASES, Wanted, open_store
from ostinato.caching.tags import checked_tags
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from ostinato.caching.record import Entry
    from ostinato.caching.seal import Keys
    from ostinato.caching.stores.contract import Store

CALL_TYPES = {
    "completion": "chat",
    "acompletion": "chat",
    "embedding": "embedding",
    "aembedding": "embedding",
}
"""What `supported_call_types` may name, and the kind of entry each makes."""


class Cache(Contents):
    """A response cache. As a context manager it is the cache of every call inside the block.

    Args:
        type: `memory` (alias `local`), `disk`, `redis` or `cosmos_db`.
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
        tags: what every entry can be invalidated by; the `tags` control of a call adds to them.
        encryption_key: at least 16 bytes of chance, as text or bytes: entries are encrypted with it (AES-256-GCM). A
            list of keys encrypts with the first and reads with all.
        scope: whose entries answer a call: all of the `cache`, or those paid with its own `credential`.
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
        tags: Sequence[str] = (),
        encryption_key: Keys | None = None,
        scope: Literal["cache", "credential"] = "cache",
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
        if scope not in {"cache", "credential"}:
            raise ConfigurationError(f"scope must be 'cache' or 'credential', not {scope!r}")
        self.type = _kind(type)
        self.mode: Mode = mode
        self.ttl = seconds("ttl", ttl)
        self.namespace = namespace
        self.stall_timeout_s = seconds("stall_timeout_s", stall_timeout_s)
        self.finish_on_disconnect = finish_on_disconnect
        self.counters = Counters()
        self.flights = Flights()
        self.clock = clock
        self._kinds = _kinds(supported_call_types)
        self._marks: list[ambient.Mark] = []
        if store is not None and settings:
            raise ConfigurationError(f"a store of your own has no setting {', '.join(map(repr, sorted(settings)))}")
        seed = "" if cache_seed is None else str(cache_seed)
        self.scope = Scope(namespace=namespace or "", seed=seed)
        default = default_policy(self.scope, mode, self.ttl, seconds("soft_ttl", soft_ttl, zero=True))
        self.default = replace(default, tags=checked_tags(tags))
        self.tag = self.scope.tag()
        self.store = store or open_store(self.type, settings, Wanted(seed, max_bytes, clock))
        self.per_account = scope == "credential"
        self.remembers = not self.per_account
        """Whether a call seen before is looked up by its arguments, before it is built."""
        self.shelf = Shelf(
            self.store,
            self.counters,
            clock,
            ttl_jitter=ttl_jitter,
            stall_s=self.stall_timeout_s or math.inf,
            encryption_key=encryption_key,
        )

    @classmethod
    def memory(cls, **settings: Any) -> Self:
        """Return a cache in this process's memory."""
        return cls("memory", **settings)

    @classmethod
    def disk(cls, cache_seed: int | str = 42, cache_path_root: str | Path = ".cache", **settings: Any) -> Self:
        """Return a cache in the folder `<cache_path_root>/<cache_seed>`, shared by processes of this machine."""
        return cls("disk", cache_seed=cache_seed, cache_path_root=cache_path_root, **settings)

    @classmethod
    def redis(cls, redis_url: str | None = None, cache_seed: int | str = 42, **settings: Any) -> Self:
        """Return a cache in a Redis or Valkey: at a URL, or where `host` and the like or `REDIS_*` say."""
        return cls("redis", redis_url=redis_url, cache_seed=cache_seed, **settings)

    @classmethod
    def cosmos_db(
        cls,
        connection_string: str | None = None,
        container_id: str = "entries",
        cache_seed: int | str = 42,
        client: Any = None,
        *,
        database_id: str = "ostinato",
        **settings: Any,
    ) -> Self:
        """Return a cache in a container of Azure Cosmos DB, shared by all who have the account."""
        return cls(
            "cosmos_db",
            cache_seed=cache_seed,
            connection_string=connection_string,
            database_id=database_id,
            container_id=container_id,
            client=client,
            **settings,
        )

    @classmethod
    def tiered(cls, fast: Cache | Store, shared: Cache | Store, **settings: Any) -> Self:
        """Return a cache that keeps in `fast` what it finds in `shared`: any two caches or stores.

        Namespace, seed, ttl and `scope` are those of a shared cache, unless given. A removal reaches both tiers
        at once, and the fast tier of every other process within a second.

        Raises: ConfigurationError: the shared cache encrypts, and no `encryption_key` is given here.
        """
        from ostinato.caching.stores.tiered import TieredStore

        if isinstance(shared, Cache):
            if shared.shelf.seal is not None and settings.get("encryption_key") is None:
                raise ConfigurationError("the shared cache is encrypted: give its encryption_key here, too")
            own = {"namespace": shared.namespace, "cache_seed": shared.scope.seed or None, "ttl": shared.ttl}
            settings = {**own, "scope": "credential" if shared.per_account else "cache", **settings}
        tiers = (tier.store if isinstance(tier, Cache) else tier for tier in (fast, shared))
        return cls("tiered", store=TieredStore(*tiers, clock=settings.get("clock", time.time)), **settings)

    # What a call asks.

    def caches(self, kind: str) -> bool:
        """Return whether calls of this kind are cached at all."""
        return kind in self._kinds

    def policy(self, controls: Mapping[str, Any] | None) -> Policy:
        """Return what a call with these controls may do.

        Raises: ConfigurationError: an unknown control or a wrong value.
        """
        return apply_controls(self.default, self.mode, controls) if controls else self.default

    def is_stale(self, entry: Entry, soft_ttl_s: float) -> bool:
        """Return whether `entry` is to be asked anew behind the answer."""
        return self.clock() - entry.stored_at > soft_ttl_s

    def stats(self) -> dict[str, Any]:
        """Return what was hit and missed, and why, and the state of the store."""
        self.shelf.settle()
        return {**self.counters.as_dict(), "in_flight": len(self.flights), "store": self.store.stats()}

    def flush(self) -> None:
        """Return when everything stored so far is as durable as the store makes it."""
        self.shelf.settle()
        self.store.flush()

    def close(self) -> None:
        """Flush and give back threads and handles. A later call opens them again."""
        self.shelf.settle()
        self.store.close()

    async def aclose(self) -> None:
        """Flush and give back what is open."""
        await self.shelf.asettle()
        await self.store.aclose()

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


def _kind(given: object) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"type must be a str, not a {type(given).__name__}; settings go by keyword")
    return ALIASES.get(given, given)


def _kinds(supported_call_types: list[str] | None) -> frozenset[str]:
    names = list(CALL_TYPES) if supported_call_types is None else supported_call_types
    unknown = [name for name in names if name not in CALL_TYPES]
    if unknown:
        raise ConfigurationError(f"unknown call types {unknown!r}; there are: {', '.join(CALL_TYPES)}")
    return frozenset(CALL_TYPES[name] for name in names)
