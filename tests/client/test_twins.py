"""The two worlds are one: what waits and what awaits have the same methods, parameters and defaults."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from ostinato import AsyncClient, Client
from ostinato.caching.cache import Cache
from ostinato.caching.contents import Contents
from ostinato.caching.shelf import Shelf
from ostinato.caching.stores.contract import Store
from ostinato.client.async_voyage import AsyncVoyage
from ostinato.client.streams import AsyncStream, Stream
from ostinato.client.voyage import Voyage

ONLY_SYNC = {
    "stats", "scan", "flush", "caches", "policy", "is_stale", "entry_in", "blob_of", "nearest", "walk", "stands",
    "entries", "part", "memory", "disk", "refresh", "do", "leave", "stream", "answer", "instant", "process_local",
    "land", "clear_all", "cost", "saved_cost", "usage", "cache_hit",
}  # fmt: skip
"""What has no twin of its own: it never waits, or has the same name in both worlds."""


def methods(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_") and callable(member)}


def parameters(member: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(member).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if p.name not in {"self", "client", "transport"}]


@pytest.mark.parametrize(
    ("sync", "asynchronous"), [(Client, AsyncClient), (Voyage, AsyncVoyage), (Stream, AsyncStream)]
)
def test_every_method_has_its_twin(sync: type, asynchronous: type) -> None:
    ours, theirs = methods(sync), methods(asynchronous)

    assert {name if name in theirs else f"a{name}" for name in ours} == set(theirs)
    for name, member in ours.items():
        twin = theirs.get(name) or theirs[f"a{name}"]
        assert parameters(member) == parameters(twin), name


@pytest.mark.parametrize("kind", [Cache, Contents, Shelf, Store])
def test_what_may_wait_in_a_cache_can_be_awaited(kind: type) -> None:
    ours = methods(kind)

    for name, member in ours.items():
        if name in ONLY_SYNC or (name.startswith("a") and name[1:] in ours):
            continue
        twin = ours[f"a{name}"]
        assert inspect.iscoroutinefunction(twin), name
        assert parameters(member) == parameters(twin), name
