"""The paths for a team: keys, spend, and the page that draws them."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ostinato.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError, StoreError
from ostinato.gateway import admin
from ostinato.gateway.headers import Pairs, plain_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostinato.gateway.books import Books
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.service import Service

_FOLDER = Path(__file__).with_name("dashboard")
_KINDS = {".html": b"text/html; charset=utf-8", ".css": b"text/css", ".js": b"text/javascript"}
_PAGE: Pairs = [
    # Only what comes from here runs or is asked, and nobody may frame it.
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
]


async def generate(service: Service, exchange: Exchange) -> None:
    """Make a key, and tell its secret this once."""
    body = await exchange.body()
    await _reply(service, exchange, lambda books: admin.generate_key(books.ring, body))


async def listed(service: Service, exchange: Exchange) -> None:
    """List the keys."""
    await _reply(service, exchange, lambda books: admin.list_keys(books.ring))


async def revoke(service: Service, exchange: Exchange) -> None:
    """Revoke a key."""
    body = await exchange.body()
    await _reply(service, exchange, lambda books: admin.revoke_key(books.ring, body))


async def spend(service: Service, exchange: Exchange) -> None:
    """Tell what was spent, and saved; what this worker has not written yet is written first."""
    query = dict(parse_qsl(exchange.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    def read(books: Books) -> Any:
        books.till.flush()
        return admin.read_spend(books.vault, query)

    await _reply(service, exchange, read)


async def page(_service: Service, exchange: Exchange) -> None:
    """Send the dashboard's page, or one of its files. It holds no figures: those are asked with a key."""
    name = exchange.parameter or "index.html"
    body = _files().get(name)
    if body is None:
        raise NotFoundError(f"nothing is at {exchange.scope['path']!r}")
    kind = (b"content-type", _KINDS.get(Path(name).suffix, b"text/plain; charset=utf-8"))
    await exchange.reply(200, [kind, *_PAGE, *plain_headers(exchange.call_id)], body)


@lru_cache(1)
def _files() -> dict[str, bytes]:
    """Return the dashboard's files by their paths: what is not among them cannot be asked for."""
    return {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in _FOLDER.rglob("*") if path.is_file()}


async def _reply(service: Service, exchange: Exchange, answer: Callable[[Books], Any]) -> None:
    if not exchange.caller.admin:
        raise PermissionDeniedError("only the master key may ask this")
    if service.books is None:
        raise ServiceUnavailableError("this gateway keeps no books")
    try:
        told = await asyncio.to_thread(answer, service.books)  # it may wait for another process
    except StoreError as error:
        raise ServiceUnavailableError(f"the ledger does not answer: {error.message}") from None
    await exchange.reply_json(told, plain_headers(exchange.call_id))
