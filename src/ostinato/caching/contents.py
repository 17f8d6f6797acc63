"""What a user asks of a cache's contents: values of one's own, forgetting, counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ostinato.caching.key import Scope, custom_key
from ostinato.caching.listing import Listed, listed
from ostinato.caching.policy import seconds
from ostinato.caching.record import Entry
from ostinato.caching.register import arun, run
from ostinato.caching.tags import checked_tags
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.caching.policy import Policy
    from ostinato.caching.seal import Seal
    from ostinato.caching.shelf import Shelf
    from ostinato.caching.tags import Generations


class Contents:
    """The part of a `Cache` that is asked by hand; the calls ask its shelf."""

    shelf: Shelf
    scope: Scope
    tag: bytes
    """What every store key of this cache starts with."""
    default: Policy
    ttl: float | None

    def get(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = self.shelf.recall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    async def aget(self, key: str, default: Any = None) -> Any:
        """Return the JSON value that `set` kept under `key`, or `default`."""
        entry = await self.shelf.arecall(self._value_key(key), "value")
        return default if entry is None else msgspec.json.decode(entry.body)

    def set(self, key: str, value: Any, ttl: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl; beside the cache's own `tags`."""
        names = self._tags_of(tags)
        generations = self.shelf.hold(self.tag, names) if names else None
        if generations is not None or not names:
            store_key, entry = self._value_entry(key, value, generations)
            self.shelf.keep(store_key, entry, seconds("ttl", ttl) or self.ttl)

    async def aset(self, key: str, value: Any, ttl: float | None = None, tags: Sequence[str] = ()) -> None:
        """Keep a JSON value under `key` for `ttl` seconds, or the cache's own ttl; beside the cache's own `tags`."""
        names = self._tags_of(tags)
        generations = await self.shelf.ahold(self.tag, names) if names else None
        if generations is not None or not names:
            store_key, entry = self._value_entry(key, value, generations)
            await self.shelf.akeep(store_key, entry, seconds("ttl", ttl) or self.ttl)

    def delete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        self.shelf.settle()
        deleted = [self.shelf.store.delete(self._gone(store_key)) for store_key in self._keys_named(key)]
        return any(deleted)

    async def adelete(self, key: str) -> bool:
        """Forget `key`: a name given to `set`, or the 64 hex digits of a response's cache key."""
        await self.shelf.asettle()
        deleted = [await self.shelf.store.adelete(self._gone(store_key)) for store_key in self._keys_named(key)]
        return any(deleted)

    def entries(self, namespace: str | None = None) -> Iterator[Listed]:
        """Yield what there is to know of each entry that would answer, of `namespace` or this cache's own.

        In no order, while the store is read: what is stored meanwhile may miss.

        Raises: StoreError: the store could not go on.
        """
        for store_key, size_bytes, entry in self.shelf.walk(self._tag_of(namespace)):
            if entry is not None and self.shelf.stands(store_key, entry):
                yield listed(store_key, size_bytes, entry)

    def forget(
        self, model: str, namespace: str | None = None, on_progress: Callable[[int], object] | None = None
    ) -> int:
        """Forget every answer of `model`, named as the calls named it, and return how many there were.

        Every entry of the namespace is read for it; `on_progress` is told how many were, now and then and at the end.
        """
        seen = forgotten = 0
        for store_key, _, entry in self.shelf.walk(self._tag_of(namespace)):
            seen += 1
            if entry is not None and entry.model == model:
                forgotten += self.shelf.store.delete(self._gone(store_key))
            if on_progress is not None and seen % 100 == 0:
                on_progress(seen)
        if on_progress is not None:
            on_progress(seen)
        return forgotten

    async def aforget(
        self, model: str, namespace: str | None = None, on_progress: Callable[[int], object] | None = None
    ) -> int:
        """Forget every answer of `model`, named as the calls named it, and return how many there were."""
        import asyncio  # the caller's loop has loaded it; a program without one never does

        return await asyncio.to_thread(self.forget, model, namespace, on_progress)

    def clear(self, namespace: str | None = None) -> int:
        """Forget all entries of `namespace`, this cache's own unless given. Return how many there were."""
        self.shelf.settle()
        return self.shelf.store.clear(self._gone(self._tag_of(namespace)))

    async def aclear(self, namespace: str | None = None) -> int:
        """Forget all entries of `namespace`, this cache's own unless given. Return how many there were."""
        await self.shelf.asettle()
        return await self.shelf.store.aclear(self._gone(self._tag_of(namespace)))

    def invalidate(self, tag: str, namespace: str | None = None) -> None:
        """Let no entry with `tag` answer any more, however many there are, nor one whose answer is on its way.

        They are of `namespace`, this cache's own unless given. It holds here at once, and in every other process
        after a second beside what the store's own memory tier may add. What is invalid is evicted in its time.

        Raises: StoreError: the store could not; the entries may answer.
        """
        checked_tags([tag])
        run(self.shelf.store, self.shelf.tags.invalidate(self._tag_of(namespace), tag))

    async def ainvalidate(self, tag: str, namespace: str | None = None) -> None:
        """Let no entry with `tag` answer any more, however many there are, nor one whose answer is on its way."""
        checked_tags([tag])
        await arun(self.shelf.store, self.shelf.tags.invalidate(self._tag_of(namespace), tag))

    def shred(self, namespace: str | None = None) -> int:
        """Make every entry of `namespace`, this cache's own unless given, unreadable for ever, then forget them.

        Its data keys are deleted first: they are few and small. In this process that holds at once, in every other
        after a second beside what the store's own memory tier may add. Return how many entries there were.

        Raises:
            ConfigurationError: the cache has no `encryption_key`.
            StoreError: the store could not; the entries may be readable.
        """
        scope = self._tag_of(namespace)
        run(self.shelf.store, self._sealed().shred(scope))
        self.shelf.settle()
        return self.shelf.store.clear(scope)

    async def ashred(self, namespace: str | None = None) -> int:
        """Make every entry of `namespace`, this cache's own unless given, unreadable for ever, then forget them."""
        scope = self._tag_of(namespace)
        await arun(self.shelf.store, self._sealed().shred(scope))
        await self.shelf.asettle()
        return await self.shelf.store.aclear(scope)

    def _sealed(self) -> Seal:
        if self.shelf.seal is None:
            raise ConfigurationError("only a cache with an encryption_key can be shredded; clear() forgets entries")
        return self.shelf.seal

    def part(self, *, tenant: str = "", namespace: str | None = None) -> Contents:
        """Return the contents that belong to a tenant of a gateway, in `namespace` or this cache's own."""
        part = Contents()
        own = self.scope.namespace if namespace is None else namespace
        part.scope = replace(self.scope, tenant=tenant, namespace=own)
        part.tag = part.scope.tag()
        part.shelf, part.default, part.ttl = self.shelf, self.default, self.ttl
        return part

    def _gone(self, prefix: bytes) -> bytes:
        self.shelf.past.forget(prefix)
        return prefix

    def _tag_of(self, namespace: str | None) -> bytes:
        return self.tag if namespace is None else replace(self.scope, namespace=namespace).tag()

    def _tags_of(self, tags: Sequence[str]) -> tuple[str, ...]:
        own = self.default.tags
        return checked_tags([*own, *checked_tags(tags)]) if tags else own

    def _value_key(self, key: str) -> bytes:
        return self.tag + custom_key(self.scope, "value", key)

    def _value_entry(self, key: str, value: Any, tags: Generations | None) -> tuple[bytes, Entry]:
        store_key = self._value_key(key)
        body = msgspec.json.encode(value)
        return store_key, Entry(store_key[8:], "value", "", self.shelf.clock(), body, tags=tags)

    def _keys_named(self, key: str) -> list[bytes]:
        keys = [self._value_key(key)]
        if len(key) == 64:
            try:
                keys.append(self.tag + bytes.fromhex(key))
            except ValueError:
                pass
        return keys
