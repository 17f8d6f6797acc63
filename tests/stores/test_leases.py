"""The leases of every store, held to one suite."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.register_assert_rewrite("ostinato.testing.lease_suite")

from ostinato.caching.stores.disk import DiskStore  # noqa: E402
from ostinato.caching.stores.redis import RedisStore  # noqa: E402
from ostinato.caching.stores.redis_settings import read_settings  # noqa: E402
from ostinato.testing.lease_suite import LeaseSuite, LeasingStore  # noqa: E402
from tests.caching.shared_store import SharedStore  # noqa: E402
from tests.stores.redis_server import PASSWORD, RedisServer, binaries, cluster, version  # noqa: E402


class TestSharedLeases(LeaseSuite):
    """The stand-in that other tests rely on."""

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        return SharedStore(lease_s=self.lease_s, clock=clock)


class TestDiskLeases(LeaseSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "cache"

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        return DiskStore(self.folder, lease_s=self.lease_s, clock=clock)  # type: ignore[return-value]  # it has leases


@pytest.fixture(scope="class", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD) as running:
        yield running


class TestRedisLeases(LeaseSuite):
    lease_s = 0.2
    more: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.servers = [server]

    def place(self) -> dict[str, Any]:
        return self.servers[0].settings

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        for server in self.servers:
            server.ask("FLUSHALL")
        settings = read_settings({**self.place(), "timeout_ms": 10_000, **self.more}, {})
        return RedisStore(settings, lease_s=self.lease_s)  # type: ignore[return-value]  # it has leases

    def pass_time(self, seconds: float) -> None:
        # The server judges by its own clock, which no test can move.
        threading.Event().wait(seconds)


@pytest.fixture(scope="class", params=binaries(), ids=version)
def nodes(request: pytest.FixtureRequest) -> Iterator[list[RedisServer]]:
    with cluster(request.param, password=PASSWORD) as running:
        yield running


class TestRedisLeasesInACluster(TestRedisLeases):
    @pytest.fixture(autouse=True)
    def _server(self, nodes: list[RedisServer]) -> None:
        self.servers = nodes

    def place(self) -> dict[str, Any]:
        return {"startup_nodes": [{"host": "127.0.0.1", "port": self.servers[0].port}], "password": PASSWORD}


class TestRedisLeasesWithANearCache(TestRedisLeases):
    more: ClassVar[dict[str, Any]] = {"near_bytes": 1 << 20}
