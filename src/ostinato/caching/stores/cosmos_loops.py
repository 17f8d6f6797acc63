"""One container of Cosmos DB, read from event loops: a client for each, closed with its loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from ostinato.caching.stores.cosmos_account import OPEN_S
from ostinato.caching.stores.cosmos_items import Item, id_of, partition_of
from ostinato.caching.stores.cosmos_tries import Tries, failure_of
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, CosmosClient

    from ostinato.caching.stores.cosmos_container import Container

Key = tuple[int, asyncio.AbstractEventLoop]


class Loops:
    """Reads one container under several event loops, one after another and side by side.

    A loop that ends closes the asynchronous generators that were begun on it (`asyncio.run` has it do so), and
    with them its client; `flush` is called before, in a thread.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._readers: dict[Key, _Reader] = {}

    async def read(self, key: bytes) -> Item | None:
        """Return the item of `key`, or None.

        Raises: StoreError: no answer within the deadline.
        """
        container = self._container
        if container.account.given is not None:
            return await asyncio.to_thread(container.read, key)
        container.admit()
        try:
            item = await self._read(key)
        except StoreError:
            container.breaker.failed()
            raise
        container.answered()
        return item

    async def close(self) -> None:
        """Close the running loop's client. A later read opens another."""
        reader = self._readers.get((os.getpid(), asyncio.get_running_loop()))
        if reader is not None:
            await reader.keeper.aclose()

    async def _read(self, key: bytes) -> Item | None:
        from azure.cosmos.exceptions import CosmosResourceNotFoundError

        container = self._container
        tally = container.tally
        proxy = await self._proxy()
        tries = Tries(container.timeout_s)
        while True:
            try:
                async with asyncio.timeout(tries.left_s()):
                    return await proxy.read_item(id_of(key), partition_of(key), response_hook=tally.charge)
            except CosmosResourceNotFoundError as exc:
                tally.charge(exc.headers or {})
                return None
            except Exception as exc:  # noqa: BLE001 (whatever the SDK stumbles over is a miss, never the call's error)
                failure = failure_of(exc)
            wait_s = tries.wait_s(failure)
            if wait_s is None:
                raise container.give_up(failure)
            tally.retry(failure)
            await asyncio.sleep(wait_s)

    async def _proxy(self) -> ContainerProxy:
        key = (os.getpid(), asyncio.get_running_loop())
        reader = self._readers.get(key)
        if reader is None:
            self._forget_closed_loops()
            reader = self._readers[key] = _Reader()
            reader.keeper = self._keep(key, reader)
            await anext(reader.keeper)
        return reader.proxy or await self._open(reader)

    async def _open(self, reader: _Reader) -> ContainerProxy:
        """Return the loop's container, opened by one task for all that wait."""
        container = self._container
        try:
            async with asyncio.timeout(container.timeout_s + OPEN_S), reader.opening:
                if reader.proxy is None:
                    # What is missing is made by the thread's client, once.
                    await asyncio.to_thread(container.open)
                    reader.client = reader.client or await container.account.aopen_client()
                    database = reader.client.get_database_client(container.database)
                    proxy = database.get_container_client(container.name)
                    # The SDK would read the container before the first item.
                    await proxy.read()
                    reader.proxy = proxy
                return reader.proxy
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001 (as above)
            container.breaker.trip()
            failure = failure_of(exc)
        raise container.give_up(failure)

    async def _keep(self, key: Key, reader: _Reader) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._readers.pop(key, None)
            client, reader.client, reader.proxy = reader.client, None, None
            if client is not None:
                await client.close()

    def _forget_closed_loops(self) -> None:
        pid = os.getpid()
        for key in list(self._readers):
            if key[0] == pid and key[1].is_closed():
                self._readers.pop(key, None)


class _Reader:
    """What one event loop reads with."""

    keeper: AsyncGenerator[None, None]

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.client: CosmosClient | None = None
        self.proxy: ContainerProxy | None = None
