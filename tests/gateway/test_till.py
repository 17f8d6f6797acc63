from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import BudgetExceededError, RateLimitError
from ostinato.gateway.keys import Key
from ostinato.gateway.till import IDLE_S, Ticket, Till
from ostinato.gateway.vault import GRANT_LIFE_S
from ostinato.ledger.line import Line, Outcome
from ostinato.testing.clock import ManualClock
from tests.gateway.places import Place
from tests.stores.redis_server import RedisServer

CENT = 10**10
"""Picodollars."""


class Shop:
    """Several processes' tills over one place, on one clock."""

    def __init__(self, place: Place, tills: int = 2) -> None:
        self.clock = ManualClock()
        self.clock.advance(20_000 * 86_400 - self.clock())  # a midnight, so that no minute ends by chance
        self.place = place
        self.tills = [self.till(str(number)) for number in range(tills)]

    def till(self, worker: str) -> Till:
        return Till(self.place.vault(), worker, clock=self.clock)

    def line(self, key: Key | None, cost_pico: int = CENT, outcome: Outcome = "miss", tokens: int = 10) -> Line:
        billed = tokens if outcome == "miss" else 0
        key_id = "" if key is None else key.id
        return Line(self.clock(), "t", key_id, "m", outcome, uncached=billed, cost_pico=cost_pico if billed else 0)

    def call(self, till: Till, key: Key | None, cost_pico: int = CENT, outcome: Outcome = "miss") -> None:
        ticket = till.admit(key, "m") if outcome == "hit" else let_in(till, key)
        till.settle(ticket, self.line(key, cost_pico, outcome))

    def until_refused(self, key: Key, outcome: Outcome = "miss", pause_s: float = 0.0) -> int:
        """Call in turn on every till. Return how many calls were let in before all refuse."""
        calls, tills = 0, list(self.tills)
        while tills and calls < 10_000:
            till = tills[calls % len(tills)]
            ticket = admitted(till, key)
            if ticket is None:
                tills.remove(till)
                continue
            till.settle(ticket, self.line(key, outcome=outcome))
            calls += 1
            self.clock.advance(pause_s)
        return calls


def let_in(till: Till, key: Key | None) -> Ticket:
    """Let a call in that goes upstream."""
    ticket = till.admit(key, "m")
    try:
        till.draw(ticket)
        till.draw(ticket)
    except (BudgetExceededError, RateLimitError):
        till.settle(ticket, None)
        raise
    return ticket


def admitted(till: Till, key: Key) -> Ticket | None:
    try:
        return let_in(till, key)
    except (BudgetExceededError, RateLimitError):
        return None


def test_a_budget_is_spent_to_its_end_and_not_beyond(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", budget_usd=1)
    calls = shop.until_refused(key)

    assert 98 <= calls <= 100
    with pytest.raises(BudgetExceededError, match=r"the budget of key 'a' is spent: \$1"):
        let_in(shop.tills[0], key)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_budget_holds_within_two_percent_under_calls_side_by_side(
    redis_server: RedisServer, seed: int, workers: int
) -> None:
    import tempfile

    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), redis_server.settings if seed % 2 else None)
        shop, key = Shop(place, workers), Key(id="a", budget_usd=30)
        spent = 0
        flying: list[tuple[Till, Ticket]] = []
        refused = 0
        while refused < 200 and spent < 4000 * CENT:
            till = chance.choice(shop.tills)
            shop.clock.advance(0.01)
            if len(flying) < 32 and (ticket := admitted(till, key)) is not None:
                flying.append((till, ticket))
            else:
                refused += len(flying) < 32
                if flying:
                    till, ticket = flying.pop(chance.randrange(len(flying)))
                    cost = round(CENT * chance.uniform(0.5, 1.5))
                    spent += cost
                    till.settle(ticket, shop.line(key, cost))
            if chance.random() < 0.05:
                till.flush()

        assert 0.98 * 3000 * CENT <= spent <= 1.02 * 3000 * CENT


def test_a_process_that_begins_at_the_end_of_a_budget_lets_few_calls_in_at_once(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", budget_usd=4)
    for _ in range(397):
        shop.call(shop.tills[0], key)
    let = [admitted(shop.tills[1], key) for _ in range(32)]

    assert 1 <= sum(ticket is not None for ticket in let) <= 3


def test_what_many_processes_have_taken_and_do_not_use_is_little_of_a_limit(place: Place) -> None:
    shop, key = Shop(place, 8), Key(id="a", rpm=10_000)
    for till in shop.tills:
        shop.call(till, key, outcome="hit")
    for till in shop.tills:
        till.flush()
    del shop.tills[1:]

    assert shop.until_refused(key, outcome="hit") >= 9_750


def test_hits_and_failed_calls_cost_no_budget(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", budget_usd=0.02)
    till = shop.tills[0]
    for _ in range(50):
        shop.call(till, key, outcome="hit")
        till.settle(let_in(till, key), None)
    shop.call(till, key)
    shop.call(till, key)

    with pytest.raises(BudgetExceededError):
        let_in(till, key)


def test_a_budget_of_a_day_begins_anew_with_the_day(place: Place) -> None:
    shop, key = Shop(place, 1), Key(id="a", budget_usd=0.01, budget_period="day")
    till = shop.tills[0]
    shop.call(till, key)
    with pytest.raises(BudgetExceededError, match="for today"):
        let_in(till, key)

    shop.clock.advance(86_400)
    shop.call(till, key)

    with pytest.raises(BudgetExceededError):
        let_in(till, key)


def test_a_budget_outlives_a_restart(place: Place) -> None:
    shop, key = Shop(place, 1), Key(id="a", budget_usd=0.03)
    shop.call(shop.tills[0], key)
    shop.call(shop.tills[0], key)
    shop.tills[0].close()
    again = shop.till("again")
    shop.call(again, key)

    with pytest.raises(BudgetExceededError):
        let_in(again, key)


def test_what_a_dead_process_had_granted_is_free_again(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", budget_usd=0.01)
    dead, other = shop.tills
    shop.call(dead, key, cost_pico=CENT // 4)
    assert [admitted(dead, key) is not None for _ in range(4)] == [True, True, True, False]
    assert admitted(other, key) is None

    shop.clock.advance(GRANT_LIFE_S + 1)

    assert admitted(other, key) is not None


def test_calls_a_minute_are_counted_over_all_processes_hits_included(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", rpm=600)
    calls = shop.until_refused(key, outcome="hit", pause_s=0.01)

    assert 588 <= calls <= 600
    with pytest.raises(RateLimitError, match="600 calls a minute") as refused:
        let_in(shop.tills[0], key)
    assert refused.value.retry_after == pytest.approx(60 - calls * 0.01)


def test_a_new_minute_lets_calls_in_again(place: Place) -> None:
    shop, key = Shop(place, 1), Key(id="a", rpm=2)
    till = shop.tills[0]
    for _ in range(3):
        shop.call(till, key)
        shop.call(till, key)
        assert admitted(till, key) is None
        shop.clock.advance(60)


def test_billed_tokens_a_minute_are_bounded_and_served_ones_are_not(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", tpm=1000)
    for _ in range(500):
        shop.call(shop.tills[0], key, outcome="hit")

    assert 98 <= shop.until_refused(key) <= 102
    with pytest.raises(RateLimitError, match="1000 tokens a minute"):
        let_in(shop.tills[0], key)


def test_an_idle_process_gives_its_grant_back(place: Place) -> None:
    shop, key = Shop(place), Key(id="a", rpm=1)
    idle, busy = shop.tills
    idle.settle(let_in(idle, key), None)
    assert admitted(busy, key) is None
    shop.clock.advance(IDLE_S + 1)
    idle.flush()

    assert admitted(busy, key) is not None


def test_every_call_is_in_the_ledger_once_whatever_the_processes(place: Place) -> None:
    shop, key = Shop(place), Key(id="a")
    outcomes: list[Outcome] = ["hit", "miss", "shared", "error", "bypass"]
    for number in range(100):
        till = shop.tills[number % 2]
        shop.call(till, key if number % 3 else None, cost_pico=7, outcome=outcomes[number % 5])
        if number % 10 == 0:
            till.flush()
    for till in shop.tills:
        till.close()
    sums = place.vault().spend(["key_id"])

    assert sum(row["calls"] for row in sums) == 100
    assert {row["key_id"] for row in sums} == {"", "a"}
    assert sum(row["hits"] for row in sums) == 20
    assert sum(row["errors"] for row in sums) == 20
    assert sum(row["cost_pico"] for row in sums) == 20 * 7


def test_a_key_without_limits_touches_no_file(tmp_path: Path) -> None:
    shop = Shop(Place(tmp_path), 1)
    till = shop.tills[0]
    till.settle(till.admit(Key(id="a"), "m"), None)
    till.flush()

    assert not shop.place.path.exists()
