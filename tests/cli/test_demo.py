from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from ostinato.cli import demo
from ostinato.cli.main import cli

PAID = demo.Asked("asked", cache_hit=False, seconds=0.65, text="yes", tokens=2100, cost=0.01, saved_cost=0.0)
KEPT = demo.Asked("asked again", cache_hit=True, seconds=0.00042, text="yes", tokens=2100, cost=0.0, saved_cost=0.01)


def drawn(*calls: demo.Asked) -> str:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(demo.table(list(calls)))
    return capture.get()


def test_one_call_is_paid_and_two_are_answered_by_the_cache() -> None:
    calls = demo.run()

    assert [call.cache_hit for call in calls] == [False, True, True]
    assert len({call.text for call in calls}) == 1
    assert calls[0].text
    assert calls[0].seconds > demo.ANSWER_DELAY_S
    assert max(call.seconds for call in calls[1:]) < demo.ANSWER_DELAY_S
    assert {call.tokens for call in calls} == {calls[0].tokens}
    assert calls[0].tokens > 1024


def test_the_command_says_what_was_paid_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shown = CliRunner().invoke(cli, ["demo"], catch_exceptions=False)

    assert shown.exit_code == 0
    assert "saved by 2 of 3 calls; the same words each time." in shown.output
    assert list(tmp_path.iterdir()) == []


def test_money_is_shown_where_every_call_has_a_price() -> None:
    assert "$0.010000" in drawn(PAID, KEPT)


def test_money_is_left_out_where_a_price_is_not_known() -> None:
    unpriced = demo.Asked("asked", cache_hit=False, seconds=0.65, text="yes", tokens=2100, cost=None, saved_cost=None)

    assert "$" not in drawn(unpriced, KEPT)


def test_the_verdict_adds_up_and_notices_different_answers() -> None:
    other = demo.Asked("streamed", cache_hit=True, seconds=0.001, text="no", tokens=2100, cost=None, saved_cost=None)

    assert demo.verdict([PAID, KEPT, other]) == (
        "2,100 tokens paid, 4,200 saved by 2 of 3 calls; different words each time."
    )


@pytest.mark.parametrize(("seconds", "shown"), [(0.65, "650 ms"), (0.00042, "0.42 ms"), (1.2, "1,200 ms")])
def test_times_are_shown_in_milliseconds(seconds: float, shown: str) -> None:
    assert demo.duration(seconds) == shown
