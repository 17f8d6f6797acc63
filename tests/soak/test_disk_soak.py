from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.disk_soak import soak


def test_processes_that_are_killed_leave_a_whole_file_and_true_answers(tmp_path: Path) -> None:
    outcome = soak(tmp_path / "cache", processes=3, operations=2000, kill_every_s=0.1, most_kills=4)

    assert outcome.ok, str(outcome)
    assert outcome.seen["operations"] == 3 * 2000
    assert outcome.kills > 0
    assert outcome.seen["hits"] > 0


@pytest.mark.soak
def test_eight_processes_with_a_kill_a_second_leave_a_whole_file_and_true_answers(tmp_path: Path) -> None:
    outcome = soak(tmp_path / "cache", processes=8, operations=50_000, kill_every_s=1.0)

    assert outcome.ok, str(outcome)
    assert outcome.seen["operations"] == 8 * 50_000
