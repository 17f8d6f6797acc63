"""Embeddings: one entry an input, whatever else was asked for beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

from ostinato.caching.batch import Place
from ostinato.caching.flow import Ride
from ostinato.caching.key import request_key, request_parts
from ostinato.caching.seat import Seat
from ostinato.client.address import Address
from ostinato.client.request import Request, chosen_key, endpoint, key_scope
from ostinato.client.route import is_ours
from ostinato.client.verbose import show_hit, shows
from ostinato.errors import APIResponseError, BadRequestError, ConfigurationError
from ostinato.records import Embeddings, Usage
from ostinato.wire.openai_embeddings import build_embeddings, item_wire, split_embeddings

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.key import Scope
    from ostinato.caching.policy import Policy
    from ostinato.client.core import Settings
    from ostinato.client.route import Route
    from ostinato.wire.contract import Json


class EmbeddingCall:
    """One call for embeddings, taken apart into its inputs and put together again."""

    def __init__(
        self,
        settings: Settings,
        route: Route,
        binding: tuple[Cache, Policy] | None,
        shared: tuple[str, str] | None = None,
    ) -> None:
        """`shared` are the endpoint and the model that keys name, where several deployments share entries."""
        if route.wire.name not in {"openai_chat", "openai_responses"}:
            raise ConfigurationError(f"provider {route.provider.name!r} has no embeddings here")
        self._settings = settings
        self._shared = shared
        self._route = route
        self._pricer = route.priced_by(settings.params, kind="embedding")
        params = {name: value for name, value in settings.params.items() if value is not None and not is_ours(name)}
        self._extra_headers = params.pop("extra_headers", None)
        self._extra_query = params.pop("extra_query", None)
        self._address = Address(route.found, params, api_base=settings.api_base, api_key=settings.api_key)
        self._params = params
        self.inputs = listed(settings.messages)
        self.asked: Request
        """The request that was made last."""
        self.whole = self.request(self.inputs)
        """The request for everything, which is also what is validated."""
        self.binding = binding
        self.places: list[Place] = []
        """The distinct inputs, in the order they are first asked for; empty without a cache."""
        self._order: list[int] = []
        if binding is not None:
            self._seat_inputs(*binding)

    def request(self, inputs: list[Any]) -> Request:
        """Return the request for these inputs."""
        settings = self._settings
        self.asked = Request(
            self._route,
            self._address,
            build_embeddings(self._route.name, inputs, self._params),
            pricer=self._pricer,
            timeout=settings.timeout,
            num_retries=settings.num_retries,
            extra_headers=self._extra_headers,
            extra_query=self._extra_query,
        )
        return self.asked

    def _seat_inputs(self, cache: Cache, policy: Policy) -> None:
        scope, wire = key_scope(cache, policy, self.whole), item_wire(self._route.wire)
        tag = scope.tag()
        places: dict[bytes, int] = {}
        for value in self.inputs:
            key = self._key(cache, scope, value)
            index = places.get(key)
            if index is None:
                index = places[key] = len(self.places)
                seat = Seat(cache, policy, tag + key, "embedding", wire.name, self._settings.model)
                ride = Ride(wire, cache=cache, seat=seat, streams=False, retry_delay=lambda *_: None)
                self.places.append(Place(value, ride))
            self._order.append(index)

    def _key(self, cache: Cache, scope: Scope, value: Any) -> bytes:
        sample = self._settings.sample_index
        if cache.get_cache_key is not None:
            arguments = {"model": self._settings.model, **self._settings.params, "input": value}
            return chosen_key(cache, scope, "embedding", arguments, sample_index=sample)
        whole = self.whole
        where, model = self._shared or (endpoint(whole), self._route.name)
        body = self._route.wire.keyed_body({**whole.built.body, "input": value, "model": model})
        parts = request_parts(where, whole.headers, body)
        return request_key(scope, "embedding", parts, sample)

    def paid(self, body: Json) -> Embeddings:
        """Return the vendor's answer to the whole, as it is."""
        split_embeddings(body)
        answer = Embeddings(body)
        answer._pricer = self._pricer
        return answer

    def split(self, body: Json, count: int) -> list[Json]:
        """Return one answer an input, each with what the whole said beside it and its share of the tokens.

        Raises: APIResponseError: the vendor gave more or fewer embeddings than it was asked for.
        """
        items = split_embeddings(body)
        if len(items) != count:
            raise APIResponseError(f"{count} embeddings were asked for and {len(items)} came")
        frame = {name: value for name, value in body.items() if name not in {"data", "usage"}}
        usage = body.get("usage") or {}
        tokens, rest = _shares(usage.get("prompt_tokens"), count), _parts(usage, count)
        return [
            {"item": item, "frame": frame, "tokens": share, "usage": part}
            for item, share, part in zip(items, tokens, rest, strict=True)
        ]

    def join(self) -> Embeddings:
        """Return the answers of all places as one, in the order of the input."""
        if shows():
            for place in self.places:
                if place.from_cache and place.ride.seat is not None:
                    show_hit(place.ride.seat.key)
        answers = [place.answer or {} for place in self.places]
        data = [{**answers[place]["item"], "index": index} for index, place in enumerate(self._order)]
        joined = Embeddings({**answers[0]["frame"], "data": data})
        joined._pricer = self._pricer
        joined._cache_hit = all(place.from_cache for place in self.places)
        bought = [not place.from_cache and place.ride.paid for place in self.places]
        joined._free = not any(bought)
        if all(answer["tokens"] is not None for answer in answers):
            joined["usage"] = _usage(answers)
            if not all(bought):
                part = Embeddings({**joined, "usage": _usage(itertools.compress(answers, bought))})
                part._pricer = self._pricer
                joined._bought = part
        return joined


def _usage(answers: Iterable[Json]) -> Usage:
    """Return what these answers used together, with whatever else their vendor counts or states."""
    answers = list(answers)
    total = sum(answer["tokens"] for answer in answers)
    rest = _together([answer.get("usage") or {} for answer in answers]) or {}
    return Usage({**rest, "prompt_tokens": total, "total_tokens": total})


def _parts(value: Any, count: int) -> list[Any]:
    """Return `value` in `count` parts that `_together` puts together again: numbers are shared, others repeated."""
    if isinstance(value, dict):
        members = {name: _parts(item, count) for name, item in value.items()}
        return [{name: parts[place] for name, parts in members.items()} for place in range(count)]
    if type(value) is int:
        return _shares(value, count)
    if type(value) is float and isfinite(value):
        return [float(Decimal(part or 0) / _GRAINS) for part in _shares(round(Decimal(str(value)) * _GRAINS), count)]
    return [value] * count


def _together(values: list[Any]) -> Any:
    """Return what values are together: numbers their sum, objects member by member, of others the first."""
    first = values[0] if values else None
    if isinstance(first, dict):
        members = dict.fromkeys(name for value in values if isinstance(value, dict) for name in value)
        return {
            name: _together([value[name] for value in values if isinstance(value, dict) and name in value])
            for name in members
        }
    if type(first) is int and all(type(value) is int for value in values):
        return sum(values)
    if type(first) in {int, float} and all(type(value) in {int, float} for value in values):
        return float(sum(Decimal(str(value)) for value in values))
    return first


_GRAINS = 10**12
"""In which fractions are shared: what money is counted in."""


def listed(value: Any) -> list[Any]:
    """Return the inputs one by one: texts, or lists of token ids.

    Raises: BadRequestError: it is neither, nor a list of them, or it is empty.
    """
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)) and value:
        if all(isinstance(item, str) for item in value):
            return list(value)
        if all(_is_token(item) for item in value):
            return [list(value)]
        if all(isinstance(item, (list, tuple)) and item and all(map(_is_token, item)) for item in value):
            return [list(item) for item in value]
    raise BadRequestError("input must be a text, a list of texts, token ids, or a list of lists of token ids")


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _shares(total: int | None, count: int) -> list[int | None]:
    """Return `total` in `count` whole parts: the vendor counts the request, not its inputs."""
    if total is None:
        return [None] * count
    least, more = divmod(total, count)
    return [least + (index < more) for index in range(count)]
