"""Calls that wait."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from ostinato.caching.batch import Ask, batch
from ostinato.caching.flight import Flight
from ostinato.caching.flow import Ride
from ostinato.client.core import Core, Messages, Settings, checked_sample, completion_of, is_stale
from ostinato.client.voyage import Voyage, replay
from ostinato.transport.http import Transport

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.caching.policy import Policy
    from ostinato.caching.record import Entry
    from ostinato.client.request import Request
    from ostinato.client.route import Route
    from ostinato.client.streams import Stream
    from ostinato.records import Completion, Embeddings
    from ostinato.wire.contract import Json


class Client(Core):
    """Calls that wait. Safe to share between threads."""

    def __init__(self, cache: Cache | None = None, transport: Transport | None = None) -> None:
        super().__init__(cache)
        self.transport = transport or Transport()

    def refresh(self, ride: Ride, request: Request) -> None:
        """Ask anew for a stale entry, once, in a thread of its own."""
        ride.counters.stale += 1
        steps = ride.refresh()
        if steps is not None:
            voyage = Voyage(self, ride, request, steps)
            threading.Thread(target=voyage.refresh, name="ostinato-refresh", daemon=True).start()

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @overload
    def completion(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, **params: Any
    ) -> Completion: ...
    @overload
    def completion(self, model: str, messages: Messages, *, stream: Literal[True], **params: Any) -> Stream: ...
    @overload
    def completion(
        self, model: str, messages: Messages, *, stream: bool = False, **params: Any
    ) -> Completion | Stream: ...
    def completion(
        self,
        model: str,
        messages: Messages,
        *,
        stream: bool = False,
        caching: bool | None = None,
        cache: Cache | Mapping[str, Any] | None = None,
        sample_index: int = 0,
        api_key: str | None = None,
        api_base: str | None = None,
        timeout: float | None = None,
        num_retries: int = 2,
        drop_params: bool = False,
        **params: Any,
    ) -> Completion | Stream:
        """Return the model's answer, from the response cache when it was given before.

        Args:
            model: `provider/name`; a bare `gpt-…`, `o…`, `claude-…` or `deepseek-…` finds its provider.
            messages: OpenAI-shaped messages; they are not changed.
            stream: return a `Stream` of `Chunk`s instead of a `Completion`.
            caching: None uses the cache that is set or surrounds the call, False none; True warns when there is none.
            cache: a `Cache` for this call, or a dict of controls (`ostinato.caching.policy.CONTROLS`).
            sample_index: which of several draws this is, from 0; each is an entry of its own. Never sent.
            api_key: goes before the provider's environment variable.
            api_base: goes before the provider's base URL and its environment variable.
            timeout: seconds without a byte, 600 unless given; connecting takes 10 at most.
            num_retries: tries after the first, of errors that pass.
            drop_params: leave out what the vendor cannot take.
            params: OpenAI's parameters, the vendor's own, and `extra_body`, `extra_headers`, `extra_query`.

        Raises:
            ConfigurationError, UnsupportedParamsError: a wrong setting or parameter; nothing was sent.
            APIError: the vendor, or the way to it, failed; see `ostinato.errors`.
        """
        entry = route = raw = errors = None
        if (binding := self._bind(caching, cache)) is not None:
            asked = (model, api_base, drop_params, sample_index)
            entry, route, raw, errors = self._recall(binding, asked, messages, params)
            if entry is not None and (binding[1].soft_ttl_s is None or not is_stale(entry, binding)):
                return replay(entry, route, params) if stream else completion_of(entry, route, params)
        settings = Settings(
            model,
            messages,
            params,
            stream=bool(stream),
            sample_index=checked_sample(sample_index),
            api_key=api_key,
            api_base=api_base,
            timeout=timeout,
            num_retries=num_retries,
            drop_params=drop_params,
        )
        ride, request = self._embark(settings, route or self._route(model), binding, raw, errors)
        if entry is not None:
            self.refresh(ride, request)
            return replay(entry, request.route, params) if stream else completion_of(entry, request.route, params)
        voyage = Voyage(self, ride, request)
        return voyage.stream(params) if stream else voyage.completion(params)

    def embedding(
        self,
        model: str,
        input: str | list[str] | list[int] | list[list[int]],  # OpenAI's name
        *,
        caching: bool | None = None,
        cache: Cache | Mapping[str, Any] | None = None,
        sample_index: int = 0,
        api_key: str | None = None,
        api_base: str | None = None,
        timeout: float | None = None,
        num_retries: int = 2,
        **params: Any,
    ) -> Embeddings:
        """Return an embedding for every input, in their order. Each is cached by itself."""
        settings = Settings(
            model,
            input,
            params,
            stream=False,
            sample_index=checked_sample(sample_index),
            api_key=api_key,
            api_base=api_base,
            timeout=timeout,
            num_retries=num_retries,
            drop_params=False,
        )
        call = self._embed(settings, self._bind(caching, cache))
        if not call.places:
            return call.paid(self._ask(call.whole))
        steps = batch(call.places)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Ask):
                    try:
                        answers = call.split(self._ask(call.request(step.inputs)), len(step.inputs))
                    except BaseException as error:  # noqa: BLE001  # the batch breaks its flights and raises it
                        step = steps.throw(error)
                    else:
                        step = steps.send(answers)
                else:
                    ride, do = step
                    step = steps.send(Voyage(self, ride, call.whole).do(do))
        except StopIteration:
            return call.join()
        finally:
            for place in call.places:
                place.ride.leave()

    def _recall(
        self, binding: tuple[Cache, Policy], settings: tuple[Any, ...], messages: Any, params: Json
    ) -> tuple[Entry | None, Route, bytes | None, int | None]:
        """Return the entry that answers a call seen before, or None; what `_recognise` found; and the errors before."""
        known, route, raw = self._recognise(binding, settings, messages, params)
        if known is None:
            return None, route, raw, None
        cache, errors = binding[0], binding[0].counters.store_errors
        return cache.shelf.recall(known, "chat", binding[1].max_age_s), route, raw, errors

    def _ask(self, request: Request) -> Json:
        """Return the body of the vendor's answer."""
        ride = Ride(request.route.wire, cache=None, seat=None, streams=False, retry_delay=request.retry_delay)
        flight = Voyage(self, ride, request).answer()
        assert isinstance(flight, Flight)  # noqa: S101  # without a cache nothing else answers
        return flight.body()
