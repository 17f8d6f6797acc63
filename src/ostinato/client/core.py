"""What both shells share: from the caller's arguments to an answer out of the cache, or a ride upstream."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching import ambient
from ostinato.caching.cache import Cache
from ostinato.caching.flow import Ride
from ostinato.caching.key import Memo, request_key, snapshot
from ostinato.caching.seat import Seat
from ostinato.client.address import Address
from ostinato.client.request import Request, build_chat, chat_parts, chosen_key, key_scope
from ostinato.client.route import Route, refuse_settings
from ostinato.client.verbose import show_hit
from ostinato.errors import ConfigurationError, OstinatoError, ReplayMissError, warn
from ostinato.providers import find_model
from ostinato.wire.contract import MISSHAPEN, misshapen

if TYPE_CHECKING:
    from ostinato.caching.flight import Flight
    from ostinato.caching.policy import Policy
    from ostinato.caching.record import Entry
    from ostinato.client.embeddings import EmbeddingCall
    from ostinato.records import Completion
    from ostinato.wire.contract import Event, Json, Wire

_decode = msgspec.json.Decoder().decode
_package = sys.modules["ostinato"]


MOST_ROUTES = 256
"""Models whose way is remembered: behind a wildcard of the gateway clients make names up."""
Messages = Sequence[Mapping[str, Any]]
"""OpenAI-shaped messages; those of ours go back as they are."""


class Settings(msgspec.Struct):
    """A call's arguments, once it is known that the cache does not answer it at once."""

    model: str
    messages: Any
    """Messages, or the inputs of a call for embeddings."""
    params: Json
    stream: bool
    sample_index: int
    api_key: str | None
    api_base: str | None
    timeout: float | None
    num_retries: int
    drop_params: bool

    def arguments(self) -> Json:
        """Return the call's own arguments by name, as a user's key function sees them."""
        arguments = {"model": self.model, "messages": self.messages, **self.params}
        if self.stream:
            arguments["stream"] = True
        return arguments


class Core:
    """Finds the vendor, the cache and the key of a call. Does no I/O."""

    def __init__(self, cache: Cache | None = None) -> None:
        self._own_cache = cache
        self._routes: dict[str, Route] = {}
        self._known = Memo(16 << 20)
        """Snapshot of a call → (its store key, why it bypasses the cache)."""
        self._warned = False
        self._noted: set[str] = set()

    def _route(self, model: str) -> Route:
        try:
            route = self._routes.get(model)
        except TypeError:
            route = None
        if route is None:
            route = Route(model, find_model(model))
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            self._routes[model] = route
        return route

    def _bind(self, caching: object, cache: Cache | Mapping[str, Any] | None) -> tuple[Cache, Policy] | None:
        """Return the cache that this call is bound to and what it may do, or None."""
        bound: Cache | None
        if isinstance(cache, Cache):
            bound, cache = cache, None
        else:
            mark = ambient.innermost()
            bound = mark.cache if mark is not None else self._own_cache or _package.cache
        if caching is False:
            if bound is not None and bound.mode == "replay":
                raise ReplayMissError("caching=False asks the vendor, and nothing is sent in replay mode")
            return None
        if bound is None:
            if caching and not self._warned and not ambient.blocks():
                self._warned = True
                warn("caching=True, but there is no cache: set ostinato.cache, pass cache=, or use a block")
            if cache is not None and not isinstance(cache, Mapping):
                raise ConfigurationError(f"cache= takes a Cache or a dict of controls, not {cache!r}")
            return None
        if cache is None:
            return bound, bound.default
        if not isinstance(cache, Mapping):
            raise ConfigurationError(f"cache= takes a Cache or a dict of controls, not {cache!r}")
        return bound, bound.policy(cache)

    def _recognise(
        self, binding: tuple[Cache, Policy], settings: tuple[Any, ...], messages: Any, params: Json
    ) -> tuple[bytes | None, Route, bytes | None]:
        """Return where the answer to a call stands that was seen before, to be looked up without building it.

        None when it was not, or may not be read; the route; and the snapshot to remember its key by.
        """
        cache, policy = binding
        route = self._route(settings[0])
        if cache.get_cache_key is not None:
            return None, route, None
        tag = cache.tag if policy is cache.default else policy.scope.tag()
        raw = snapshot((tag, settings, settings[1] or route.here()), messages, params)
        if raw is None or not policy.read or not cache.remembers:
            return None, route, raw
        known = self._known.get(raw)
        if known is None or (known[1] is not None and not policy.asked) or not cache.caches("chat"):
            return None, route, raw
        return known[0], route, raw

    def _embark(
        self,
        settings: Settings,
        route: Route,
        binding: tuple[Cache, Policy] | None,
        raw: bytes | None,
        errors: int | None = None,
    ) -> tuple[Ride, Request]:
        """Build the request and seat it in its cache.

        `errors` is how many the store had met when the call, seen before, was looked up and not found.
        """
        params = dict(settings.params)
        refuse_settings(params)
        pricer = route.priced_by(params)  # first: prices that are none are told before anything is paid
        extra_headers, extra_query = params.pop("extra_headers", None), params.pop("extra_query", None)
        if not settings.stream:
            params.pop("stream_options", None)  # vendors refuse it there, and it changes no answer
        address = Address(route.found, params, api_base=settings.api_base, api_key=settings.api_key)
        request = Request(
            route,
            address,
            build_chat(route, settings.messages, params, address, drop_params=settings.drop_params),
            pricer=pricer,
            timeout=settings.timeout,
            num_retries=settings.num_retries,
            extra_headers=extra_headers,
            extra_query=extra_query,
        )
        for note in set(request.built.notes) - self._noted:
            self._noted.add(note)
            warn("%s: %s", settings.model, note)
        seat = None
        if binding is not None:
            seat = self._seat(settings, request, binding, raw)
        if seat is not None and errors is not None:
            seat.found_nothing(errors)
        cache = binding[0] if seat is not None and binding is not None else None
        ride = Ride(route.wire, cache=cache, seat=seat, streams=settings.stream, retry_delay=request.retry_delay)
        return ride, request

    def _embed(self, settings: Settings, binding: tuple[Cache, Policy] | None) -> EmbeddingCall:
        """Take a call for embeddings apart into its inputs."""
        from ostinato.client.embeddings import EmbeddingCall  # loaded when first used: chat does without

        refuse_settings(settings.params)
        route = self._route(settings.model)
        if binding is not None and not (binding[0].caches("embedding") or binding[1].replay):
            binding = None
        return EmbeddingCall(settings, route, binding)

    def _seat(
        self, settings: Settings, request: Request, binding: tuple[Cache, Policy], raw: bytes | None
    ) -> Seat | None:
        cache, policy = binding
        wire = request.route.wire
        bypass = wire.bypass(request.built.body)
        parts = chat_parts(request)
        scope = key_scope(cache, policy, request)
        if cache.get_cache_key is not None:
            key = chosen_key(cache, scope, "chat", settings.arguments(), sample_index=settings.sample_index)
        else:
            key = request_key(scope, "chat", parts, settings.sample_index)
        tag = cache.tag if policy is cache.default else policy.scope.tag()
        store_key = tag + key
        if raw is not None and cache.remembers:
            self._known.put(raw, (store_key, bypass))
        keeps_all = policy.replay or policy.keep_request
        if not keeps_all and (not cache.caches("chat") or (bypass is not None and not policy.asked)):
            cache.counters.bypassed += 1
            return None
        if not policy.read:
            cache.counters.bypassed += 1
        seat = Seat(cache, policy, store_key, "chat", wire.name, settings.model)
        seat.parts = parts
        if policy.keep_request:
            seat.request = request.built.body
        return seat


def is_stale(entry: Entry, binding: tuple[Cache, Policy]) -> bool:
    """Return whether `entry` answers, but is to be asked anew behind the answer."""
    cache, policy = binding
    return policy.soft_ttl_s is not None and cache.is_stale(entry, policy.soft_ttl_s)


def completion_of(entry: Entry, route: Route, params: Mapping[str, Any]) -> Completion:
    """Return the stored answer as a Completion of the caller's own."""
    if _package.set_verbose:
        show_hit(entry.key)
    completion = route.wire.parse(_decode(entry.body), entry.meta.get("headers"))
    if route.names:
        name(completion, route, entry.body)
    completion._cache_hit = True
    completion._cache_key = entry.key
    completion._pricer = route.priced_by(params) if "input_cost_per_token" in params else route.price
    return completion


def name(completion: Completion, route: Route, body_bytes: bytes) -> None:
    """Give `completion` an id and a model, where the vendor's body has none."""
    if "id" not in completion:
        completion["id"] = f"chatcmpl-{sha256(body_bytes).hexdigest()[:24]}"
    if "model" not in completion:
        completion["model"] = route.name


def landed_completion(flight: Flight, request: Request, ride: Ride) -> Completion:
    """Return the answer that just landed as a Completion of the caller's own."""
    route = request.route
    try:
        completion = route.wire.parse(flight.body(), flight.headers)
    except (OstinatoError, *MISSHAPEN) as exc:
        error = exc if isinstance(exc, OstinatoError) else misshapen(exc)
        request.sign(error)
        raise error from exc
    if route.names:
        name(completion, route, flight.body_bytes)
    completion._cache_key = None if ride.seat is None else ride.seat.key
    completion._pricer = request.pricer
    completion._free = not ride.paid
    if request.built.notes:
        completion._notes = request.built.notes
    return completion


def replayed(entry: Entry, wire: Wire) -> Iterator[Event]:
    """Return the events of a stored answer, cut as its stream was."""
    if _package.set_verbose:
        show_hit(entry.key)
    cuts = None if entry.cuts is None else _decode(entry.cuts)
    return wire.unfold(_decode(entry.body), cuts, entry.meta.get("headers"))


def checked_sample(sample_index: object) -> int:
    """Return the sample index.

    Raises: ConfigurationError: it is no whole number from 0 up.
    """
    if isinstance(sample_index, bool) or not isinstance(sample_index, int) or sample_index < 0:
        raise ConfigurationError(f"sample_index must be a whole number from 0 up, not {sample_index!r}")
    return sample_index
