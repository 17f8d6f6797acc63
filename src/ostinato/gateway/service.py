"""What answers requests: a configuration, the client that asks for it, its cache and its router."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostinato.client.aio import AsyncClient
from ostinato.client.relay import Relay
from ostinato.gateway.router import Router
from ostinato.gateway.watch import Watch

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
        watch: Watch | None = None,
        before: Service | None = None,
    ) -> None:
        """`cache` None: as it is configured. `before`: whose client, health, counts and unchanged cache are kept."""
        self.config: Config = config
        if cache is None:
            kept = before is not None and _caches(before.config) == _caches(config)
            cache = before.cache if before is not None and kept else config.open_cache()
        self.cache: Cache | None = cache
        self.watch: Watch = watch or (before.watch if before is not None else Watch())
        self.client: AsyncClient = client or (before.client if before is not None else AsyncClient())
        self.router: Router = Router(config.routing, None if before is None else before.router.health)
        self.relay = Relay(self.client, self.cache)

    def look(self) -> None:
        """Bring the counts up to date that others keep."""
        counters = {} if self.cache is None else self.cache.counters.as_dict()
        self.watch.look(self.config.models, self.router.health, counters)

    async def aclose(self) -> None:
        """Close the connections, and the cache behind them."""
        await self.client.aclose()
        if self.cache is not None:
            await self.cache.aclose()


def _caches(config: Config) -> Mapping[str, Any] | None:
    return None if config.cache is None else config.cache.settings
