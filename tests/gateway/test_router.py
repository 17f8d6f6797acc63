from __future__ import annotations

import pytest

from ostinato.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    OstinatoError,
    RateLimitError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.gateway.affinity import prefix_of
from ostinato.gateway.models import Alias, Deployment
from ostinato.gateway.router import Health, Plan, Router
from ostinato.gateway.routing import Routing
from ostinato.testing.clock import ManualClock

PREFIX = bytes(32)
"""Falls as the smallest number where dice do, so that pauses are what they are at most."""
BROKEN = InternalServerError("down")


def alias_of(count: int) -> Alias:
    return Alias.of("gpt", [Deployment(f"d{index}", "openai/gpt-4o") for index in range(count)])


class Place:
    """A router with a clock of its own, and the plans that it makes for one prefix."""

    def __init__(self, count: int = 3, routing: Routing | None = None) -> None:
        self.clock = ManualClock()
        self.router = Router(routing or Routing(), Health(self.clock), dice=lambda: 0.0)
        self.alias = alias_of(count)

    def plan(self, **settings: object) -> Plan:
        return self.router.plan(self.alias, PREFIX, **settings)  # type: ignore[arg-type]

    def first(self) -> str:
        plan = self.plan()
        plan.ask()
        plan.answered()
        return plan.deployment.id

    def fail(self, error: OstinatoError | None = None) -> str:
        """Return who failed a call that gave up at once."""
        plan = self.plan(num_retries=0)
        plan.ask()
        failed = plan.deployment.id
        plan.failed(error or BROKEN)
        return failed


def drive(plan: Plan, error: OstinatoError) -> list[tuple[str, float]]:
    """Return whom a plan asks, and after how long, when everybody answers with `error`."""
    asked: list[tuple[str, float]] = []
    delay: float | None = 0.0
    while delay is not None:
        plan.ask()
        asked.append((plan.deployment.id, delay))
        delay = plan.failed(error)
    return asked


def test_one_prefix_goes_to_one_deployment() -> None:
    place = Place()

    assert len({place.first() for _ in range(20)}) == 1


def test_without_a_prefix_chance_decides() -> None:
    draws = iter([number / 50 for number in range(50)])
    router = Router(Routing(), dice=lambda: next(draws))

    assert len({router.plan(alias_of(3), None).deployment.id for _ in range(50)}) == 3


def test_every_other_deployment_is_asked_at_once_before_any_is_asked_again() -> None:
    asked = drive(Place(routing=Routing(num_retries=2)).plan(), BROKEN)

    assert len({name for name, _ in asked[:3]}) == 3
    assert [delay for _, delay in asked] == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_a_single_deployment_is_asked_again_after_a_pause() -> None:
    assert [delay for _, delay in drive(Place(1).plan(num_retries=1), BROKEN)] == [0.0, 0.5]


@pytest.mark.parametrize("error", [BadRequestError("no"), ContextWindowExceededError("long")])
def test_what_is_wrong_with_the_request_is_asked_once_and_held_against_nobody(error: OstinatoError) -> None:
    place = Place()
    asked = drive(place.plan(), error)

    assert len(asked) == 1
    assert place.first() == asked[0][0]


def test_a_key_that_is_refused_leaves_the_call_to_the_others() -> None:
    asked = drive(Place().plan(), AuthenticationError("no key"))

    assert [delay for _, delay in asked] == [0.0, 0.0, 0.0]
    assert len({name for name, _ in asked}) == 3


def test_a_deployment_that_failed_rests_and_comes_back_by_itself() -> None:
    place = Place(routing=Routing(cooldown_s=5))
    failed = place.fail()
    others = {place.first() for _ in range(3)}
    place.clock.advance(5.1)

    assert failed not in others
    assert place.first() == failed
    assert place.first() == failed


def test_after_a_rest_one_call_tries_and_the_others_keep_away() -> None:
    place = Place()
    failed = place.fail()
    place.clock.advance(6)
    trying = place.plan()
    trying.ask()
    meanwhile = place.plan()

    assert trying.deployment.id == failed
    assert meanwhile.deployment.id != failed


def test_one_that_fails_whenever_it_comes_back_rests_longer_each_time() -> None:
    place = Place(1, Routing(cooldown_s=1))
    state = place.router.health.state(place.alias.deployments[0])
    rests = []
    for _ in range(6):
        place.fail()
        rests.append(state.rests_until_s - place.clock())
        place.clock.now = state.rests_until_s

    assert rests == [1, 2, 4, 8, 16, 16]


def test_calls_that_fail_together_are_one_failure() -> None:
    place = Place(1)
    plans = [place.plan(num_retries=0) for _ in range(5)]
    for plan in plans:
        plan.ask()
    for plan in plans:
        place.clock.advance(0.01)
        plan.failed(BROKEN)

    state = place.router.health.states["d0"]
    assert (state.rests, state.failures) == (1, 5)


def test_who_waited_for_a_flight_goes_on_where_it_ended_with_the_same_pause() -> None:
    place = Place(2)
    leader, follower = place.plan(num_retries=1), place.plan(num_retries=1)
    for error in (BROKEN.copy(), BROKEN.copy()):
        leader.ask()
        leader.failed(error)
    leader.gave_up(error)
    pauses = [plan.after(error.copy()) for plan in (leader, follower)]

    assert pauses == [0.5, 0.5]
    assert follower.deployment is leader.deployment
    leader.ask()
    leader.failed(error := BROKEN.copy())
    leader.gave_up(error)
    assert [plan.after(error) for plan in (leader, follower)] == [None, None]


def test_those_who_ask_something_else_come_back_at_another_time() -> None:
    router = Router(Routing(num_retries=1))
    delays = set()
    for number in range(5):
        plan = router.plan(alias_of(1), prefix_of({"input": f"question {number}"}))
        delays.add(plan.failed(BROKEN))

    assert len(delays) == 5


def test_who_joined_a_call_that_failed_moves_on_and_holds_it_against_nobody() -> None:
    place = Place()
    leader, follower = place.plan(), place.plan()
    leader.ask()
    delays = [plan.failed(BROKEN) for plan in (follower, leader)]

    assert delays == [0.0, 0.0]
    assert leader.deployment is follower.deployment
    assert [state.failures for state in place.router.health.states.values()] == [1]


def test_a_call_that_the_cache_answers_takes_no_try_from_one_that_comes_back() -> None:
    place = Place()
    failed = place.fail()
    place.clock.advance(6)
    place.plan()

    assert place.plan().deployment.id == failed


def test_an_answer_ends_what_was_held_against_it() -> None:
    place = Place(1, Routing(cooldown_s=1))
    for _ in range(2):
        place.fail()
        place.clock.advance(9)
    place.first()
    place.fail()

    state = place.router.health.states["d0"]
    assert state.rests == 1
    assert (state.answers, state.failures) == (1, 3)


def test_some_failures_a_minute_may_be_allowed() -> None:
    place = Place(1, Routing(allowed_fails=2))
    place.fail()
    place.clock.advance(61)
    rested = []
    for _ in range(3):
        place.fail()
        rested.append(place.router.health.rests(place.alias.deployments[0]))

    assert rested == [False, False, True]


def test_a_rate_limit_rests_at_once_and_as_long_as_the_vendor_says() -> None:
    place = Place(routing=Routing(allowed_fails=9))
    name = place.fail(RateLimitError("slow down", retry_after=30))
    limited = next(deployment for deployment in place.alias.deployments if deployment.id == name)
    place.clock.advance(29)

    assert place.router.health.rests(limited)
    place.clock.advance(2)
    assert not place.router.health.rests(limited)


def test_the_wait_that_one_vendor_asks_for_is_not_waited_for_another() -> None:
    place = Place(2)
    plan = place.plan(num_retries=1)
    plan.ask()
    plan.failed(BROKEN)
    plan.ask()
    delay = plan.failed(RateLimitError("slow down", retry_after=30))

    assert delay == 0.5


def test_a_resting_deployment_is_skipped_while_another_is_awake() -> None:
    place = Place(2)
    resting = place.fail(Timeout("slow"))
    asked = drive(place.plan(num_retries=0), BROKEN)

    assert resting not in [name for name, _ in asked]


def test_when_all_rest_the_call_is_made_all_the_same() -> None:
    place = Place(2)
    drive(place.plan(num_retries=0), APIConnectionError("no way"))

    assert place.plan().deployment is not None


@pytest.mark.parametrize("fallbacks", [{"gpt": ("claude",)}, {"*": ("claude",)}])
def test_when_all_rest_and_somebody_else_can_answer_nobody_is_asked(fallbacks: dict[str, tuple[str, ...]]) -> None:
    place = Place(2, Routing(fallbacks=fallbacks))
    drive(place.plan(num_retries=0), BROKEN)
    plan = place.plan()

    with pytest.raises(ServiceUnavailableError, match="'gpt'") as caught:
        plan.ask()
    assert plan.failed(caught.value) is None
    assert place.router.fallbacks("gpt", caught.value) == ("claude",)
    place.plan(last=True).ask()
    place.clock.advance(60)
    place.plan().ask()


def test_cooldowns_can_be_turned_off() -> None:
    place = Place(routing=Routing(cooldown_s=0))
    failed = place.fail()

    assert place.first() == failed


def test_what_was_learned_outlives_a_new_configuration() -> None:
    place = Place()
    failed = place.fail()
    renewed = Router(Routing(cooldown_s=9), place.router.health)

    assert renewed.plan(place.alias, PREFIX).deployment.id != failed


def test_fallbacks_are_for_what_another_model_can_mend() -> None:
    router = Router(
        Routing(
            fallbacks={"gpt": ("gpt", "claude"), "*": ("any",)},
            context_window_fallbacks={"gpt": ("long",)},
            content_policy_fallbacks={"gpt": ("bold",)},
        )
    )

    assert router.fallbacks("gpt", BROKEN) == ("claude",)
    assert router.fallbacks("other", BROKEN) == ("any",)
    assert router.fallbacks("any", BROKEN) == ()
    assert router.fallbacks("gpt", ContextWindowExceededError("long")) == ("long",)
    assert router.fallbacks("gpt", ContentPolicyViolationError("no")) == ("bold",)
    assert router.fallbacks("gpt", BadRequestError("no")) == ()
