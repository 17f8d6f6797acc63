"""The smallest application that a server can serve: it says which models it has, and can stream slowly."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from ostinato.errors import ConfigurationError
from ostinato.gateway.config import Config
from ostinato.gateway.tally import Tally


class PlainApp:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.cut = 0
        """Requests whose client left, or that were cancelled."""
        self.gate = asyncio.Event()
        self.arrived = asyncio.Event()
        """Set when much of a body has come."""
        self.left = asyncio.Event()
        """Set when the first client has left."""

    async def reload(self, config: Config) -> None:
        self.config = config

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": f"{(await receive())['type']}.complete"})
            return
        config = self.config
        size = await self._size(receive)
        if size is None:
            self.cut += 1
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            match scope["path"]:
                case "/slow":
                    await self._body(send, b"begun in %d\n" % os.getpid())
                    await asyncio.sleep(float(scope["query_string"] or b"0.3"))
                case "/gate":
                    await self._body(send, b"begun in %d\n" % os.getpid())
                    await self.gate.wait()
                case "/much":
                    for _ in range(1000):
                        await self._body(send, bytes(100_000))
                    self.left.set()
        except asyncio.CancelledError:
            self.cut += 1
            self.left.set()
            raise
        said = f"{','.join(config.models.names())} {os.getpid()} {size}"
        await send({"type": "http.response.body", "body": said.encode()})

    async def _size(self, receive: Any) -> int | None:
        """Return the size of the body, None when the client leaves before it is there."""
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            size, more = size + len(message["body"]), message["more_body"]
            if size > 5 * 2**14 - 100:
                self.arrived.set()
        return size

    @staticmethod
    async def _body(send: Any, piece: bytes) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})


def build_app(config: Config, tally: Tally) -> PlainApp:
    return PlainApp(config)


def build_none(config: Config, tally: Tally) -> PlainApp:
    raise ConfigurationError("this cannot be built")
