"""Which store a cache's `type` means, made of the settings that this type has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.stores.leases import LEASE_S
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.caching.stores.contract import Store

MEMORY_BYTES = 256 << 20
DISK_BYTES = 4 << 30
NEAR_BYTES = 32 << 20
"""What a disk cache keeps in memory."""
TYPES = ("memory", "disk", "redis", "cosmos_db")
ALIASES = {"local": "memory"}


class Wanted(msgspec.Struct, frozen=True):
    """What every type of store is made of, beside its own settings."""

    seed: str
    max_bytes: int | None
    clock: Callable[[], float]


def open_store(kind: str, settings: Mapping[str, Any], wanted: Wanted) -> Store:
    """Return a new store. Only the modules that it needs are loaded.

    Raises: ConfigurationError: an unknown type or setting. MissingDependencyError: the type needs a package.
    """
    own = dict(settings)
    match kind:
        case "memory":
            _end(kind, own)
            from ostinato.caching.stores.memory import MemoryStore

            return MemoryStore(wanted.max_bytes or MEMORY_BYTES, clock=wanted.clock)
        case "disk":
            from pathlib import Path

            folder = Path(own.pop("cache_path_root", ".cache")) / _folder_name(wanted.seed or "42")
            lease_s, near_bytes = lease_seconds(own), own.pop("near_bytes", NEAR_BYTES)
            if type(near_bytes) is not int or near_bytes < 0:
                raise ConfigurationError(f"near_bytes must be a number of bytes, 0 or more, not {near_bytes!r}")
            _end(kind, own)
            from ostinato.caching.stores.disk import DiskStore

            max_bytes = wanted.max_bytes or DISK_BYTES
            return DiskStore(folder, max_bytes=max_bytes, near_bytes=near_bytes, lease_s=lease_s, clock=wanted.clock)
        case "redis":
            from ostinato.caching.stores.redis_settings import read_settings

            if wanted.max_bytes is not None:
                raise ConfigurationError("max_bytes cannot bound a Redis, which others use: set its own maxmemory")
            lease_s = lease_seconds(own)
            read = read_settings(own)
            from ostinato.caching.stores.redis import RedisStore

            return RedisStore(read, lease_s=lease_s, clock=wanted.clock)
        case "cosmos_db":
            from ostinato.caching.stores.cosmos import SETTINGS, CosmosStore

            if wanted.max_bytes is not None:
                raise ConfigurationError("max_bytes bounds nothing in Cosmos DB, where a ttl makes room")
            given = {name: own.pop(name) for name in SETTINGS if name in own}
            given["lease_s"] = lease_seconds(own)
            _end(kind, own)
            return CosmosStore(**given, clock=wanted.clock)
        case _:
            raise ConfigurationError(f"unknown cache type {kind!r}; there are: {', '.join(TYPES)}")


def lease_seconds(settings: dict[str, Any]) -> float | None:
    """Take `lease_s` out of a store's settings: seconds above 0, or None for no leases.

    Raises: ConfigurationError: it is neither.
    """
    lease_s = settings.pop("lease_s", LEASE_S)
    if lease_s is None or (isinstance(lease_s, (int, float)) and not isinstance(lease_s, bool) and 0 < lease_s < inf):
        return lease_s
    raise ConfigurationError(f"lease_s must be a number of seconds above 0, or None, not {lease_s!r}")


def _end(kind: str, rest: Mapping[str, Any]) -> None:
    if rest:
        raise ConfigurationError(f"a cache of type {kind!r} has no setting {', '.join(map(repr, sorted(rest)))}")


def _folder_name(seed: str) -> str:
    """Return the folder of a seed: the seed itself where that is a plain name, else its digest."""
    import hashlib
    import re

    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", seed):
        return seed
    return hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()
