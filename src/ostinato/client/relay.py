"""Requests that arrive in a dialect, answered as bytes of it: the client as the gateway uses it.

What `completion()` is for a program, `Relay` is for a server. A request that was seen before goes from its raw
bytes over a memo to its key, to the store, and out: its body is not decoded, nor is the stored one where the
dialect is the vendor's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from ostinato.caching.flight import Flight
from ostinato.caching.flow import Ride
from ostinato.caching.key import Memo, Parts, request_key, request_parts
from ostinato.caching.record import Entry
from ostinato.caching.seat import Seat
from ostinato.client.core import name
from ostinato.client.passage import Passage, Straight, Teller, Turned
from ostinato.client.request import chat_parts
from ostinato.client.way import Deployment, Way, way_to
from ostinato.errors import BadRequestError, ConfigurationError
from ostinato.records import Answer, Completion, Usage
from ostinato.wire import find_wire

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.policy import Policy
    from ostinato.client.aio import AsyncClient
    from ostinato.client.request import Request
    from ostinato.client.route import Pricer
    from ostinato.pricing import Cost
    from ostinato.wire.contract import Json, Wire
    from ostinato.wire.dialects import Dialect

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

LONG_REQUEST = 2048
"""Bytes above which a request is remembered by its digest."""


class Alias(Protocol):
    """A name that clients write, and who answers for it."""

    @property
    def name(self) -> str: ...

    @property
    def deployments(self) -> Sequence[Deployment]: ...

    @property
    def digest(self) -> str:
        """Stands for the models behind the name."""


class Ask(msgspec.Struct, frozen=True):
    """A request of a dialect, let in."""

    dialect: Dialect
    body: Json
    alias: Alias
    tenant: str = ""
    """Whose entries it may read and makes."""
    headers: Mapping[str, str] = {}
    """Those of its headers that count."""
    controls: Mapping[str, Any] = {}
    """What it says of the cache."""
    token: Any = None
    """What it is remembered by; None: not at all."""

    @property
    def stream(self) -> bool:
        """Whether it wants a stream."""
        return bool(self.body.get("stream"))

    @property
    def shows_counts(self) -> bool:
        """Whether a stream tells its usage in a chunk of its own."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))


class Told(msgspec.Struct):
    """An answer, and what there is to say beside it."""

    cache: Literal["hit", "miss", "shared", "bypass"]
    body: bytes = b""
    """The whole; of a stream that is there already, all its events."""
    events: AsyncIterator[bytes] | None = None
    """A stream that is on its way. Close it."""
    stream: bool = False
    miss: str = ""
    """Why it was not in the cache."""
    key: str = ""
    age_s: float | None = None
    ttl_s: float | None = None
    """Seconds that the entry is still kept."""
    cost: str | None = None
    """US dollars paid, exactly; None: not known, or not yet."""
    saved: str | None = None
    """US dollars not paid, exactly."""
    deployment: str = ""
    model: str = ""


class _Known(msgspec.Struct, frozen=True):
    """A request that was seen before."""

    store_key: bytes
    policy: Policy
    dialect: Dialect
    way: Way
    stream: bool
    shows_counts: bool
    alias: str


class Relay:
    """Answers requests of dialects from a cache and the deployments of a configuration."""

    def __init__(self, client: AsyncClient, cache: Cache | None) -> None:
        self.cache = cache
        self._client = client
        self._ways: dict[tuple[str, str], Way] = {}
        self._policies: dict[str, Policy] = {}
        self._known = Memo(8 << 20)
        """Token of a request → what was found out about it."""
        self._told = Memo(16 << 20)
        """Store key, dialect and form → when it was stored, what is sent, what it saves."""

    def recall(self, token: Any) -> Told | None:
        """Answer a request that was seen before out of a store that answers at once, or return None."""
        known, cache = self._known.get(token), self.cache
        if known is None or cache is None or not cache.store.instant:
            return None
        policy = known.policy
        entry = cache.shelf.recall(known.store_key, "chat", policy.max_age_s)
        if entry is None or (policy.soft_ttl_s is not None and cache.is_stale(entry, policy.soft_ttl_s)):
            return None
        return self._hit(entry, known)

    async def answer(self, ask: Ask, deployment: Deployment) -> Told:
        """Answer a request from the cache or from a deployment, which is asked once.

        Raises: OstinatoError: there is no answer, or none that may be given.
        """
        way, request, parts = self._requested(ask, deployment)
        policy = self._policy(ask)
        wire = way.route.wire
        seat = None if policy is None else self._seat(ask, policy, way, request, parts)
        cache = self.cache if seat is not None else None
        ride = Ride(wire, cache=cache, seat=seat, streams=ask.stream, retry_delay=request.retry_delay)
        passage = Passage(self._client, ride, request)
        answer = await (passage.depart() if ask.stream else passage.whole())
        if isinstance(answer, Entry):
            assert seat is not None  # noqa: S101  # only a seated ride finds an entry
            return self._hit(answer, self._known_as(ask, way, seat.store_key, seat.policy))
        told = Told("miss", stream=ask.stream, deployment=way.deployment.id, model=ask.alias.name)
        self._explain(told, ride, policy)
        if ask.stream:
            teller = self._teller(ask, way, answer.wire, request.pricer, ride)
            told.events = passage.told(answer, teller)
        else:
            self._tell_whole(told, answer, ask, request, ride)
        return told

    # From a request to its place in the cache.

    def _requested(self, ask: Ask, deployment: Deployment) -> tuple[Way, Request, Parts]:
        """Return the way to a deployment, what is sent on it, and the request in normal form."""
        try:
            way = self._way(ask.dialect, deployment)
            request = way.request(ask.body, ask.headers)
            return way, request, self._parts(ask, way, request)
        except RecursionError:
            raise BadRequestError("the request is nested too deeply") from None
        except ConfigurationError as error:
            if "cache_control_injection_points" in ask.body:
                raise BadRequestError(error.message) from None
            raise

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
        return request_parts(f"POST alias {alias.name} {alias.digest}", request.headers, body)

    def _way(self, dialect: Dialect, deployment: Deployment) -> Way:
        key = deployment.id, dialect.name
        way = self._ways.get(key)
        if way is None or way.deployment != deployment:
            way = way_to(self._client, dialect, deployment)
            if len(self._ways) >= 10_000:
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

    def _seat(self, ask: Ask, policy: Policy, way: Way, request: Request, parts: Parts) -> Seat | None:
        cache, wire = self.cache, way.route.wire
        assert cache is not None  # noqa: S101  # who has a policy has a cache
        bypass = wire.bypass(request.built.body)
        store_key = policy.scope.tag() + request_key(policy.scope, "chat", parts)
        keeps_all = policy.replay or policy.keep_request
        if not keeps_all and (not cache.caches("chat") or (bypass is not None and not policy.asked)):
            cache.counters.bypassed += 1
            return None
        if not policy.read:
            cache.counters.bypassed += 1
            if not policy.write:
                return None
        elif ask.token is not None:
            self._known.put(ask.token, self._known_as(ask, way, store_key, policy), 300 + _size(ask.token))
        seat = Seat(cache, policy, store_key, "chat", wire.name, way.deployment.model)
        seat.parts = parts
        if policy.keep_request:
            seat.request = request.built.body
        return seat

    @staticmethod
    def _known_as(ask: Ask, way: Way, store_key: bytes, policy: Policy) -> _Known:
        return _Known(store_key, policy, ask.dialect, way, ask.stream, ask.shows_counts, ask.alias.name)

    # From an answer to what is told of it.

    def _hit(self, entry: Entry, known: _Known) -> Told:
        cache = self.cache
        assert cache is not None  # noqa: S101  # an entry came out of it
        key = known.store_key, known.dialect.name, known.stream, known.shows_counts
        prepared: tuple[float, bytes | None, str | None] | None = self._told.get(key)
        if prepared is None or prepared[0] != entry.stored_at:
            rendered, saved = _rendered(entry, known)
            untouched = rendered is entry.body
            prepared = entry.stored_at, None if untouched else rendered, saved
            self._told.put(key, prepared, 200 + (0 if untouched else len(rendered)))
        _, body, saved = prepared
        now = cache.clock()
        until = entry.expires_at
        return Told(
            "hit",
            entry.body if body is None else body,
            stream=known.stream,
            key=entry.key.hex(),
            age_s=max(0.0, now - entry.stored_at),
            ttl_s=None if until is None else max(0.0, until - now),
            cost="0",
            saved=saved,
            deployment=known.way.deployment.id,
            model=known.alias,
        )

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

    def _teller(self, ask: Ask, way: Way, wire: Wire, pricer: Pricer, ride: Ride | None) -> Teller:
        return _teller(wire, ask.dialect, way, pricer, ride, shows_counts=ask.shows_counts)

    def _tell_whole(self, told: Told, flight: Flight, ask: Ask, request: Request, ride: Ride) -> None:
        wire = flight.wire
        completion = wire.parse(flight.body(), flight.headers)
        if request.route.names:
            name(completion, request.route, flight.body_bytes)
        price = _price(request.pricer, completion)
        told.cost, told.saved = (price, "0") if ride.paid else ("0", price)
        native = wire.name == ask.dialect.name
        told.body = flight.body_bytes if native else _encode(ask.dialect.render(completion))


def _size(token: Any) -> int:
    return sum(len(part) for part in token if isinstance(part, (bytes, str)))


def _of_tenant(policy: Policy, tenant: str) -> Policy:
    return replace(policy, scope=replace(policy.scope, tenant=tenant)) if tenant else policy


def _rendered(entry: Entry, known: _Known) -> tuple[bytes, str | None]:
    """Return what is sent of an entry, and what it would have cost."""
    way, dialect, wire = known.way, known.dialect, find_wire(entry.wire)
    headers = entry.meta.get("headers")
    completion = wire.parse(_decode(entry.body), headers)
    if way.route.names:
        name(completion, way.route, entry.body)
    saved = _price(way.pricer, completion)
    if not known.stream:
        native = entry.wire == dialect.name
        return entry.body if native else _encode(dialect.render(completion)), saved
    named = {part: completion[part] for part in ("id", "model") if part in completion}
    teller = _teller(wire, dialect, way, way.pricer, None, shows_counts=known.shows_counts, named=named)
    cuts = None if entry.cuts is None else _decode(entry.cuts)
    events = b"".join(map(teller.feed, wire.unfold(_decode(entry.body), cuts, headers)))
    return events + teller.end(), saved


def _teller(
    wire: Wire,
    dialect: Dialect,
    way: Way,
    pricer: Pricer,
    ride: Ride | None,
    *,
    shows_counts: bool,
    named: Json | None = None,
) -> Teller:
    """Return what tells a stream; without a ride it costs nothing."""

    def cost(answer: Answer) -> float | None:
        if ride is None or not ride.paid:
            return 0.0
        found = pricer(answer)
        return None if found is None else float(found)

    if wire.name in dialect.streamed_by:
        return Straight(
            dialect, lambda body: cost(Completion({**body, "usage": Usage(body["usage"])})), shows_counts=shows_counts
        )
    if named is None:
        named = {"id": f"chatcmpl-{token_hex(12)}", "model": way.route.name}
    return Turned(wire, dialect, cost, named, shows_counts=shows_counts)


def _price(pricer: Pricer, answer: Answer) -> str | None:
    """Return US dollars, exactly, or None where the price is not known."""
    cost: Cost | None = pricer(answer)
    return None if cost is None else format(cost.total.normalize(), "f")
