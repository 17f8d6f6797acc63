"""One price has many dimensions: a date, an hour, a service tier, a region, the length of the prompt, a lifetime."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ostinato.pricing import price
from ostinato.pricing.rates import prices_of
from ostinato.wire.tokens import Tokens
from tests.pricing.test_cost import NOW, cost_of


@pytest.mark.parametrize(
    ("provider", "model", "before", "after", "moment"),
    [
        ("openai", "o3", "50.5", "10.5", datetime(2025, 6, 10, tzinfo=UTC)),
        ("openai", "gpt-5.6-luna", "7.1", "1.42", datetime(2026, 7, 30, tzinfo=UTC)),
        ("openai", "gpt-5.6", "35.5", "24.4", datetime(2026, 8, 21, tzinfo=UTC)),
        ("anthropic", "claude-sonnet-5-5", "12.2", "12.1", datetime(2026, 10, 7, tzinfo=UTC)),
        ("deepseek", "deepseek-chat", "1.44", "2.31", datetime(2025, 9, 5, 16, tzinfo=UTC)),
        ("deepseek", "deepseek-chat", "2.31", "0.728", datetime(2025, 9, 29, tzinfo=UTC)),
        ("deepseek", "deepseek-reasoner", "2.88", "2.31", datetime(2025, 9, 5, 16, tzinfo=UTC)),
        ("deepseek", "deepseek-v4-flash", "0.4228", "0.887", datetime(2026, 8, 16, 16, tzinfo=UTC)),
        ("deepseek", "deepseek-v4-pro", "1.308625", "2.662", datetime(2026, 8, 16, 16, tzinfo=UTC)),
    ],
)
def test_a_price_changes_at_its_moment_and_not_before(
    provider: str, model: str, before: str, after: str, moment: datetime
) -> None:
    # A million each of input, reads and output, in runs that no long-context price applies to.
    runs = [Tokens(uncached=100_000, read=100_000, output=100_000)] * 10

    costs = [price(runs, provider=provider, model=model, at=at) for at in (moment - timedelta(seconds=1), moment)]

    assert [cost and cost.total for cost in costs] == [Decimal(before), Decimal(after)]


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this system cannot change its zone")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_east")
def test_a_moment_is_the_same_in_every_zone_and_as_a_number() -> None:
    before = datetime(2026, 10, 6, 23, 30, tzinfo=UTC)
    run = Tokens(read=1_000_000)
    zone = timezone(timedelta(hours=9))

    totals = {
        cost_of(run, "anthropic", "claude-sonnet-5-5", at).total
        for at in (before, before.astimezone(zone), before.replace(tzinfo=None), before.timestamp())
    }

    assert totals == {Decimal("0.2")}


@pytest.mark.parametrize(
    ("at", "dollars"),
    [
        ("2026-09-11T00:59:59", "0.15"),  # a Friday
        ("2026-09-11T01:00:00", "0.3"),
        ("2026-09-11T03:59:59", "0.3"),
        ("2026-09-11T04:00:00", "0.15"),
        ("2026-09-11T06:00:00", "0.3"),
        ("2026-09-11T10:00:00", "0.15"),
        ("2026-09-12T02:00:00", "0.15"),  # a Saturday
        ("2026-09-13T02:00:00", "0.15"),
        ("2026-09-14T02:00:00", "0.3"),  # a Monday
        ("2026-08-22T02:00:00", "0.44"),  # the last Saturday with peak hours
        ("2026-08-29T02:00:00", "0.22"),
        ("2026-08-16T02:00:00", "0.14"),  # before there were any
    ],
)
def test_deepseek_s_hours_are_those_of_its_price_list(at: str, dollars: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)

    assert cost_of(Tokens(uncached=1_000_000), "deepseek", "deepseek-v4-flash", moment).total == Decimal(dollars)


def test_hours_may_pass_midnight() -> None:
    run = Tokens(uncached=1_000_000)
    at = [datetime(2025, 6, 1, *clock, tzinfo=UTC) for clock in ((16, 29), (16, 30), (23, 59), (0, 29), (0, 30))]

    assert [str(cost_of(run, "deepseek", "deepseek-chat", moment).total) for moment in at] == [
        "0.27",
        "0.135",
        "0.135",
        "0.135",
        "0.27",
    ]


@pytest.mark.parametrize(
    ("provider", "model", "tier", "dollars"),
    [
        ("openai", "gpt-5", None, "1.25"),
        ("openai", "gpt-5", "default", "1.25"),
        ("openai", "gpt-5", "flex", "0.625"),
        ("openai", "gpt-5", "priority", "2.5"),
        ("openai", "gpt-5", "batch", "0.625"),
        ("anthropic", "claude-opus-4-8", "fast", "10"),
        ("anthropic", "claude-opus-4-8", "standard", "5"),
        ("anthropic", "claude-opus-4-8", "batch", "2.5"),
    ],
)
def test_a_service_tier_has_its_price(provider: str, model: str, tier: str | None, dollars: str) -> None:
    assert cost_of(Tokens(uncached=1_000_000, service_tier=tier), provider, model).total == Decimal(dollars)


@pytest.mark.parametrize("at", [datetime(2026, 10, 6, tzinfo=UTC), NOW])
@pytest.mark.parametrize("tier", [None, "flex"])
@pytest.mark.parametrize("region", [None, "us"])
@pytest.mark.parametrize("length", [199_990, 200_011])
@pytest.mark.parametrize("kept", ["5m", "1h"])
def test_ttl_and_length_and_tier_and_region_and_date_are_dimensions_of_one_price(
    kept: str, length: int, region: str | None, tier: str | None, at: datetime
) -> None:
    """Each of the 32 has the product of its own factors, in a table made for it."""
    usual = {"in": [1, 200_000, 2], "write": [1.25, 200_000, 2.5], "write_1h": [2, 200_000, 4], "out": 4}
    halved = {"in": [0.5, 200_000, 1], "write": [0.625, 200_000, 1.25], "write_1h": [1, 200_000, 2]}
    later = datetime(2026, 10, 7, tzinfo=UTC).isoformat()
    tripled = {
        **usual,
        "from": later,
        "in": [3, 200_000, 6],
        "write_1h": [6, 200_000, 12],
        "write": [3.75, 200_000, 7.5],
    }
    prices = prices_of(
        {
            "prices": [usual, tripled],
            "tiers": {"flex": [halved, {**halved, "from": later}]},
            "regions": {"us": 1.1},
        }
    )
    run = Tokens(uncached=length, written={kept: 10}, service_tier=tier, region=region)

    cost = cost_of(run, "", "x", at, prices)

    base = Decimal(1) if tier else Decimal(3) if at == NOW else Decimal(1)
    base *= (Decimal("0.5") if tier else 1) * (2 if length + 10 > 200_000 else 1)
    base *= Decimal("1.1") if region else 1
    expected = base * (length + 10 * (2 if kept == "1h" else Decimal("1.25"))) / 1_000_000
    assert cost.total == expected
