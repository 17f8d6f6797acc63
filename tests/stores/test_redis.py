"""Every kind of Redis that there is here behaves as a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

from ostinato.caching.stores.redis import RedisStore  # noqa: E402
from ostinato.caching.stores.redis_settings import read_settings  # noqa: E402
from ostinato.testing.store_suite import MEBIBYTE, StoreSuite  # noqa: E402
from tests.stores.redis_server import PASSWORD, RedisServer, binaries, version  # noqa: E402

PATIENT = {"timeout_ms": 10_000}
"""A machine that is busy with other tests may be slow; nothing here waits for a server that is not there."""


@pytest.fixture(scope="class", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(
        request.param, password=PASSWORD, maxmemory=str(16 * MEBIBYTE), maxmemory_policy="allkeys-lru"
    ) as running:
        yield running


class TestRedisStore(StoreSuite):
    shared_between_processes = True
    oldest_leaves_first = False

    @pytest.fixture(autouse=True)
    def _server(self, server: RedisServer) -> None:
        self.servers = [server]

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> RedisStore:
        for server in self.servers:
            server.ask("FLUSHALL")
            server.ask("CONFIG", "RESETSTAT")
        settings = read_settings({**self.servers[0].settings, **PATIENT, "max_value_bytes": max_bytes}, {})
        self.made = RedisStore(settings, clock=clock)
        return self.made

    def pass_time(self, seconds: float) -> None:
        # What is on its way must not see one clock moved and the other not yet.
        self.made.flush()
        super().pass_time(seconds)
        for server in self.servers:
            server.pass_time(seconds)
