from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.soak.forget_soak import soak
from tests.stores.redis_server import RedisServer, binaries


@pytest.fixture(params=["disk", "near", pytest.param("tiers", marks=pytest.mark.soak)])
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Where the cache is: on disk, or in a Redis with memory in front."""
    if request.param == "disk":
        yield {}
        return
    with RedisServer(binaries()[0]) as server:
        yield {"redis_url": server.url, "tiers": request.param == "tiers"}


def check(seen: Counter[str], operations: int) -> None:
    assert (seen["operations"], seen["crashes"]) == (operations, 0), seen
    assert (seen["stale"], seen["stale at once"]) == (0, 0), seen
    assert all(seen[how] for how in ("hits", "late", "deleted", "invalidated")), seen


def test_nobody_serves_what_another_process_forgot_beyond_the_bound(place: dict[str, Any], tmp_path: Path) -> None:
    check(soak(tmp_path, processes=2, operations=3000, seconds=3.5, **place), 6_000)


@pytest.mark.soak
def test_a_hundred_thousand_operations_serve_nothing_forgotten_beyond_the_bound(
    place: dict[str, Any], tmp_path: Path
) -> None:
    check(soak(tmp_path, processes=4, operations=25_000, seconds=20, **place), 100_000)
