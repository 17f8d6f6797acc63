"""What answers requests: a configuration, the client that asks for it, its cache and its router."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.client.aio import AsyncClient
from ostinato.client.relay import Relay
from ostinato.gateway.router import Router

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.gateway.config import Config


class Service:
    """One reading of a configuration at work. Another reading makes another, with the same client and health."""

    def __init__(
        self,
        config: Config,
        *,
        cache: Cache | None = None,
        client: AsyncClient | None = None,
        before: Service | None = None,
    ) -> None:
        """`cache` None: as it is configured. `before`: whose client and health are carried over."""
        self.config: Config = config
        self.cache = config.open_cache() if cache is None else cache
        self.client: AsyncClient = client or (before.client if before is not None else AsyncClient())
        self.router: Router = Router(config.routing, None if before is None else before.router.health)
        self.relay = Relay(self.client, self.cache)

    async def aclose(self) -> None:
        """Close the connections, and the cache behind them."""
        await self.client.aclose()
        if self.cache is not None:
            await self.cache.aclose()
