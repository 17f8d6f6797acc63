"""Who answers for one entry of a `config_list`: ostinato's clients, or a class of the user's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

import msgspec

from ostinato.agents.deployment import SECRETS, Deployment
from ostinato.agents.recorded import name_of, recorded
from ostinato.agents.response import Gathering, Response, plain_json
from ostinato.agents.show import show_stream
from ostinato.agents.steps import Do, Steps
from ostinato.caching import ambient
from ostinato.caching.cache import Cache
from ostinato.client.aio import AsyncClient
from ostinato.client.sync import Client
from ostinato.errors import warn


class ModelClient(Protocol):
    """What a model client of the user's own must have. `acreate` is awaited where it exists."""

    RESPONSE_USAGE_KEYS: ClassVar[tuple[str, ...]] = (
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost",
        "model",
    )

    def create(self, params: dict[str, Any]) -> Any:
        """Return an answer with `choices` and `model`, shaped as OpenAI's."""

    def message_retrieval(self, response: Any) -> list[Any]:
        """Return the texts or messages of an answer."""

    def cost(self, response: Any) -> float:
        """Return what an answer costs, in US dollars."""

    @staticmethod
    def get_usage(response: Any) -> dict[str, Any]:
        """Return the usage under `RESPONSE_USAGE_KEYS`; an answer for which one is missing is not counted."""


class Ask(msgspec.Struct, frozen=True):
    """One call, settled."""

    deployment: Deployment
    messages: list[Any]
    params: dict[str, Any]
    """What the call itself adds to the deployment's settings."""
    cache: Cache | None
    controls: Mapping[str, Any] | None
    sample_index: int


class Used(msgspec.Struct, frozen=True):
    """What an answer took of its vendor, whether or not it was paid now."""

    model: str
    cost: float | None
    tokens: Mapping[str, int]
    paid: bool


class VendorClient:
    """Asks through ostinato's own path: cache, flight, retries, every vendor."""

    def __init__(self, client: Client, async_client: AsyncClient) -> None:
        self._client = client
        self._async_client = async_client

    def ask(self, ask: Ask) -> Steps[Response]:
        """Ask, and return the answer; a streamed one is shown as it comes."""
        keywords = {**ask.deployment.settings, **ask.params, "sample_index": ask.sample_index}
        if ask.deployment.names_tools and not keywords.get("tools"):
            keywords["tools"] = spoken_of(ask.messages) or None
        mark = None
        if ask.cache is None:
            keywords["caching"] = False
        elif ask.controls is None:
            keywords["cache"] = ask.cache
        else:
            keywords["cache"] = ask.controls
            mark = ambient.enter(ask.cache)
        try:
            if keywords.get("stream"):
                gather = Do(self._stream, self._astream, (ask.deployment.model, ask.messages), keywords)
                response: Response = yield gather
                return response
            asked = Do(
                self._client.completion,
                self._async_client.acompletion,
                (ask.deployment.model, ask.messages),
                keywords,
            )
            return Response.of((yield asked))
        finally:
            if mark is not None:
                ambient.leave(mark)

    def _stream(self, model: str, messages: list[Any], **keywords: Any) -> Response:
        gathering = Gathering()
        with self._client.completion(model, messages, **keywords) as stream:
            for chunk in stream:
                show_stream(gathering.take(chunk))
        show_stream("\n")
        return gathering.response(stream)

    async def _astream(self, model: str, messages: list[Any], **keywords: Any) -> Response:
        gathering = Gathering()
        async with await self._async_client.acompletion(model, messages, **keywords) as stream:
            async for chunk in stream:
                show_stream(gathering.take(chunk))
        show_stream("\n")
        return gathering.response(stream)

    @staticmethod
    def used(response: Response) -> Used:
        """Return what an answer took."""
        return Used(response.get("model") or "", response._price, response.usage or {}, not response._paid_nothing)


def spoken_of(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that a conversation speaks of, as far as it shows them: their names, in their order."""
    names = {
        call["function"]["name"]: None
        for message in messages
        for call in message.get("tool_calls") or ()
        if call.get("function")
    }
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": "A tool of somebody else's in this conversation. Do not call it.",
                "parameters": {"type": "object", "properties": {}},
            },
        }
        for name in names
    ]


class CustomClient:
    """Asks a class of the user's own, and keeps its answers in the same cache."""

    _warned = False

    def __init__(self, client: Any) -> None:
        self.client = client

    def ask(self, ask: Ask) -> Steps[Any]:
        """Ask, unless the cache answers."""
        params = {**ask.params, "messages": ask.messages}
        kind = type(self.client)
        counted = {name: value for name, value in params.items() if name not in SECRETS}
        name = name_of("model-client", f"{kind.__module__}.{kind.__qualname__}", counted, ask.sample_index)

        def create() -> Steps[Any]:
            return (yield Do(self.client.create, self._acreate, (params,)))

        answer, hit = yield from recorded(
            ask.cache,
            name,
            create,
            missed="nothing is sent in replay mode, and no record answers this call to a model client of your own",
            reads=not (ask.controls or {}).get("no-cache"),
            as_json=plain_json,
        )
        plain = answer if hit else plain_json(answer)
        if plain is None:
            self._warn(answer)
            return answer
        response = Response(plain)
        response._cache_hit = hit
        return response

    async def _acreate(self, params: dict[str, Any]) -> Any:
        acreate = getattr(self.client, "acreate", None)
        return await (acreate(params) if acreate is not None else asyncio.to_thread(self.client.create, params))

    def _warn(self, answer: object) -> None:
        if not self._warned:
            self._warned = True
            warn("answers of type %s cannot be written as JSON and are not cached", type(answer).__name__)

    def used(self, response: Any) -> Used | None:
        """Return what an answer took, or None where the client does not say all of it."""
        usage = self.client.get_usage(response) or {}
        if any(usage.get(name) is None for name in ModelClient.RESPONSE_USAGE_KEYS):
            return None
        return Used(str(usage["model"]), usage["cost"], usage, not getattr(response, "cache_hit", False))
