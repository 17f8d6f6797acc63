"""What is noted of every request: counts, and a log line where something failed. Never its words."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ostinato.gateway.logs import say
from ostinato.gateway.spans import OPERATIONS, find_tracer, record
from ostinato.gateway.tally import Labels, Tally

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.models import Models
    from ostinato.gateway.router import Health
    from ostinato.ledger.line import Line

_DOLLARS = 10.0**-12


class Watch:
    """Notes requests for metrics, the log and traces. One a process, whatever the configuration."""

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()
        self._tracer = find_tracer()
        self._in_flight = 0
        self._followed: dict[tuple[str, Labels], int] = {}

    def begin(self) -> float:
        """Note that a request has come. Return when, for `end`."""
        self._in_flight += 1
        return time.perf_counter()

    def end(self, exchange: Exchange, route: str, began_s: float) -> None:
        """Note that a request is answered, or left. `route` is one of ours, never a path that a client made up."""
        self._in_flight -= 1
        seconds = time.perf_counter() - began_s
        told, tally = exchange.told, self.tally
        model, cache = ("", "") if told is None else (told.model, told.cache)
        tally.count("requests", (route, model, str(exchange.status), cache))
        if told is not None:
            tally.observe("request_seconds", (route, cache), seconds)
            if exchange.begun_s is not None:
                tally.observe("first_byte_seconds", (route, cache), exchange.begun_s - began_s)
        if exchange.status >= 500:
            said = {"call": exchange.call_id, "route": route, "model": model, "status": exchange.status}
            say("a request failed", level=logging.WARNING, **said)
        if self._tracer is not None and route in OPERATIONS:
            record(self._tracer, exchange, OPERATIONS[route], seconds)

    def spent(self, line: Line) -> None:
        """Note what a call took and what the caches saved on it."""
        tally, model = self.tally, line.model
        if line.outcome in {"hit", "shared"}:
            tally.count("saved_dollars", (model, "response_cache"), line.saved_pico * _DOLLARS)
            return
        for kind in ("uncached", "read", "written", "output"):
            tokens = getattr(line, kind)
            if tokens:
                tally.count("tokens", (model, kind), tokens)
        if line.cost_pico:
            tally.count("cost_dollars", (model,), line.cost_pico * _DOLLARS)
        for by, saved in (("response_cache", line.saved_pico), ("prompt_cache", line.prompt_saved_pico)):
            if saved > 0:
                tally.count("saved_dollars", (model, by), saved * _DOLLARS)
            elif saved:
                tally.count("prompt_write_dollars", (model,), -saved * _DOLLARS)

    def look(self, models: Models, health: Health, cache: Mapping[str, int]) -> None:
        """Bring up to date what others count: deployments and the cache."""
        self.tally.set("in_flight", (), self._in_flight)
        for _, group in models.groups():
            for deployment in group:
                self.tally.set("deployment_rests", (deployment.id,), float(health.rests(deployment)))
        for name, state in health.states.items():
            self._follow("upstream_calls", (name, "answered"), state.answers)
            self._follow("upstream_calls", (name, "failed"), state.failures)
        for event, count in cache.items():
            self._follow("cache_events", (event,), count)

    def _follow(self, name: str, labels: Labels, count: int) -> None:
        """Count what somebody else's counter has grown by: it begins anew with its owner, ours must not."""
        before = self._followed.get((name, labels), 0)
        if count != before:
            self._followed[name, labels] = count
            self.tally.count(name, labels, count - before if count > before else count)
