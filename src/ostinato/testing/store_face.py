"""One store, spoken to through its sync methods or through their async twins."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Literal

from ostinato.caching.stores.contract import Dating, Found, Store

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")
SCOPE = b"scope--1"
OTHER_SCOPE = b"scope--2"


def key_of(name: object, scope: bytes = SCOPE) -> bytes:
    """Return a key of 40 bytes as the cache makes them, another for another `name`."""
    return scope + hashlib.sha256(repr(name).encode()).digest()


class Face:
    """One store through its sync methods, or through their async twins under one event loop."""

    def __init__(self, store: Store, kind: Kind) -> None:
        self.store = store
        self._runner = asyncio.Runner() if kind == "async" else None

    def get(self, key: bytes) -> bytes | None:
        if self._runner is None:
            return self.store.get(key)
        return self._runner.run(self.store.aget(key))

    def find(self, key: bytes) -> Found | None:
        assert isinstance(self.store, Dating)
        if self._runner is None:
            return self.store.find(key)
        return self._runner.run(self.store.afind(key))

    def set(self, key: bytes, value: bytes, ttl_s: float | None = None) -> None:
        if self._runner is None:
            self.store.set(key, value, ttl_s)
        else:
            self._runner.run(self.store.aset(key, value, ttl_s))

    def delete(self, key: bytes) -> bool:
        if self._runner is None:
            return self.store.delete(key)
        return self._runner.run(self.store.adelete(key))

    def clear(self, scope: bytes = b"") -> int:
        if self._runner is None:
            return self.store.clear(scope)
        return self._runner.run(self.store.aclear(scope))

    def close(self) -> None:
        if self._runner is None:
            self.store.close()
        else:
            self._runner.run(self.store.aclose())

    def leave(self) -> None:
        """Close the event loop; the store stays as it is."""
        if self._runner is not None:
            self._runner.close()


def both_faces(behaviour: Callable[[Any, Face], None]) -> Callable[[Any], None]:
    """Run `behaviour` of a suite twice, each time on a new store that its `opened` gives: sync, then async."""

    def test(self: Any) -> None:
        for kind in KINDS:
            with self.opened() as store:
                face = Face(store, kind)
                try:
                    behaviour(self, face)
                except BaseException as exc:
                    exc.add_note(f"through the {kind} methods")
                    raise
                finally:
                    face.leave()

    # Not functools.wraps: pytest would look for a fixture by the name of the argument.
    test.__name__, test.__qualname__ = behaviour.__name__, behaviour.__qualname__
    return test
