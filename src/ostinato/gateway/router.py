"""Which deployment is asked, which one after it fails, and which ones rest. Nothing here waits or sends."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import (
    APIConnectionError,
    BadRequestError,
    ConfigurationError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    OstinatoError,
    RateLimitError,
    ReplayMissError,
    RequestTooLargeError,
    ServiceUnavailableError,
    UnsupportedParamsError,
)
from ostinato.gateway.affinity import ranked
from ostinato.transport.retry import RetryPolicy, retry_delay

if TYPE_CHECKING:
    from ostinato.client.ask import Told
    from ostinato.gateway.models import Alias, Deployment
    from ostinato.gateway.routing import Routing

FAILS_WINDOW_S = 60.0
"""How long a failure is remembered."""
LONGEST_REST = 16
"""A deployment that fails whenever it comes back rests twice as long each time, up to so many times `cooldown_s`."""
LONGEST_RETRY_AFTER_S = 600.0
"""The longest rest that a vendor's `retry-after` brings."""

_SPENT = "_spent"
"""Where an error says whom its flight asked in vain, how often again, and whether it passes."""

_OF_THE_REQUEST = (
    BadRequestError, ConfigurationError, ReplayMissError, RequestTooLargeError, UnsupportedParamsError,
)  # fmt: skip
"""Errors that every deployment would answer with."""


def is_deployments_fault(error: OstinatoError) -> bool:
    """Return whether another deployment may do better: all but what is wrong with the request itself."""
    return not isinstance(error, _OF_THE_REQUEST)


class State(msgspec.Struct):
    """How one deployment does, as this process saw it."""

    rests_since_s: float = float("-inf")
    rests_until_s: float = 0.0
    rests: int = 0
    """Rests since it last answered."""
    fails_at_s: list[float] = msgspec.field(default_factory=list)
    """When it failed within the last minute."""
    answers: int = 0
    failures: int = 0
    last_error: str | None = None
    """The name of the last failure's class; None since it answered."""


class Health:
    """Which deployments rest, by their id. Each worker has its own: what one learns costs the next one try."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.states: dict[str, State] = {}

    def state(self, deployment: Deployment) -> State:
        """Return what is known of a deployment."""
        return self.states.setdefault(deployment.id, State())

    def rests(self, deployment: Deployment) -> bool:
        """Return whether it is better not asked now."""
        state = self.states.get(deployment.id)
        return state is not None and state.rests_until_s > self._clock()

    def rests_until(self, deployment: Deployment) -> float:
        """Return when its rest ends, or 0.0 when it does not rest."""
        return self.state(deployment).rests_until_s if self.rests(deployment) else 0.0

    def asked(self, deployment: Deployment, routing: Routing) -> float:
        """Note that it is asked, and return when. After a rest one call tries it; others keep away meanwhile."""
        now, state = self._clock(), self.states.get(deployment.id)
        if state is not None and state.rests and state.rests_until_s <= now:
            state.rests_until_s = now + routing.cooldown_s
        return now

    def answered(self, deployment: Deployment) -> None:
        """Note that it answered: it is well."""
        state = self.state(deployment)
        state.answers += 1
        if state.last_error is not None:
            state.rests_until_s, state.rests, state.last_error = 0.0, 0, None
            state.fails_at_s.clear()

    def failed(self, deployment: Deployment, error: OstinatoError, asked_s: float, routing: Routing) -> None:
        """Note that what it was asked at `asked_s` failed, and let it rest when that is too often.

        Where waiting is asked for, or would not help, it rests at once. Calls that were on their way when it began
        to rest and fail too say nothing new.
        """
        now, state = self._clock(), self.state(deployment)
        state.failures += 1
        state.last_error = type(error).__name__
        if asked_s < state.rests_since_s:
            return
        state.fails_at_s = [at for at in state.fails_at_s if at > now - FAILS_WINDOW_S] + [now]
        at_once = isinstance(error, RateLimitError) or not error.retryable or state.rests
        if routing.cooldown_s <= 0 or not (at_once or len(state.fails_at_s) > routing.allowed_fails):
            return
        rest_s = routing.cooldown_s * min(2.0**state.rests, LONGEST_REST)
        if error.retry_after is not None:
            rest_s = max(rest_s, min(error.retry_after, LONGEST_RETRY_AFTER_S))
        state.rests += 1
        state.rests_since_s, state.rests_until_s = now, now + rest_s


class Plan:
    """One call's way through the deployments of an alias."""

    __slots__ = (
        "_asked_s",
        "_barred",
        "_delay_s",
        "_dice",
        "_flight_over",
        "_health",
        "_num_retries",
        "_order",
        "_retries",
        "_routing",
        "_spent",
        "_tried",
        "before",
        "deployment",
        "left",
        "refreshing",
    )

    def __init__(
        self,
        order: list[Deployment],
        health: Health,
        routing: Routing,
        dice: Callable[[], float],
        num_retries: int,
    ) -> None:
        self._order = order
        self._health = health
        self._routing = routing
        self._dice = dice
        self._num_retries = num_retries
        self._retries = 0
        self._tried: set[str] = set()
        self._asked_s: float | None = None
        self._barred: OstinatoError | None = None
        self.before: Callable[[], None] | None = None
        """Called before anybody is asked, and may raise."""
        self.left: Callable[[Told], None] = lambda _told: None
        """Called when who asked has left before there was anything to tell, with what was taken."""
        self.refreshing: Callable[[], Callable[[Told | None], None] | None] = lambda: lambda _told: None
        """Called before a stale entry is asked for anew: returns what hears of what that took, or None: leave it."""
        self._spent: tuple[frozenset[str], int] = frozenset(), 0
        """Whom the call had asked, and how often again, when it failed last."""
        self._delay_s: float | None = None
        self._flight_over = False
        self.deployment: Deployment = self._choose(order)
        """Whom to ask now."""

    def ask(self) -> None:
        """Say that the deployment is asked now: the cache did not answer, and nobody else is at it.

        Raises: ServiceUnavailableError: nobody here is well, and somebody else can answer. What `before` raises.
        """
        if self._barred is not None:
            raise self._barred
        if self.before is not None:
            self.before()
        self._asked_s = self._health.asked(self.deployment, self._routing)

    def answered(self) -> None:
        """Say that the deployment answered."""
        if self._asked_s is not None:
            self._health.answered(self.deployment)

    def failed(self, error: OstinatoError) -> float | None:
        """Say that the deployment failed. Return the seconds to wait before asking `deployment`, None to give up.

        Each deployment that does not rest is asked once, without waiting; then the retries begin. What failed for
        somebody else, whom this call had joined, is held against nobody once more.
        """
        self._delay_s = self._next(error)
        return self._delay_s

    def gave_up(self, error: OstinatoError) -> None:
        """Say that the flight which asked ends with `error`, of which `failed` was told, and nobody is to take it over.

        The error says whom it asked in vain: those who waited for it go on from there, as this call does.
        """
        self._flight_over = True
        error.__dict__[_SPENT] = *self._spent, error.retryable
        error.retryable = False

    def after(self, error: OstinatoError) -> float | None:
        """Return what `failed` said of `error`, or says now where nobody told it yet."""
        told, self._flight_over = self._flight_over, False
        return self._delay_s if told else self.failed(error)

    def _next(self, error: OstinatoError) -> float | None:
        if self._barred is not None or not is_deployments_fault(error):
            return None
        if self._asked_s is not None:
            self._health.failed(self.deployment, error, self._asked_s, self._routing)
            self._asked_s = None
        tried, retries, passes = error.__dict__.get(_SPENT, (frozenset(), 0, error.retryable))
        self._tried |= tried
        self._retries = max(self._retries, retries)
        self._spent = frozenset(self._tried), self._retries
        untried = [deployment for deployment in self._order if deployment.id not in self._tried]
        awake = [deployment for deployment in untried if not self._health.rests(deployment)]
        if awake or (untried and not passes):
            self.deployment = self._choose(awake or untried)
            return 0.0
        before, self.deployment = self.deployment, self._choose(self._order)
        asks_to_wait = error.retry_after if self.deployment is before else None
        failure = APIConnectionError(error.message, retry_after=asks_to_wait, retryable=passes)
        delay_s = retry_delay(failure, self._retries, RetryPolicy(self._num_retries), self._dice)
        self._retries += 1
        return delay_s

    def bar(self, error: OstinatoError) -> None:
        """Answer with `error` instead of asking anybody."""
        self._barred = error

    def _choose(self, deployments: list[Deployment]) -> Deployment:
        """Return the first that does not rest, else the one that is the nearest to the end of it."""
        chosen = min(deployments, key=self._health.rests_until)
        self._tried.add(chosen.id)
        return chosen


class Router:
    """Plans calls."""

    def __init__(
        self,
        routing: Routing,
        health: Health | None = None,
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`health` is carried over from the router before, when the configuration is read anew."""
        self.routing = routing
        self.health = health or Health()
        self._dice = dice

    def plan(
        self,
        alias: Alias,
        prefix: bytes | None,
        *,
        num_retries: int | None = None,
        last: bool | None = None,
        before: Callable[[], None] | None = None,
    ) -> Plan:
        """Return the way of a call whose prompt begins with `prefix` (`affinity.prefix_of`), None where by chance.

        `last` says that nobody stands in for the alias; None: as it is configured. Where somebody does, and every
        deployment rests, `Plan.ask` raises. It also raises what `before` does.
        """
        drawn = self._drawn() if prefix is None else prefix
        order = ranked(alias.deployments, drawn)
        if num_retries is None:
            num_retries = order[0].params.get("num_retries", self.routing.num_retries)
        resting = all(map(self.health.rests, order))
        plan = Plan(order, self.health, self.routing, _dice(drawn), num_retries)
        plan.before = before
        if last is None:
            last = not (alias.name in self.routing.fallbacks or "*" in self.routing.fallbacks)
        if resting and not last:
            why = f"every deployment of {alias.name!r} rests after a failure"
            plan.bar(ServiceUnavailableError(why, retryable=False))
        return plan

    def _drawn(self) -> bytes:
        return int(self._dice() * 2**63).to_bytes(8, "big")

    def fallbacks(self, name: str, error: OstinatoError) -> tuple[str, ...]:
        """Return the aliases to ask in order after alias `name` ended with `error`.

        Each is a call of its own: it has its own key, is looked up in the cache first, and is stored as its own.
        """
        routing = self.routing
        table: Mapping[str, Any] = routing.fallbacks
        if isinstance(error, ContextWindowExceededError):
            table = routing.context_window_fallbacks
        elif isinstance(error, ContentPolicyViolationError):
            table = routing.content_policy_fallbacks
        elif not is_deployments_fault(error):
            return ()
        return tuple(other for other in table.get(name, table.get("*", ())) if other != name)


def _dice(drawn: bytes) -> Callable[[], float]:
    """Return dice that fall the same for those who ask the same: they wait for one answer, and come back together."""
    return lambda: int.from_bytes(drawn[-4:], "big") / 2**32
