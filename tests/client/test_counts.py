"""What a cache counts: each call once, wherever its entry stands and however often it is looked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache
from ostinato.testing.clock import ManualClock
from tests.client.calls import HELLO, MODEL, until


def tiered(*, clock: ManualClock, **settings: Any) -> Cache:
    return Cache.tiered(Cache.memory(clock=clock), Cache.disk(clock=clock), clock=clock, **settings)


CACHES: dict[str, Callable[..., Cache]] = {"memory": Cache.memory, "disk": Cache.disk, "tiered": tiered}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=CACHES)
def cache(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cache]:
    monkeypatch.chdir(tmp_path)
    with CACHES[request.param](ttl=100, soft_ttl=50, clock=clock) as cache:
        yield cache


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_call_is_counted_once(cache: Cache, clock: ManualClock, ask: Callable[..., Any], *, stream: bool) -> None:
    def counted() -> tuple[int, ...]:
        stats = cache.stats()
        return tuple(stats[name] for name in ("hits", "misses", "stale", "refreshes", "stored"))

    ask(MODEL, HELLO, stream=stream)
    assert counted() == (0, 1, 0, 0, 1)
    ask(MODEL, HELLO, stream=stream)
    assert counted() == (1, 1, 0, 0, 1)
    clock.advance(101)
    ask(MODEL, HELLO, stream=stream)  # known, and gone
    assert counted() == (1, 2, 0, 0, 2)
    clock.advance(51)
    ask(MODEL, HELLO, stream=stream)
    until(lambda: cache.stats()["refreshes"] == 1)
    assert counted()[:4] == (2, 2, 1, 1)
    ask(MODEL, HELLO, stream=stream, cache={"no-cache": True})
    assert (*counted()[:2], cache.stats()["bypassed"]) == (2, 2, 1)
