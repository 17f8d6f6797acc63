"""Requests to models: from the body of a request to the answer, for every dialect alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ostinato.caching.key import remember_for
from ostinato.client.ask import Ask, Plan, Told
from ostinato.client.relay import LONG_REQUEST
from ostinato.errors import BadRequestError, OstinatoError, PermissionDeniedError
from ostinato.gateway.affinity import prefix_of
from ostinato.gateway.controls import take_controls, take_credentials, take_sample
from ostinato.gateway.exchange import object_of
from ostinato.gateway.headers import JSON, told_headers
from ostinato.gateway.till import REFUSALS

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.models import Alias
    from ostinato.gateway.service import Service

Json = dict[str, Any]
MOST_INPUTS = 2048
"""Of one request for embeddings: OpenAI's limit. Each is looked up by itself, while everybody else waits.

Source: https://platform.openai.com/docs/api-reference/embeddings/create (read 2026-11-24)."""
How = Callable[[Ask, Plan], Awaitable[Told]]
"""Answers from the cache, or asks whom a plan names."""


async def answer_model(service: Service, exchange: Exchange) -> None:
    """Answer a request in a dialect."""
    raw = await exchange.body()
    token = _token(exchange, raw)
    told = await service.relay.recall(token)
    if told is None:
        ask, alias = read_ask(service, exchange, object_of(raw), token)
        service.let_through(exchange, alias.name)
        await exchange.watched(_answer(service, exchange, ask, alias, service.relay.answer))
    else:
        service.let_through(exchange, told.model)
        await _send(exchange, told)


def _token(exchange: Exchange, raw: bytes) -> tuple[Any, ...]:
    """Return what a request is remembered by: whoever sends this again asks the same."""
    headers, caller = exchange.headers, exchange.caller
    said = [headers.get(name.encode()) for name in exchange.dialect.headers]
    body = raw if len(raw) <= LONG_REQUEST else sha256(raw).digest()
    who = caller.tenant, caller.id, caller.credentials
    return exchange.dialect.name, *who, headers.get(b"cache-control"), *said, body


def read_ask(service: Service, exchange: Exchange, body: Json, token: Any = None) -> tuple[Ask, Alias]:
    """Return what a request asks for, and of whom.

    Raises: BadRequestError, NotFoundError, PermissionDeniedError: it cannot be, or may not.
    """
    headers, caller, dialect = exchange.headers, exchange.caller, exchange.dialect
    remember_for(caller.tenant)
    controls = take_controls(body, headers.get(b"cache-control"))
    refused = caller.refused_control(controls)
    if refused is not None:
        raise PermissionDeniedError(f"this key may not set the cache control {refused!r}")
    sample_index = take_sample(body)
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequestError(f"stream must be true or false, not {stream!r:.50}")
    alias = take_credentials(body, find_model(service, exchange, body.get("model")), caller)
    said = {name: headers[name.encode()].decode("latin-1") for name in dialect.headers if name.encode() in headers}
    return Ask(dialect, body, alias, caller.tenant, said, controls, token, sample_index), alias


def find_model(service: Service, exchange: Exchange, name: Any) -> Alias:
    """Return who answers for a model's name.

    Raises: BadRequestError, NotFoundError, PermissionDeniedError.
    """
    if not isinstance(name, str) or not name:
        raise BadRequestError("model must be the name of a model")
    alias = service.config.models.find(name)
    if not exchange.caller.may_use(name):
        raise PermissionDeniedError(f"this key may not use model {name!r}")
    return alias


async def answer_embeddings(service: Service, exchange: Exchange) -> None:
    """Answer a request for embeddings."""
    ask, alias = read_ask(service, exchange, await exchange.json())
    if "input" not in ask.body:
        raise BadRequestError("input must be a text, a list of texts, token ids, or a list of lists of token ids")
    said = ask.body["input"]
    if isinstance(said, list) and len(said) > MOST_INPUTS and type(said[0]) is not int:
        raise BadRequestError(f"input may hold at most {MOST_INPUTS} inputs, not {len(said)}")
    service.let_through(exchange, alias.name)
    await exchange.watched(_answer(service, exchange, ask, alias, service.relay.embed))


async def _answer(service: Service, exchange: Exchange, ask: Ask, alias: Alias, how: How) -> None:
    await _send(exchange, await _told(service, ask, alias, partial(_ask_deployments, service, exchange, how)))


async def _told(service: Service, ask: Ask, alias: Alias, answered: Callable[..., Awaitable[Told]]) -> Told:
    """Return the answer of an alias, else of those that stand in for it.

    Raises: OstinatoError: the first alias's error, when none could answer.
    """
    try:
        return await answered(ask, alias)
    except REFUSALS:
        raise
    except OstinatoError as error:
        others = [service.config.models.find(name) for name in service.router.fallbacks(alias.name, error)]
        for place, other in enumerate(others, 1):
            following = replace(ask, alias=other, token=None)
            try:
                return await answered(following, other, last=place == len(others))
            except OstinatoError:
                continue
        raise


async def _ask_deployments(
    service: Service, exchange: Exchange, how: How, ask: Ask, alias: Alias, *, last: bool | None = None
) -> Told:
    """Return the answer of an alias's deployments, as the router plans it and the caller's money goes.

    Raises: OstinatoError: of the deployment that was asked last.
    """
    plan = service.router.plan(alias, _prefix(ask, alias), last=last, before=partial(service.draw, exchange))
    plan.left = partial(setattr, exchange, "told")
    plan.refreshing = partial(service.refreshing, exchange)
    while True:
        try:
            told = await how(ask, plan)
        except REFUSALS:
            raise
        except OstinatoError as error:
            delay_s = plan.after(error)
            if delay_s is None:
                raise
            if delay_s:
                await asyncio.sleep(delay_s)
        else:
            plan.answered()
            return told


def _prefix(ask: Ask, alias: Alias) -> bytes | None:
    """Return what decides who is asked first; of one alone, what makes those who ask the same wait the same."""
    if len(alias.deployments) > 1 or ask.token is None:
        return prefix_of(ask.body)
    return sha256(ask.token[-1]).digest()


async def _send(exchange: Exchange, told: Told) -> None:
    exchange.told = told
    headers = told_headers(exchange.call_id, told)
    events, told.events = told.events, None
    if events is not None:
        await exchange.reply_events(headers, events)
    elif told.stream:
        await exchange.reply_replayed(headers, told.body)
    else:
        headers.append(JSON)
        await exchange.reply(200, headers, told.body)
