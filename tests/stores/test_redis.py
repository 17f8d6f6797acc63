"""Every kind of Redis that there is here behaves as a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

from ostinato.caching.stores.redis import RedisStore  # noqa: E402
from ostinato.caching.stores.redis_settings import read_settings  # noqa: E402
from ostinato.testing.store_crowd import MEBIBYTE  # noqa: E402
from ostinato.testing.store_suite import StoreSuite  # noqa: E402
from tests.stores.redis_server import (  # noqa: E402
    PASSWORD,
    RedisServer,
    binaries,
    certificate,
    cluster,
    free_port,
    speaks_tls,
    version,
)

PATIENT = {"timeout_ms": 10_000}
"""A machine that is busy with other tests may be slow; nothing here waits for a server that is not there."""


def evicting(mebibytes: int) -> dict[str, Any]:
    """Return what lets a server make room. It frees memory at once: a small one may run out of it meanwhile."""
    return {
        "maxmemory": str(mebibytes * MEBIBYTE),
        "maxmemory_policy": "allkeys-lru",
        "maxmemory_eviction_tenacity": "100",
        "lazyfree_lazy_eviction": "no",
        "lazyfree_lazy_server_del": "no",
    }


@pytest.fixture(scope="class", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD, **evicting(16)) as running:
        yield running


class TestRedisStore(StoreSuite):
    shared_between_processes = True
    oldest_leaves_first = False

    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.servers = [server]

    def place(self) -> dict[str, Any]:
        return self.servers[0].settings

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> RedisStore:
        for server in self.servers:
            server.ask("FLUSHALL")
            server.ask("CONFIG", "RESETSTAT")
        settings = read_settings({**self.place(), **PATIENT, "max_value_bytes": max_bytes}, {})
        self.made = RedisStore(settings, clock=clock)
        return self.made

    def pass_time(self, seconds: float) -> None:
        # What is on its way must not see one clock moved and the other not yet.
        self.made.flush()
        super().pass_time(seconds)
        for server in self.servers:
            server.pass_time(seconds)


@pytest.fixture(scope="class", params=[path for path in binaries() if speaks_tls(path)], ids=version)
def hidden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    with RedisServer(
        request.param,
        password=PASSWORD,
        **evicting(16),
        tls_port=str(free_port()),
        tls_cert_file=str(cert),
        tls_key_file=str(key),
        tls_ca_cert_file=str(cert),
        tls_auth_clients="no",
    ) as running:
        yield running


class TestRedisStoreOverTls(TestRedisStore):
    @pytest.fixture(autouse=True)
    def _server(self, hidden: RedisServer) -> None:
        self.servers = [hidden]

    def place(self) -> dict[str, Any]:
        options = self.servers[0].options
        url = f"rediss://:{PASSWORD}@127.0.0.1:{options['tls-port']}"
        return {"redis_url": f"{url}?ssl_ca_certs={options['tls-cert-file']}"}


@pytest.fixture(scope="class", params=binaries(), ids=version)
def nodes(request: pytest.FixtureRequest) -> Iterator[list[RedisServer]]:
    with cluster(request.param, password=PASSWORD, **evicting(6)) as running:
        yield running


class TestRedisStoreInACluster(TestRedisStore):
    max_bytes = 18 * MEBIBYTE
    """What the three of them hold together."""

    @pytest.fixture(autouse=True)
    def _server(self, nodes: list[RedisServer]) -> None:
        self.servers = nodes

    def place(self) -> dict[str, Any]:
        return {"startup_nodes": [{"host": "127.0.0.1", "port": self.servers[0].port}], "password": PASSWORD}


class TestRedisStoreWithANearCache(TestRedisStore):
    def place(self) -> dict[str, Any]:
        return {**super().place(), "near_bytes": 4 * MEBIBYTE}
