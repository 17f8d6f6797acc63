"""What a user asks of a cache's contents: values of one's own, forgetting, counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.key import Scope, custom_key
from ostinato.caching.policy import seconds
from ostinato.caching.record import Entry

if TYPE_CHECKING:
    from ostinato.caching.shelf import Shelf


class Contents:
    """The part of a `Cache` that is asked by hand; the calls ask its shelf."""

    shelf: Shelf
    scope: Scope
    tag: bytes
    """What every store key of this cache starts with."""
    ttl: float | None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = self.shelf.recall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = await self.shelf.arecall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl."""
        store_key, entry = self._value_entry(key, value)
        self.shelf.keep(store_key, entry, seconds("ttl", ttl) or self.ttl)

    async def aset(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl."""
        store_key, entry = self._value_entry(key, value)
        await self.shelf.akeep(store_key, entry, seconds("ttl", ttl) or self.ttl)

    def delete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        deleted = [self.shelf.store.delete(store_key) for store_key in self._keys_named(key)]
        return any(deleted)

    async def adelete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        deleted = [await self.shelf.store.adelete(store_key) for store_key in self._keys_named(key)]
        return any(deleted)

    def clear(self) -> int:
        """Forget every entry of this cache's namespace and seed. Return how many there were."""
        return self.shelf.store.clear(self.tag)

    async def aclear(self) -> int:
        """Forget every entry of this cache's namespace and seed. Return how many there were."""
        return await self.shelf.store.aclear(self.tag)

    def _value_key(self, key: str) -> bytes:
        return self.tag + custom_key(self.scope, "value", key)

    def _value_entry(self, key: str, value: Any) -> tuple[bytes, Entry]:
        store_key = self._value_key(key)
        return store_key, Entry(store_key[8:], "value", "", self.shelf.clock(), msgspec.json.encode(value))

    def _keys_named(self, key: str) -> list[bytes]:
        keys = [self._value_key(key)]
        if len(key) == 64:
            try:
                keys.append(self.tag + bytes.fromhex(key))
            except ValueError:
                pass
        return keys
