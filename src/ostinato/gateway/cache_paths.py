"""What the cache's own paths answer: whether it keeps, what it counted, and how it forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.errors import (
    BadRequestError,
    ConfigurationError,
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


def _cache(service: Service, exchange: Exchange) -> Cache:
    if not exchange.caller.admin:
        raise PermissionDeniedError("only the master key may ask this")
    if service.cache is None:
        raise ServiceUnavailableError("there is no response cache; litellm_settings.cache turns one on")
    return service.cache


async def _reply(exchange: Exchange, value: Any) -> None:
    await exchange.reply_json(value, plain_headers(exchange.call_id))


async def ping(service: Service, exchange: Exchange) -> None:
    """Write to the cache and read it again."""
    cache = _cache(service, exchange)
    try:
        await cache.aset("ping", 1, ttl=1)
        pong = await cache.aget("ping") == 1
    except StoreError as error:
        raise _silent(error) from None
    if not pong:
        raise ServiceUnavailableError("the cache does not keep what it is given; its counters say why")
    told = {"status": "healthy", "cache_type": cache.type, "ping_response": True, "set_cache_response": "success"}
    await _reply(exchange, told)


async def stats(service: Service, exchange: Exchange) -> None:
    """Answer with what this worker counted, and the state of the store."""
    await _reply(exchange, _cache(service, exchange).stats())


async def delete(service: Service, exchange: Exchange) -> None:
    """Delete entries by their keys, or by a tag.

    Raises: BadRequestError: the body says neither.
    """
    cache = _cache(service, exchange)
    body = _only(await exchange.json(), "keys", "tags", "namespace")
    keys, tags, namespace = _texts(body, "keys"), _texts(body, "tags"), body.get("namespace")
    if not keys and not tags:
        raise BadRequestError("give keys, or tags")
    part = cache.part(tenant=exchange.caller.tenant, namespace=_text("namespace", namespace))
    try:
        deleted = [await part.adelete(key) for key in keys]
        for tag in tags:
            await part.ainvalidate(tag)
    except StoreError as error:
        raise _silent(error) from None
    except ConfigurationError as error:
        raise BadRequestError(error.message) from None
    await _reply(exchange, {"status": "success", "deleted": sum(deleted)})


async def flush(service: Service, exchange: Exchange) -> None:
    """Forget what the caller's tenant has in this cache; with `{"all": true}` what anybody has in its store.

    Whatever else is in a shared server stays.
    """
    cache = _cache(service, exchange)
    raw = await exchange.body()
    body = _only(object_of(raw) if raw.strip() else {}, "all", "namespace")
    everything = body.get("all", False)
    if not isinstance(everything, bool):
        raise BadRequestError(f"all must be true or false, not {everything!r:.50}")
    try:
        if everything:
            cache.shelf.past.forget(b"")
            forgotten = await cache.store.aclear()
        else:
            namespace = _text("namespace", body.get("namespace"))
            forgotten = await cache.part(tenant=exchange.caller.tenant, namespace=namespace).aclear()
    except StoreError as error:
        raise _silent(error) from None
    await _reply(exchange, {"status": "success", "forgotten": forgotten})


def _only(body: dict[str, Any], *names: str) -> dict[str, Any]:
    unknown = sorted(body.keys() - {*names})
    if unknown:  # what is misspelled must not forget more than was meant
        raise BadRequestError(f"there is no {unknown[0]!r:.50} here; there are {' and '.join(names)}")
    return body


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MOST_KEYS or not all(isinstance(item, str) for item in value):
        raise BadRequestError(f"{name} must be a list of at most {MOST_KEYS} texts")
    return value


def _text(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{name} must be a text, not {value!r:.50}")
    return value


def _silent(error: StoreError) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"the cache does not answer: {error.message}")
