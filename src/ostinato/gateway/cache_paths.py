"""What the cache's own paths answer: whether it keeps, what it counted, and how it forgets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ostinato.errors import (
    BadRequestError,
    ConfigurationError,
    OstinatoError,
    PermissionDeniedError,
    ServiceUnavailableError,
    StoreError,
)
from ostinato.gateway.exchange import object_of
from ostinato.gateway.headers import plain_headers

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service

MOST_KEYS = 10_000
"""Keys that one request may delete."""
_NOTHING: Any = object()


def _cache(service: Service, exchange: Exchange) -> Cache:
    if not exchange.caller.admin:
        raise PermissionDeniedError("only the master key may ask this")
    if service.cache is None:
        raise ServiceUnavailableError("there is no response cache; litellm_settings.cache turns one on")
    return service.cache


async def _reply(exchange: Exchange, value: Any) -> None:
    await exchange.reply_json(value, plain_headers(exchange.call_id))


async def ping(service: Service, exchange: Exchange) -> None:
    """Write to the cache and read it again, in every worker."""
    cache = _cache(service, exchange)
    if not all(answer["pong"] for answer in await _everywhere(service, {"do": "ping"})):
        raise ServiceUnavailableError("the cache does not keep what it is given; its counters say why")
    told = {"status": "healthy", "cache_type": cache.type, "ping_response": True, "set_cache_response": "success"}
    await _reply(exchange, told)


async def stats(service: Service, exchange: Exchange) -> None:
    """Answer with what all workers counted, and the state of the store."""
    own = _cache(service, exchange).stats()
    others = [answer["stats"] for answer in await _everywhere(service, {"do": "stats"}, own={"stats": own})][1:]
    stores = own["store"], *(answer["store"] for answer in others if _is_apart(service))
    told = {name: _sum(name, (own, *others)) for name in own if name != "store"}
    told["store"] = own["store"] | {name: _sum(name, stores) for name in own["store"] if name != "max_bytes"}
    await _reply(exchange, {**told, "workers": 1 + len(others)})


async def delete(service: Service, exchange: Exchange) -> None:
    """Delete entries by their keys, or by a tag.

    Raises: BadRequestError: the body says neither.
    """
    _cache(service, exchange)
    body = _only(await exchange.json(), "keys", "tags", "namespace")
    keys, tags, namespace = _texts(body, "keys"), _texts(body, "tags"), _text("namespace", body.get("namespace"))
    if not keys and not tags:
        raise BadRequestError("give keys, or tags")
    errand = {"do": "delete", "keys": keys, "tags": tags, "namespace": namespace, "tenant": exchange.caller.tenant}
    deleted = await _everywhere(service, errand, apart=True)
    await _reply(exchange, {"status": "success", "deleted": sum(answer["deleted"] for answer in deleted)})


async def flush(service: Service, exchange: Exchange) -> None:
    """Forget what the caller's tenant has in this cache; with `{"all": true}` what anybody has in its store.

    Whatever else is in a shared server stays.
    """
    _cache(service, exchange)
    raw = await exchange.body()
    body = _only(object_of(raw) if raw.strip() else {}, "all", "namespace")
    everything, namespace = body.get("all", False), _text("namespace", body.get("namespace"))
    if not isinstance(everything, bool):
        raise BadRequestError(f"all must be true or false, not {everything!r:.50}")
    errand = {"do": "flush", "all": everything, "namespace": namespace, "tenant": exchange.caller.tenant}
    forgotten = await _everywhere(service, errand, apart=True)
    await _reply(exchange, {"status": "success", "forgotten": sum(answer["forgotten"] for answer in forgotten)})


async def _everywhere(
    service: Service, errand: dict[str, Any], own: dict[str, Any] | None = None, *, apart: bool = False
) -> list[dict[str, Any]]:
    """Return what this worker's cache answers, then the others'; `apart`: where each has entries of its own.

    Raises: ServiceUnavailableError: one of them does not answer. BadRequestError.
    """
    try:
        answers = [own or await _done(service.cache, errand)]
    except StoreError as error:
        raise _silent(error.message) from None
    except ConfigurationError as error:
        raise BadRequestError(error.message) from None
    if not apart or _is_apart(service):
        answers += await service.errands.everywhere(errand)
    for answer in answers:
        if "error" in answer:
            raise _silent(answer["error"])
    return answers


def _is_apart(service: Service) -> bool:
    """Say whether each worker has entries of its own. What is shared is gone from every front within a second."""
    return service.cache is not None and service.cache.type == "memory"


async def run_errand(service: Service, errand: dict[str, Any]) -> dict[str, Any]:
    """Return what this worker's cache answers to another worker."""
    try:
        return await _done(service.cache, errand)
    except OstinatoError as error:
        return {"error": error.message}


async def _done(cache: Cache | None, errand: dict[str, Any]) -> dict[str, Any]:
    """Do one thing to a cache.

    Raises: StoreError. ConfigurationError: a tag or a key is none, or there is no cache any more.
    """
    if cache is None:
        raise ConfigurationError("there is no response cache")
    match errand["do"]:
        case "ping":
            await cache.aset("ping", 1, ttl=1)
            return {"pong": await cache.aget("ping") == 1}
        case "stats":
            return {"stats": cache.stats()}
        case "flush" if errand["all"]:
            cache.shelf.past.forget(b"")
            return {"forgotten": await cache.store.aclear()}
    part = cache.part(tenant=errand["tenant"], namespace=errand["namespace"])
    if errand["do"] == "flush":
        return {"forgotten": await part.aclear()}
    deleted = [await part.adelete(key) for key in errand["keys"]]
    for tag in errand["tags"]:
        await part.ainvalidate(tag)
    return {"deleted": sum(deleted)}


def _sum(name: str, counted: Iterable[dict[str, Any]]) -> Any:
    values = [each.get(name) for each in counted]
    return sum(values) if all(type(value) is int for value in values) else values[0]


def _only(body: dict[str, Any], *names: str) -> dict[str, Any]:
    unknown = sorted(body.keys() - {*names})
    if unknown:  # what is misspelled must not forget more than was meant
        raise BadRequestError(f"there is no {unknown[0]!r:.50} here; there are {' and '.join(names)}")
    return body


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name, _NOTHING)
    if value is _NOTHING:
        return []
    if not isinstance(value, list) or not 0 < len(value) <= MOST_KEYS or not all(type(item) is str for item in value):
        raise BadRequestError(f"{name} must be a list of 1 to {MOST_KEYS} texts")
    return value


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{name} must be a text, not {value!r:.50}")
    return value


def _silent(why: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"the cache does not answer: {why}")
