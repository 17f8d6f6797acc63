from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.soak.forget_soak import soak


def check(seen: Counter[str], operations: int) -> None:
    assert (seen["operations"], seen["crashes"]) == (operations, 0), seen
    assert (seen["stale"], seen["stale at once"]) == (0, 0), seen
    assert all(seen[how] for how in ("hits", "late", "deleted", "invalidated")), seen


def test_nobody_serves_what_another_process_forgot_beyond_the_bound(tmp_path: Path) -> None:
    check(soak(tmp_path, processes=2, operations=5000, seconds=4), 10_000)


@pytest.mark.soak
def test_a_hundred_thousand_operations_serve_nothing_forgotten_beyond_the_bound(tmp_path: Path) -> None:
    check(soak(tmp_path, processes=4, operations=25_000, seconds=20), 100_000)
