"""Calls that await."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from ostinato.caching.batch import Ask, batch
from ostinato.caching.flight import Flight
from ostinato.caching.flow import Ride
from ostinato.client.async_voyage import AsyncVoyage, replay
from ostinato.client.core import Core, Messages, Settings, checked_sample, completion_of, is_stale
from ostinato.client.source import keep_until_done, running_loop
from ostinato.transport.async_http import AsyncTransport

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.client.embeddings import EmbeddingCall
    from ostinato.client.request import Request
    from ostinato.client.streams import AsyncStream
    from ostinato.records import Completion, Embeddings
    from ostinato.wire.contract import Json


class AsyncClient(Core):
    """Calls that await. One client works under several event loops, also side by side in threads."""

    def __init__(self, cache: Cache | None = None, transport: AsyncTransport | None = None) -> None:
        super().__init__(cache)
        self.transport = transport or AsyncTransport()

    def refresh(self, ride: Ride, request: Request) -> None:
        """Ask anew for a stale entry, once, in a task of its own."""
        ride.counters.stale += 1
        steps = ride.refresh()
        if steps is not None:
            voyage = AsyncVoyage(self, ride, request, steps)
            keep_until_done(running_loop().create_task(voyage.refresh()))

    async def aclose(self) -> None:
        """Close the connections of this event loop. A later call opens new ones."""
        await self.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, **params: Any
    ) -> Completion: ...
    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: Literal[True], **params: Any
    ) -> AsyncStream: ...
    @overload
    async def acompletion(
        self, model: str, messages: Messages, *, stream: bool = False, **params: Any
    ) -> Completion | AsyncStream: ...
    async def acompletion(
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
    ) -> Completion | AsyncStream:
        """Return the model's answer, as `Client.completion` does; with `stream=True` an `AsyncStream`."""
        entry = route = raw = errors = None
        if (binding := self._bind(caching, cache)) is not None:
            known, route, raw = self._recognise(binding, (model, api_base, drop_params, sample_index), messages, params)
            if known is not None:
                errors = binding[0].counters.store_errors
                shelf, max_age_s = binding[0].shelf, binding[1].max_age_s
                entry = (
                    shelf.recall(known, "chat", max_age_s)  # spares a coroutine
                    if shelf.store.instant
                    else await shelf.arecall(known, "chat", max_age_s)
                )
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
        voyage = AsyncVoyage(self, ride, request)
        return await (voyage.stream(params) if stream else voyage.completion(params))

    async def aembedding(
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
        return await self._embedded(self._embed(settings, self._bind(caching, cache)))

    async def _embedded(self, call: EmbeddingCall) -> Embeddings:
        if not call.places:
            return call.paid(await self._ask(call.whole))
        steps = batch(call.places)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Ask):
                    try:
                        answers = call.split(await self._ask(call.request(step.inputs)), len(step.inputs))
                    except BaseException as error:  # noqa: BLE001  # the batch breaks its flights and raises it
                        step = steps.throw(error)
                    else:
                        step = steps.send(answers)
                else:
                    ride, do = step
                    step = steps.send(await AsyncVoyage(self, ride, call.whole).do(do))
        except StopIteration:
            return call.join()
        finally:
            for place in call.places:
                place.ride.leave()

    async def _ask(self, request: Request) -> Json:
        """Return the body of the vendor's answer."""
        ride = Ride(request.route.wire, cache=None, seat=None, streams=False, retry_delay=request.retry_delay)
        flight = await AsyncVoyage(self, ride, request).answer()
        assert isinstance(flight, Flight)  # noqa: S101  # without a cache nothing else answers
        return flight.body()
