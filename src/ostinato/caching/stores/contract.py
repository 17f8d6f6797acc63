"""What every store is: bytes by key, each with a time to live. It knows nothing of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar, TypeVarTuple, runtime_checkable

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Store(Protocol):
    """A place for entries. Safe to share between threads; the `a…` twins between event loops.

    A key is 40 bytes: 8 that name the scope (tenant, namespace and seed), 32 of the call's digest.
    Every method may raise `StoreError` and nothing else.
    """

    instant: bool
    """Whether `get` returns without waiting for a network, so that a coroutine may call it as it is."""

    process_local: bool
    """Whether values never leave this process: then what comes back needs no checking."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None when absent or expired."""

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """Keep `value` for `ttl_s` seconds, or until evicted when None. Replaces what was there.

        It may be written behind the caller, but `get` finds it at once in this process. A value larger
        than the whole store is not kept.
        """

    def delete(self, key: bytes) -> bool:
        """Forget `key`. Return whether it was there."""

    def scan(self, scope: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield each key that starts with `scope`, with its value, in no order; what is set meanwhile may miss."""

    def clear(self, scope: bytes = b"") -> int:
        """Forget every key that starts with `scope`, all when empty. Return how many there were."""

    def flush(self) -> None:
        """Return when everything set so far is as durable as this store makes it."""

    def stats(self) -> dict[str, Any]:
        """Return counters and sizes: `entries`, `bytes`, `max_bytes`, `evictions`, `errors`, and more."""

    def close(self) -> None:
        """Flush, and give back threads and handles. A later call opens them again."""

    async def aget(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None when absent or expired."""

    async def aset(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        """Keep `value` for `ttl_s` seconds, or until evicted when None."""

    async def adelete(self, key: bytes) -> bool:
        """Forget `key`. Return whether it was there."""

    async def aclear(self, scope: bytes = b"") -> int:
        """Forget every key that starts with `scope`. Return how many there were."""

    async def aclose(self) -> None:
        """Flush, and give back what is open."""


Found = tuple[bytes, float | None]
"""A value, and the seconds that it has yet to live, None: until evicted."""


@runtime_checkable
class Dating(Protocol):
    """A store that says how long an entry has yet to live, so that another may keep it as long."""

    def find(self, key: bytes) -> Found | None:
        """Return what `get` returns, and for how long it holds."""

    async def afind(self, key: bytes) -> Found | None:
        """Return what `aget` returns, and for how long it holds."""


def found_until(value: bytes, expires_at: float | None, now: float) -> Found | None:
    """Return what is found of an entry that ends at `expires_at`, by the clock of `now`."""
    if expires_at is None:
        return value, None
    return (value, expires_at - now) if now < expires_at else None


async def in_thread(work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Return what `work` returns, done beside the event loop: the twin of a verb that waits and is seldom asked."""
    import asyncio  # the caller's loop has loaded it; a program without one never does

    return await asyncio.to_thread(work, *arguments)
