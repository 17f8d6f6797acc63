"""What answers requests: a configuration, the client that asks for it, its cache and its router."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ostinato.client.aio import AsyncClient
from ostinato.client.relay import Relay
from ostinato.errors import StoreError
from ostinato.gateway.errands import Errands
from ostinato.gateway.router import Router
from ostinato.gateway.till import REFUSALS, KeyUnreadError, Ticket
from ostinato.gateway.watch import Watch
from ostinato.ledger.line import Line
from ostinato.transport.async_aiohttp import AiohttpTransport

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.client.ask import Told
    from ostinato.gateway.admit import Caller
    from ostinato.gateway.books import Books
    from ostinato.gateway.config import Config
    from ostinato.gateway.exchange import Exchange
    from ostinato.gateway.keys import KeyRing


class Service:
    """One reading of a configuration at work. Another reading makes another, with the same client and health."""

    def __init__(
        self,
        config: Config,
        *,
        cache: Cache | None = None,
        client: AsyncClient | None = None,
        watch: Watch | None = None,
        books: Books | None = None,
        before: Service | None = None,
    ) -> None:
        """`cache` None: as it is configured. `books` None: no virtual keys, and no ledger.

        `before`: whose client, health, counts, books and unchanged cache are kept.
        """
        self.config: Config = config
        if cache is None:
            kept = before is not None and _caches(before.config) == _caches(config)
            cache = before.cache if before is not None and kept else config.open_cache()
        self.cache: Cache | None = cache
        self.watch: Watch = watch or (before.watch if before is not None else Watch())
        self.books: Books | None = books or (None if before is None else before.books)
        self.ring: KeyRing | None = None if self.books is None else self.books.ring
        self.client: AsyncClient = client or (
            before.client if before is not None else AsyncClient(transport=AiohttpTransport())
        )
        self.router: Router = Router(config.routing, None if before is None else before.router.health)
        self.relay = Relay(self.client, self.cache)
        tally = self.watch.tally
        self.errands: Errands = Errands(tally.folder, tally.index) if before is None else before.errands

    def load(self) -> None:
        """Load what the first call upstream needs, while others are answered already."""
        transport = self.client.transport
        if isinstance(transport, AiohttpTransport):
            transport.load()
            gc.freeze()  # as what was loaded before: it stays

    def look(self) -> None:
        """Bring the counts up to date that others keep."""
        counters = {} if self.cache is None else self.cache.counters.as_dict()
        self.watch.look(self.config.models, self.router.health, counters)

    def let_through(self, exchange: Exchange, model: str) -> None:
        """Let a call to a model in, as far as its key's limits go.

        Raises: KeyRateError. KeyUnreadError: its limits cannot be read.
        """
        if self.books is not None:
            try:
                exchange.ticket = self.books.till.admit(exchange.caller.key, model)
            except StoreError:
                raise _unread() from None

    def draw(self, exchange: Exchange) -> None:
        """Let a call go upstream, as far as its key's money goes.

        Raises: KeyBudgetError, KeyRateError. KeyUnreadError: its limits cannot be read.
        """
        if self.books is not None and exchange.ticket is not None:
            try:
                self.books.till.draw(exchange.ticket)
            except StoreError:
                raise _unread() from None

    def settle(self, exchange: Exchange) -> None:
        """Write a line for a call that was let in, as soon as it is known what it took."""
        books, ticket, told = self.books, exchange.ticket, exchange.told
        if books is not None and ticket is not None:
            if told is not None and told.awaited:
                told.on_counted = partial(self._write, books, ticket, exchange.caller, told)
            else:
                self._write(books, ticket, exchange.caller, told)

    def refreshing(self, exchange: Exchange) -> Callable[[Told | None], None] | None:
        """Return what hears of what it took to ask anew for a stale entry; None where its key may not pay for that."""
        books, ticket = self.books, exchange.ticket
        if books is None or ticket is None:
            return lambda _told: None
        own = Ticket(ticket.key, ticket.model)
        try:
            books.till.draw(own)
        except (*REFUSALS, StoreError):
            return None

        def counted(told: Told | None) -> None:
            if told is None:
                books.till.settle(own, None)
            else:
                self._write(books, own, exchange.caller, told)

        return counted

    def _write(self, books: Books, ticket: Ticket, caller: Caller, told: Told | None) -> None:
        line = line_of(caller, told, ticket.model, time.time())
        books.till.settle(ticket, line)
        self.watch.spent(line)
        books.open()

    async def aclose(self) -> None:
        """Close the connections, the cache behind them, and the books."""
        await self.client.aclose()
        if self.books is not None:
            await asyncio.to_thread(self.books.close)
        if self.cache is not None:
            await self.cache.aclose()


def _unread() -> KeyUnreadError:
    # The log says why: where the file is, and how it is, is no caller's.
    return KeyUnreadError("the limits of this key cannot be read at the moment")


def line_of(caller: Caller, told: Told | None, model: str, at: float) -> Line:
    """Return the ledger's line of a call that was answered, or was not."""
    key = caller.key
    tenant, key_id = (caller.tenant, "") if key is None else (key.tenant, key.id)
    if told is None:
        return Line(at, tenant, key_id, model, "error")
    if told.cache == "hit" or (told.cache == "shared" and not told.paid_pico):
        return Line(at, tenant, key_id, model, told.cache, saved_pico=told.saved_pico or 0)
    runs = told.runs
    return Line(
        at,
        tenant,
        key_id,
        model,
        told.cache,
        uncached=sum(run.uncached for run in runs),
        read=sum(run.read for run in runs),
        written=sum(sum(run.written.values()) for run in runs),
        output=sum(run.output for run in runs),
        cost_pico=told.paid_pico,
        saved_pico=told.saved_pico or 0,
        prompt_saved_pico=told.prompt_saved_pico,
    )


def _caches(config: Config) -> Mapping[str, Any] | None:
    return None if config.cache is None else config.cache.settings
