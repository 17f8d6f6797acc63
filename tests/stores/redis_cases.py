"""Stores on servers of the tests, and what is done with them again and again."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.errors import StoreError
from ostinato.testing.store_face import Face, key_of

PATIENT_MS = 10_000
"""What a call may wait for a server that answers; a busy machine may be slow."""

TIMEOUT_MS = 400
"""What a call may wait for a server that never does, so that it takes no minutes."""


@contextlib.contextmanager
def opened(place: dict[str, Any], **settings: Any) -> Iterator[RedisStore]:
    store = RedisStore(read_settings({**place, "timeout_ms": PATIENT_MS, **settings}, {}))
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def left(face: Face) -> Iterator[Face]:
    """Close the event loop of `face` afterwards."""
    try:
        yield face
    finally:
        face.leave()


def fails(ask: Callable[[], Any]) -> bool:
    """Return whether the store could not; that it is a `StoreError` and nothing else is half of the point."""
    try:
        ask()
    except StoreError:
        return True
    return False


def stored(store: RedisStore, count: int = 3) -> list[bytes]:
    keys = [key_of(number) for number in range(count)]
    for key in keys:
        store.set(key, b"value of " + key)
    store.flush()
    return keys


def fork(holds: Callable[[], bool]) -> int:
    """Have a child of this process look whether `holds()`. Return its number."""
    with warnings.catch_warnings():
        # Forking beside threads is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if holds() else 1
        finally:
            os._exit(code)
    return child


def ended_well(child: int) -> bool:
    """Wait for a child of `fork`. Return what it saw."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
