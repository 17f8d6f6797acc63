"""Requests that arrive in a dialect, answered as bytes of it: the client as the gateway uses it.

What `completion()` is for a program, `Relay` is for a server. A request that was seen before goes from its raw
bytes over a memo to its key, to the store, and out: its body is not decoded, nor is the stored one where the
dialect is the vendor's own.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ostinato.caching.flow import Ride
from ostinato.caching.key import Memo, Parts, request_key, request_parts
from ostinato.caching.record import Entry
from ostinato.caching.seat import Seat
from ostinato.client.ask import Alias, Ask, Deployment, Plan, Told
from ostinato.client.core import Settings
from ostinato.client.embeddings import EmbeddingCall
from ostinato.client.passage import Passage
from ostinato.client.request import chat_parts, key_scope
from ostinato.client.telling import Form, tell_entry, tell_flight, teller_of
from ostinato.client.way import ASKED, Way, way_to
from ostinato.errors import BadRequestError, ConfigurationError, OstinatoError
from ostinato.wire.contract import MISSHAPEN

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.policy import Policy
    from ostinato.client.aio import AsyncClient
    from ostinato.client.request import Request
    from ostinato.wire.contract import Json
    from ostinato.wire.dialects import Dialect

_encode = msgspec.json.Encoder().encode

_EMBEDDED = frozenset({"input", "model", "stream"})
_SETTLED = frozenset({"api_key", "api_base", "base_url", "timeout", "num_retries", "drop_params"})
MOST_WAYS = 1000
"""Deployments by dialect that are remembered; clients make some up, where a name is a pattern."""
MOST_SEEN_BYTES = 3 << 20
"""What is spent on requests that were seen before and on what was told of entries, together."""
LONG_REQUEST = 2048
"""Bytes above which a request is remembered by its digest."""


class _Known(msgspec.Struct, frozen=True, gc=False):
    """A request that was seen before."""

    store_key: bytes
    policy: Policy
    form: Form
    alias: str


class Relay:
    """Answers requests of dialects from a cache and the deployments of a configuration."""

    def __init__(self, client: AsyncClient, cache: Cache | None) -> None:
        self.cache = cache
        self._client = client
        self._ways: dict[tuple[str, str], Way] = {}
        self._policies: dict[str, Policy] = {}
        self._seen = Memo(MOST_SEEN_BYTES)
        """Token of a request → what was found out about it; store key, dialect and form → when the entry was stored,
        what is sent, what it saves."""

    async def recall(self, token: Any) -> Told | None:
        """Answer a request that was seen before out of the store, or return None."""
        known, cache = self._seen.get(token), self.cache
        if known is None or cache is None:
            return None
        policy, shelf = known.policy, cache.shelf
        entry = (
            shelf.recall(known.store_key, "chat", policy.max_age_s, counts_miss=False)  # spares a coroutine
            if shelf.store.instant
            else await shelf.arecall(known.store_key, "chat", policy.max_age_s, counts_miss=False)
        )
        if entry is None:
            return None
        if policy.soft_ttl_s is not None and cache.is_stale(entry, policy.soft_ttl_s):
            cache.counters.hits -= 1  # it is looked up once more, and counted then
            return None
        return self._hit(entry, known)

    async def answer(self, ask: Ask, plan: Plan) -> Told:
        """Answer a request from the cache or from a deployment, as `plan` names them; all of one wire at most.

        Raises: OstinatoError: there is no answer, or none that may be given.
        """
        way, request, parts, bypass = self._requested(ask, plan.deployment)
        policy = self._policy(ask)
        form = Form(ask.dialect, way, ask.stream, ask.shows_counts)
        seat = None if policy is None else self._seat(ask, policy, form, (request, parts, bypass))
        cache = self.cache if seat is not None else None

        def move_on(error: OstinatoError, _attempt: int) -> float | None:
            carrier = carried_by()
            return None if carrier is None else carrier.move_on(error)

        def request_to(deployment: Deployment) -> Request:
            return self._way(ask.dialect, deployment).request(ask.body, ask.headers)

        ride = Ride(way.route.wire, cache=cache, seat=seat, streams=ask.stream, retry_delay=move_on)
        passage = Passage(self._client, ride, request, plan, request_to, ask.body)
        carried_by = weakref.ref(passage)  # it holds the ride: a circle would wait for the garbage collector
        try:
            answer = await (passage.depart() if ask.stream else passage.whole())
        except asyncio.CancelledError:
            told = Told("miss", stream=ask.stream, deployment=passage.asked.id, model=ask.alias.name)
            passage.count(told)
            plan.left(told)
            raise
        if isinstance(answer, Entry):
            assert seat is not None  # noqa: S101  # only a seated ride finds an entry
            return self._hit(answer, _Known(seat.store_key, seat.policy, form, ask.alias.name))
        asked, request = answer.origin or (passage.asked, request)
        form = replace(form, way=self._way(ask.dialect, asked))
        told = Told("miss", stream=ask.stream, deployment=asked.id, model=ask.alias.name)
        told.provider = request.route.provider.name
        if ride.founder:
            told.said = request.said
        self._explain(told, ride, policy)
        if ask.stream:
            teller = teller_of(answer.wire, form, told, request.pricer, ride=ride)
            told.events = passage.told(answer, teller, told)
        else:
            tell_flight(answer, form, told, request, free=not ride.paid)
        return told

    async def embed(self, ask: Ask, plan: Plan) -> Told:
        """Answer a request for embeddings, each input from the cache or from the deployment that `plan` names.

        Raises: OstinatoError: there is no answer.
        """
        deployment = plan.deployment
        route = self._client._route(deployment.model)
        own = {**deployment.params, **{name: value for name, value in ask.body.items() if name not in _EMBEDDED}}
        settings = Settings(
            deployment.model,
            ask.body.get("input"),
            {name: value for name, value in own.items() if name not in _SETTLED},
            stream=False,
            sample_index=ask.sample_index,
            api_key=own.get("api_key"),
            api_base=own.get("api_base") or own.get("base_url"),
            timeout=own.get("timeout"),
            num_retries=0,
            drop_params=False,
        )
        policy, cache = self._policy(ask), self.cache
        binding = None
        if policy is not None and cache is not None and (cache.caches("embedding") or policy.replay):
            binding = cache, policy
        shared = _shared(ask.alias) if len(ask.alias.deployments) > 1 else None
        try:
            with reading(ask.body):
                call = EmbeddingCall(settings, route, binding, shared)
        except ConfigurationError as error:
            raise BadRequestError(error.message) from None  # such a model has none
        plan.ask()
        answer = await self._client._embedded(call)
        told = Told("bypass", _encode(answer), miss="bypass", deployment=deployment.id, model=ask.alias.name)
        told.provider = route.provider.name
        told.said = call.asked.said
        if binding is not None:
            seats = [place.ride.seat for place in call.places if place.ride.seat is not None]
            told.cache = "hit" if answer.cache_hit else "shared" if answer._free else "miss"
            told.key = seats[0].key.hex() if len(seats) == 1 else ""
            told.miss = "" if answer.cache_hit else _miss_of(seats, binding[1])
            if answer.cache_hit:
                now, ends = binding[0].clock(), [place.expires_at for place in call.places if place.expires_at]
                told.age_s = max(0.0, now - min(place.stored_at for place in call.places))
                told.ttl_s = max(0.0, min(ends) - now) if ends else None
        whole = answer.cost_details
        paid = answer._bought.cost_details if hasattr(answer, "_bought") else whole
        told.runs = getattr(answer, "_runs", None) or ()
        if whole is not None and paid is not None:
            told.paid_pico = 0 if answer._paid_nothing else paid.total_pico
            told.saved_pico = whole.total_pico - told.paid_pico
        return told

    async def count_tokens(self, ask: Ask, deployment: Deployment) -> int | None:
        """Return how many tokens a prompt has, by its vendor's count; None where it has none for the dialect.

        Raises: OstinatoError: the vendor could not say.
        """
        way = self._way(ask.dialect, deployment)
        if not (way.native and ask.dialect.counted):
            return None
        request = way.request(ask.body, ask.headers)
        body = {name: value for name, value in request.built.body.items() if name in ask.dialect.counted}
        request.built = replace(request.built, path=f"{request.built.path}/count_tokens", body=body)
        counted = (await self._client._ask(request)).get("input_tokens")
        return counted if isinstance(counted, int) else None

    # From a request to its place in the cache.

    def _requested(self, ask: Ask, deployment: Deployment) -> tuple[Way, Request, Parts, str | None]:
        """Return the way to a deployment, what is sent on it, the request in normal form, and why it bypasses."""
        way = self._way(ask.dialect, deployment)
        with reading(ask.body):
            request = way.request(ask.body, ask.headers)
            bypass = way.route.wire.bypass(request.built.body)
            return way, request, self._parts(ask, way, request), bypass

    def _parts(self, ask: Ask, way: Way, request: Request) -> Parts:
        """Return a request in normal form.

        Behind a name with several deployments they share entries: then the name and what is behind it stand for the
        endpoint, and the deployment that is first by its model for how the request is written.
        """
        alias = ask.alias
        if len(alias.deployments) == 1:
            return chat_parts(request)
        first = min(alias.deployments, key=lambda deployment: (deployment.model, deployment.id))
        if first is not way.deployment:
            way = self._way(ask.dialect, first)
            request = way.request(ask.body, ask.headers)
        body = way.route.wire.keyed_body(request.built.body)
        if "model" in body:
            body = body | {"model": alias.name}
        return request_parts(_shared(alias)[0], request.headers, body)

    def _way(self, dialect: Dialect, deployment: Deployment) -> Way:
        key = deployment.id, dialect.name
        way = self._ways.get(key)
        if way is None or way.deployment != deployment:
            way = way_to(self._client, dialect, deployment)
            if len(self._ways) >= MOST_WAYS:
                self._ways.clear()
            self._ways[key] = way
        return way

    def _policy(self, ask: Ask) -> Policy | None:
        """Return what a request may do with the cache, as its tenant; None where there is none.

        Raises: BadRequestError: a control that there is not, or that cannot be so.
        """
        cache = self.cache
        if cache is None:
            return None
        if ask.controls:
            try:
                policy = cache.policy(ask.controls)
            except ConfigurationError as error:
                raise BadRequestError(error.message) from None
            return _of_tenant(policy, ask.tenant)
        known = self._policies.get(ask.tenant)
        if known is None:
            if len(self._policies) >= 10_000:
                self._policies.clear()
            known = self._policies[ask.tenant] = _of_tenant(cache.default, ask.tenant)
        return known

    def _seat(self, ask: Ask, policy: Policy, form: Form, requested: tuple[Request, Parts, str | None]) -> Seat | None:
        cache, wire = self.cache, form.way.route.wire
        assert cache is not None  # noqa: S101  # who has a policy has a cache
        request, parts, bypass = requested
        key = request_key(key_scope(cache, policy, request), "chat", parts, ask.sample_index)
        store_key = policy.scope.tag() + key
        keeps_all = policy.replay or policy.keep_request
        if not keeps_all and (not cache.caches("chat") or (bypass is not None and not policy.asked)):
            cache.counters.bypassed += 1
            return None
        if not policy.read:
            cache.counters.bypassed += 1
            if not policy.write:
                return None
        elif ask.token is not None and cache.remembers:
            known = _Known(store_key, policy, form, ask.alias.name)
            self._seen.put(ask.token, known, 200 + _size(ask.token))
        seat = Seat(cache, policy, store_key, "chat", wire.name, form.way.deployment.model)
        seat.parts = parts
        seat.alone = any(self._way(ask.dialect, each).route.wire is not wire for each in ask.alias.deployments)
        if policy.keep_request:
            seat.request = request.built.body
        return seat

    # From an answer to what is told of it.

    def _hit(self, entry: Entry, known: _Known) -> Told:
        cache, form = self.cache, known.form
        assert cache is not None  # noqa: S101  # an entry came out of it
        key = known.store_key, form.dialect.name, form.stream, form.shows_counts
        prepared: tuple[float, bytes | None, int | None, Any] | None = self._seen.get(key)
        told = Told("hit", stream=form.stream, deployment=form.way.deployment.id, model=known.alias, paid_pico=0)
        if prepared is None or prepared[0] != entry.stored_at:
            tell_entry(entry, form, told)
            kept = None if told.body is entry.body else told.body
            self._seen.put(key, (entry.stored_at, kept, told.saved_pico, told.runs), 300 + len(kept or b""))
        else:
            _, body, told.saved_pico, told.runs = prepared
            told.body = entry.body if body is None else body
        now = cache.clock()
        until = entry.expires_at
        told.key = entry.key.hex()
        told.age_s = max(0.0, now - entry.stored_at)
        told.ttl_s = None if until is None else max(0.0, until - now)
        told.provider = form.way.route.provider.name
        return told

    def _explain(self, told: Told, ride: Ride, policy: Policy | None) -> None:
        """Say where an answer that is no hit comes from, and why."""
        seat = ride.seat
        if seat is None:
            told.cache = "bypass"
            told.miss = "no-cache" if policy is not None and not policy.read else "bypass"
            return
        told.key = seat.key.hex()
        if not ride.founder:
            told.cache = "shared"
        told.miss = seat.miss if seat.policy.read else "no-cache"


@contextmanager
def reading(body: Json) -> Iterator[None]:
    """Have whatever a request breaks while it is read and translated be the request's fault.

    A translation is a pure function: it can only break by what it is given.
    """
    try:
        yield
    except ConfigurationError as error:
        if not ASKED.isdisjoint(body):
            raise BadRequestError(error.message) from None
        raise
    except OstinatoError:
        raise
    except RecursionError:
        raise BadRequestError("the request is nested too deeply") from None
    except MISSHAPEN as error:
        raise BadRequestError(f"the request is not of the shape that it must have: {error}") from error


def _shared(alias: Alias) -> tuple[str, str]:
    """Return what stands for endpoint and model where several deployments share entries."""
    return f"POST alias {alias.name} {alias.digest}", alias.name


def _miss_of(seats: list[Seat], policy: Policy) -> str:
    return next((seat.miss for seat in seats), "new") if policy.read else "no-cache"


def _size(token: Any) -> int:
    return sum(len(part) for part in token if isinstance(part, (bytes, str)))


def _of_tenant(policy: Policy, tenant: str) -> Policy:
    return replace(policy, scope=replace(policy.scope, tenant=tenant)) if tenant else policy
