"""Calls spaced out: `api_rate_limit` of a configuration, counted where requests leave for the vendor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ostinato.client.aio import AsyncClient
from ostinato.client.sync import Client
from ostinato.errors import ConfigurationError
from ostinato.transport.async_http import AsyncTransport
from ostinato.transport.http import Transport

if TYPE_CHECKING:
    from ostinato.transport.async_opened import AsyncOpened
    from ostinato.transport.exchange import Outgoing
    from ostinato.transport.http import Opened


class Pace:
    """So many requests a second. What the response cache answers is no request."""

    def __init__(self, per_second: Any, clock: Callable[[], float] = time.monotonic) -> None:
        if isinstance(per_second, bool) or not isinstance(per_second, (int, float)) or not per_second > 0:
            raise ConfigurationError(f"api_rate_limit must be a number of requests a second, not {per_second!r}")
        self._gap_s = 1.0 / per_second
        self._clock = clock
        self._free_at = float("-inf")
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take the next turn, and return the seconds until it comes."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._free_at)
            self._free_at = turn + self._gap_s
        return turn - now


class PacedTransport(Transport):
    """Waits for its turn, and sends over another transport's connections."""

    def __init__(self, inner: Transport, pace: Pace) -> None:
        super().__init__()
        self._inner = inner
        self._pace = pace

    def open(self, out: Outgoing) -> Opened:
        """Return the answer as soon as its headers are there, once it is this request's turn."""
        time.sleep(self._pace.take())
        return self._inner.open(out)


class PacedAsyncTransport(AsyncTransport):
    """Waits for its turn, and sends over another transport's connections."""

    def __init__(self, inner: AsyncTransport, pace: Pace) -> None:
        super().__init__()
        self._inner = inner
        self._pace = pace

    async def open(self, out: Outgoing) -> AsyncOpened:
        """Return the answer as soon as its headers are there, once it is this request's turn."""
        await asyncio.sleep(self._pace.take())
        return await self._inner.open(out)


def paced(client: Client, async_client: AsyncClient, per_second: Any) -> tuple[Client, AsyncClient]:
    """Return clients that share connections with these, and one pace."""
    pace = Pace(per_second)
    return (
        Client(transport=PacedTransport(client.transport, pace)),
        AsyncClient(transport=PacedAsyncTransport(async_client.transport, pace)),
    )
