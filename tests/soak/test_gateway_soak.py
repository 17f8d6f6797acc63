from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.gateway_soak import KINDS, MOST_MB, soak


def test_requests_of_all_kinds_get_what_they_should(tmp_path: Path) -> None:
    outcome = soak(tmp_path, 1000)

    assert outcome.wrong == [], str(outcome)
    assert set(outcome.seen) == set(KINDS)
    assert outcome.growth < 0.2, str(outcome)
    assert outcome.most_mb < MOST_MB, str(outcome)


@pytest.mark.soak
def test_memory_stays_what_it_is_over_two_hundred_thousand_requests(tmp_path: Path) -> None:
    outcome = soak(tmp_path, 200_000)

    assert outcome.ok, str(outcome)
