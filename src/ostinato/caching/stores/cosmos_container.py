"""One container of Cosmos DB, spoken to from threads: made if missing, each question asked within its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from ostinato.caching.stores.breaker import Breaker
from ostinato.caching.stores.cosmos_account import OPEN_S, Account
from ostinato.caching.stores.cosmos_items import (
    CONTAINER,
    KEYS,
    NEXT_PARTITION,
    PARTITION_PATH,
    SCOPE_BYTES,
    Item,
    id_of,
    is_live,
    item_of,
    partition_of,
)
from ostinato.caching.stores.cosmos_lanes import LANES
from ostinato.caching.stores.cosmos_tries import RETRIED, Failure, Tries, failure_of
from ostinato.caching.stores.forks import renew_after_fork
from ostinato.errors import StoreError, warn

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy, CosmosClient

    from ostinato.caching.stores.behind import Batch

Result = TypeVar("Result")
Options = dict[str, Any]
Question = Callable[["ContainerProxy", Options], Result]

PAGE = 100
"""Items of a page, and operations of a batch, of which the service takes no more."""
FORK_WAIT_S = 2.0


class Tally:
    """What the questions to one container came to."""

    def __init__(self) -> None:
        self.errors = self.retries = self.throttled = self.too_large = 0
        self.request_units = 0.0
        self.problem: str | None = None

    def charge(self, headers: Mapping[str, Any], *_: object) -> None:
        """Add what the service says a question cost."""
        with suppress(ValueError):
            self.request_units += float(headers.get("x-ms-request-charge", 0))

    def refuse(self, size: int) -> None:
        """Count a value that fits into no item, and warn of the first."""
        self.too_large += 1
        if self.too_large == 1:
            warn(
                "an answer of %d bytes is larger than an item of Cosmos DB may be (2 MB), and is not kept;"
                " further ones are counted alone",
                size,
            )

    def retry(self, failure: Failure) -> None:
        """Count a try that is followed by another."""
        self.retries += 1
        self.throttled += failure.status == 429


class Container:
    """A container of `account`, opened at first use, again after `close`, and anew in a forked child.

    Every method may raise `StoreError`, `retryable` where the service did not answer.
    """

    fork_rank = 1

    def __init__(
        self, account: Account, database: str, name: str, *, timeout_s: float, clock: Callable[[], float]
    ) -> None:
        self.account, self.database, self.name = account, database, name
        self.timeout_s = timeout_s
        self.breaker = Breaker()
        self.tally = Tally()
        self._clock = clock
        self._client: CosmosClient | None = None
        self._proxy: ContainerProxy | None = None
        self._opening = threading.Lock()
        self._lanes = threading.BoundedSemaphore(LANES)
        self._inherited: list[object] = []
        self._in_child = False
        self._rested = False
        self._warned = False
        renew_after_fork(self)

    def read(self, key: bytes) -> Item | None:
        """Return the item of `key`, or None."""
        return self.item(id_of(key), partition_of(key))

    def item(self, name: str, partition: str) -> Item | None:
        """Return the item that is called `name`, or None."""
        from azure.cosmos.exceptions import CosmosResourceNotFoundError

        def question(proxy: ContainerProxy, options: Options) -> Item | None:
            try:
                return proxy.read_item(name, partition, response_hook=self.tally.charge, **options)
            except CosmosResourceNotFoundError as exc:
                self.tally.charge(exc.headers or {})
                return None

        return self.ask(question)

    def put(self, item: Item) -> None:
        """Write one item."""
        self._upsert(item["partitionKey"], [item])

    def refuse(self, key: bytes, size: int) -> None:
        """Count a value that fits into no item, warn of the first, and remove what it was to replace."""
        self.tally.refuse(size)
        self._delete(key)

    def send(self, batch: Batch) -> None:
        """Write entries, those of one partition in one round trip. What has expired is removed instead."""
        now = self._clock()
        items: list[Item] = []
        for key, (value, expires_at) in batch:
            if expires_at is None or now < expires_at:
                items.append(item_of(key, value, expires_at, now))
            else:
                self._delete(key)
        items.sort(key=_partition)
        for partition, group in groupby(items, _partition):
            self._upsert(partition, list(group))

    def remove(self, key: bytes) -> bool:
        """Remove the item of `key`. Return whether it was there and alive."""
        item = self.read(key)
        if item is None:
            return False
        # Whether the deletion finds it says nothing: its first answer may have been lost.
        self._delete(key)
        return is_live(item, self._clock())

    def clear(self, scope: bytes) -> int:
        """Remove every item whose key starts with `scope`. Return how many were alive."""
        count = 0
        for partition, items in self.pages(KEYS, scope):
            now = self._clock()
            count += sum(is_live(item, now) for item in items)
            self._delete_all(partition, [item["id"] for item in items])
        return count

    def pages(self, query: str, scope: bytes) -> Iterator[tuple[str, list[Item]]]:
        """Yield what `query` finds of `scope`, page by page, each with its partition."""
        prefix = scope[SCOPE_BYTES:].hex()
        for partition in self._partitions(scope):
            token: str | None = None
            while True:
                items, token = self.ask(partial(_page, query, prefix, partition, token))
                yield partition, items
                if token is None:
                    break

    def usage(self) -> tuple[int, int]:
        """Return how many items the container has and their bytes, as the service last counted; 0: it did not."""
        told: dict[str, str] = {}

        def note(headers: Mapping[str, str], *_: object) -> None:
            members = headers.get("x-ms-resource-usage", "").split(";")
            told.update(dict(member.split("=", 1) for member in members if "=" in member))

        self.ask(lambda proxy, options: proxy.read(populate_quota_info=True, response_hook=note, **options))
        return _number(told, "documentsCount"), _number(told, "documentsSize") * 1024

    def ask(self, question: Question[Result]) -> Result:
        """Return the answer to `question`, which is asked again while its trouble passes and time is left."""
        self.admit()
        try:
            proxy = self._proxy or self._open()
            answer = self._ask(proxy, question)
        except StoreError:
            self.breaker.failed()
            raise
        self.answered()
        return answer

    def admit(self) -> None:
        """Raise StoreError where it is of no use to ask."""
        if not self.breaker.admits():
            raise StoreError(f"Cosmos DB failed, and rests: {self.tally.problem}", retryable=True)

    def answered(self) -> None:
        """Take note that the service answered."""
        self.breaker.succeeded()
        self.tally.problem = None

    def give_up(self, failure: Failure) -> StoreError:
        """Return what to raise for a failure that is not tried again.

        Raise it outside of `except`: an error of the SDK leads to the request, its headers, and the client.
        """
        self.tally.errors += 1
        self.tally.problem = text = self.account.mask(failure.text)
        if failure.status == 404:
            # The container is gone: the next question makes it anew.
            self._proxy = None
        return StoreError(
            f"Cosmos DB does not do it: {text}",
            status_code=failure.status,
            retry_after=failure.retry_after_s,
            retryable=failure.retryable or failure.status == 404,
        )

    def open(self) -> None:
        """Open the container now, and make it if it is missing."""
        if self._proxy is None:
            self._open()

    def close(self) -> None:
        """Close the connections; a client that was handed in stays open. A later question opens others."""
        with self._opening:
            client, self._client, self._proxy = self._client, None, None
            if client is not None and client is not self.account.given:
                client.close()

    def before_fork(self) -> None:
        self._rested = self._opening.acquire(timeout=FORK_WAIT_S)

    def after_fork(self, *, in_child: bool) -> None:
        if not in_child:
            if self._rested:
                self._opening.release()
            return
        self._opening = threading.Lock()
        self._lanes = threading.BoundedSemaphore(LANES)
        # Never closed here, nor collected: the sockets are the parent's.
        self._inherited.append(self._client)
        self._client = self._proxy = None
        self._in_child = True

    def _ask(self, proxy: ContainerProxy, question: Question[Result]) -> Result:
        tries = Tries(self.timeout_s)
        while True:
            if not self._lanes.acquire(timeout=tries.left_s()):
                raise StoreError(f"{LANES} others wait for Cosmos DB, and none was answered in time", retryable=True)
            try:
                return question(proxy, limits(tries.left_s()))
            except Exception as exc:  # noqa: BLE001 (whatever the SDK stumbles over is a miss, never the call's error)
                failure = failure_of(exc)
            finally:
                self._lanes.release()
            wait_s = tries.wait_s(failure)
            if wait_s is None:
                raise self.give_up(failure)
            self.tally.retry(failure)
            time.sleep(wait_s)

    def _open(self) -> ContainerProxy:
        """Return the container, opened by one thread for all that wait."""
        if self._in_child and self.account.given is not None:
            raise StoreError("a Cosmos DB client that was handed in is of no use in a forked process")
        if not self._opening.acquire(timeout=self.timeout_s + OPEN_S):
            raise StoreError("another thread is still opening the container in Cosmos DB", retryable=True)
        try:
            if self._proxy is None:
                self._client = self._client or self.account.open_client()
                proxy = self._client.get_database_client(self.database).get_container_client(self.name)
                self._check(self._describe(self._client, proxy))
                self._proxy = proxy
            return self._proxy
        except StoreError:
            self.breaker.trip()
            raise
        except Exception as exc:  # noqa: BLE001 (as above)
            self.breaker.trip()
            failure = failure_of(exc)
        finally:
            self._opening.release()
        raise self.give_up(failure)

    def _describe(self, client: CosmosClient, proxy: ContainerProxy) -> Mapping[str, Any]:
        """Return the container's properties. It and its database are made if they are missing."""
        from azure.cosmos import PartitionKey
        from azure.cosmos.exceptions import CosmosResourceExistsError, CosmosResourceNotFoundError

        try:
            return proxy.read(**limits(OPEN_S))
        except CosmosResourceNotFoundError:
            # Others may make them at the same time.
            with suppress(CosmosResourceExistsError):
                client.create_database(self.database)
            with suppress(CosmosResourceExistsError):
                client.get_database_client(self.database).create_container(
                    self.name, PartitionKey(PARTITION_PATH), **CONTAINER
                )
            return proxy.read(**limits(OPEN_S))

    def _check(self, properties: Mapping[str, Any]) -> None:
        paths = properties.get("partitionKey", {}).get("paths")
        if paths != [PARTITION_PATH]:
            raise StoreError(
                f"the container {self.name!r} is partitioned by {paths!r}, and entries need [{PARTITION_PATH!r}];"
                " name another container_id, which is made when it is missing"
            )
        if properties.get("defaultTtl") is None and not self._warned:
            self._warned = True
            warn(
                "the Cosmos DB container %r has no time to live, so expired entries are not served, but stay and cost;"
                " set its default time to live to On (no default)",
                self.name,
            )

    def _partitions(self, scope: bytes) -> Iterator[str]:
        """Yield the partitions that hold keys of `scope`."""
        if len(scope) >= SCOPE_BYTES:
            yield partition_of(scope)
            return
        last = ""
        while True:
            found = self.ask(partial(_next_partition, scope.hex(), last))
            if found is None:
                return
            yield found
            last = found

    def _upsert(self, partition: str, items: list[Item]) -> None:
        def question(proxy: ContainerProxy, options: Options) -> None:
            options["response_hook"] = self.tally.charge
            if len(items) == 1:
                proxy.upsert_item(items[0], no_response=True, **options)
            else:
                proxy.execute_item_batch([("upsert", (item,)) for item in items], partition, **options)

        self.ask(question)

    def _delete(self, key: bytes) -> None:
        self.ask(partial(_delete_one, partition_of(key), id_of(key)))

    def _delete_all(self, partition: str, ids: list[str]) -> None:
        """Delete items in one round trip; one by one where some of them are gone already."""

        def question(proxy: ContainerProxy, options: Options) -> bool:
            from azure.cosmos.exceptions import CosmosBatchOperationError

            try:
                proxy.execute_item_batch([("delete", (name,)) for name in ids], partition, **options)
            except CosmosBatchOperationError as exc:
                if exc.status_code in RETRIED:
                    raise
                return False
            return True

        if ids and not self.ask(question):
            for name in ids:
                self.ask(partial(_delete_one, partition, name))


def limits(left_s: float) -> Options:
    """Return the options that keep the SDK from taking longer."""
    return {"timeout": left_s, "read_timeout": left_s, "connection_timeout": left_s}


def _number(told: Mapping[str, str], name: str) -> int:
    text = told.get(name, "")
    return int(text) if text.isdecimal() else 0


def _partition(item: Item) -> str:
    partition: str = item["partitionKey"]
    return partition


def _delete_one(partition: str, name: str, proxy: ContainerProxy, options: Options) -> None:
    from azure.cosmos.exceptions import CosmosResourceNotFoundError

    with suppress(CosmosResourceNotFoundError):
        proxy.delete_item(name, partition, **options)


def _page(
    query: str, prefix: str, partition: str, token: str | None, proxy: ContainerProxy, options: Options
) -> tuple[list[Item], str | None]:
    parameters: list[Any] = [{"name": "@prefix", "value": prefix}]
    found = proxy.query_items(query, parameters=parameters, partition_key=partition, max_item_count=PAGE, **options)
    pages: Any = found.by_page(token)
    items = list(next(pages, ()))
    return items, pages.continuation_token


def _next_partition(prefix: str, last: str, proxy: ContainerProxy, options: Options) -> str | None:
    parameters: list[Any] = [{"name": "@prefix", "value": prefix}, {"name": "@last", "value": last}]
    found = proxy.query_items(NEXT_PARTITION, parameters=parameters, enable_cross_partition_query=True, **options)
    partition: Any = next(iter(found), None)
    return partition if isinstance(partition, str) else None
