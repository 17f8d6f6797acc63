"""`messages/count_tokens`: by the vendor where it counts, else estimated and said to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ostinato.client.relay import reading
from ostinato.gateway.affinity import prefix_of
from ostinato.gateway.asking import read_ask
from ostinato.gateway.headers import plain_headers

if TYPE_CHECKING:
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service

CHARACTERS_PER_TOKEN = 4
"""Of English, in the tokenizers of the vendors: https://help.openai.com/en/articles/4936856 (read 2026-11-24)."""
PER_BLOCK = 4
"""Tokens around each message, tool or block."""
IMAGE = 1600
"""The most that one image costs: https://platform.claude.com/docs/en/build-with-claude/vision (read 2026-11-24)."""
_DATA = ("image", "document", "file")


async def count_tokens(service: Service, exchange: Exchange) -> None:
    """Answer how many tokens a prompt has."""
    ask, alias = read_ask(service, exchange, await exchange.json())

    async def answer() -> None:
        with reading(ask.body):
            ask.dialect.read_request(ask.body)
        deployment = service.router.plan(alias, prefix_of(ask.body)).deployment
        counted = await service.relay.count_tokens(ask, deployment)
        told: dict[str, Any] = {"input_tokens": counted, "litellm_count_source": "provider"}
        if counted is None:
            told = {"input_tokens": estimate(ask.body), "litellm_count_source": "estimate", "estimated": True}
        await exchange.reply_json(told, plain_headers(exchange.call_id))

    await exchange.watched(answer())


def estimate(body: dict[str, Any]) -> int:
    """Return about how many tokens a request's prompt has."""
    prompt = [body.get(name) for name in ("system", "tools", "messages")]
    return max(1, sum(_weights(prompt)))


def _weights(value: Any) -> Iterator[int]:
    """Yield tokens of texts and of what is around them. What is nested deeper than JSON can be is not there."""
    if isinstance(value, str):
        yield -(-len(value) // CHARACTERS_PER_TOKEN)
    elif isinstance(value, dict):
        if value.get("type") in _DATA:
            yield IMAGE
            return
        yield PER_BLOCK
        for name, item in value.items():
            if name not in {"type", "role", "cache_control", "id", "tool_use_id"}:
                yield from _weights(item)
    elif isinstance(value, list):
        for item in value:
            yield from _weights(item)
    elif value is not None:
        yield 1
