"""Tasks to the providers over aiohttp, for a process that sends many requests: the gateway."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ostinato.errors import MissingDependencyError
from ostinato.transport.async_http import AsyncTransport
from ostinato.transport.pool import proxy_for
from ostinato.transport.request import parse_target

if TYPE_CHECKING:
    from ostinato.transport.async_opened import AsyncOpened, Pool
    from ostinato.transport.exchange import Outgoing


class AiohttpTransport(AsyncTransport):
    """`AsyncTransport` over aiohttp, at less than half the processor time.

    What goes through a proxy, or has header values beyond ASCII, is left to httpx2: aiohttp knows no SOCKS, and
    would send such values as UTF-8.
    """

    def __init__(self) -> None:
        """Have nothing loaded yet: aiohttp takes as long as all the rest of a gateway.

        Raises: MissingDependencyError: it is not installed.
        """
        super().__init__()
        if find_spec("aiohttp") is None:
            raise MissingDependencyError("the gateway needs aiohttp: pip install 'ostinato[gateway]'")
        self._other = AsyncTransport()
        self._direct: dict[str, bool] = {}
        """By origin, whether no proxy stands before it."""

    async def open(self, out: Outgoing) -> AsyncOpened:
        target = parse_target(out.url)
        direct = self._direct.get(target.origin)
        if direct is None:
            direct = self._direct[target.origin] = proxy_for(target) is None
        if direct and all(map(str.isascii, out.headers.values())):
            return await super().open(out)
        return await self._other.open(out)

    async def aclose(self) -> None:
        await super().aclose()
        await self._other.aclose()

    def load(self) -> None:
        """Load aiohttp, so that the first call need not."""
        import_module("ostinato.transport.aiohttp_pool")

    def _make_pool(self) -> Pool:
        from ostinato.transport.aiohttp_pool import AiohttpPool

        return AiohttpPool()
