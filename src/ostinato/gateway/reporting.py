"""The paths on which a gateway tells of itself: models, health, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ostinato.errors import PermissionDeniedError
from ostinato.gateway import operations
from ostinato.gateway.headers import plain_headers
from ostinato.gateway.models import MAX_NAME

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service

Json = dict[str, Any]


async def models(service: Service, exchange: Exchange) -> None:
    """List the models that the caller may use, or tell of the one that the path names."""
    listed, may_use = service.config.models, exchange.caller.may_use
    name = exchange.parameter
    if name:
        if not may_use(name):
            raise PermissionDeniedError(f"this key may not use model {name[:MAX_NAME]!r}")
        told = operations.one_model(listed, name)
        told = _of_anthropic(told) if b"anthropic-version" in exchange.headers else told
    else:
        told = operations.list_models(listed)
        told["data"] = [row for row in told["data"] if may_use(row["id"])]
        told = _listed_by_anthropic(told["data"]) if b"anthropic-version" in exchange.headers else told
    await exchange.reply_json(told, plain_headers(exchange.call_id))


def _of_anthropic(row: Json) -> Json:
    """Return a model as Anthropic lists it.

    Source: https://platform.claude.com/docs/en/api/models-list (read 2026-11-24).
    """
    return {"type": "model", "id": row["id"], "display_name": row["id"], "created_at": "1970-01-01T00:00:00Z"}


def _listed_by_anthropic(rows: list[Json]) -> Json:
    data = [_of_anthropic(row) for row in rows]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


async def model_info(service: Service, exchange: Exchange) -> None:
    """Tell the facts and prices of the caller's models, or of the one with `?litellm_model_id=`."""
    asked = parse_qs(exchange.scope["query_string"].decode("latin-1")).get("litellm_model_id")
    told = operations.model_info(service.config.models, asked[0] if asked else None)
    told["data"] = [row for row in told["data"] if exchange.caller.may_use(row["model_name"])]
    await exchange.reply_json(told, plain_headers(exchange.call_id))


async def health(service: Service, exchange: Exchange) -> None:
    """Tell which deployments answer."""
    _require_admin(exchange)
    told = operations.health(service.config.models, service.router.health)
    if service.books is not None:
        told["books"] = {"place": service.books.vault.where, "problem": service.books.problem}
    await exchange.reply_json(told, plain_headers(exchange.call_id))


async def readiness(service: Service, exchange: Exchange) -> None:
    """Tell that requests are taken."""
    cache, books = service.cache, service.books
    problem = None if books is None else books.problem
    told = operations.readiness(None if cache is None else cache.counters.store_errors, problem)
    await exchange.reply_json(told, plain_headers(exchange.call_id))


async def liveness(_service: Service, exchange: Exchange) -> None:
    """Tell that somebody is here."""
    await exchange.reply_json("I'm alive!", plain_headers(exchange.call_id))


async def metrics(service: Service, exchange: Exchange) -> None:
    """Tell Prometheus what all workers counted."""
    _require_admin(exchange)
    service.look()
    body, kind = service.watch.tally.exposition()
    await exchange.reply(200, [(b"content-type", kind.encode()), *plain_headers(exchange.call_id)], body)


def _require_admin(exchange: Exchange) -> None:
    if not exchange.caller.admin:
        raise PermissionDeniedError("only the master key may see this")
