"""`messages/count_tokens`: by the vendor where it counts, else estimated and said to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.client.ask import Told
from ostinato.client.guess import estimate
from ostinato.client.relay import reading
from ostinato.gateway.affinity import prefix_of
from ostinato.gateway.asking import read_ask
from ostinato.gateway.headers import plain_headers

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service


async def count_tokens(service: Service, exchange: Exchange) -> None:
    """Answer how many tokens a prompt has."""
    ask, alias = read_ask(service, exchange, await exchange.json())
    service.let_through(exchange, alias.name)

    async def answer() -> None:
        with reading(ask.body):
            ask.dialect.read_request(ask.body)
        deployment = service.router.plan(alias, prefix_of(ask.body)).deployment
        counted = await service.relay.count_tokens(ask, deployment)
        told: dict[str, Any] = {"input_tokens": counted, "litellm_count_source": "provider"}
        if counted is None:
            told = {"input_tokens": estimate(ask.body), "litellm_count_source": "estimate", "estimated": True}
        exchange.told = Told("bypass", paid_pico=0, deployment=deployment.id, model=alias.name)
        await exchange.reply_json(told, plain_headers(exchange.call_id))

    await exchange.watched(answer())
