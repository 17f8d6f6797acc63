"""The leases of every store, held to one suite."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.register_assert_rewrite("ostinato.testing.lease_suite")

from ostinato.caching.stores.cosmos import CosmosStore  # noqa: E402
from ostinato.caching.stores.disk import DiskStore  # noqa: E402
from ostinato.caching.stores.leases import Lead, News, Report, Seen  # noqa: E402
from ostinato.caching.stores.memory import MemoryStore  # noqa: E402
from ostinato.caching.stores.redis import RedisStore  # noqa: E402
from ostinato.caching.stores.redis_settings import read_settings  # noqa: E402
from ostinato.caching.stores.tiered import TieredStore  # noqa: E402
from ostinato.errors import StoreError  # noqa: E402
from ostinato.testing.lease_suite import KEY, LeaseSuite, LeasingStore, followed, led, tell  # noqa: E402
from ostinato.testing.store_face import key_of  # noqa: E402
from tests.caching.shared_store import SharedStore  # noqa: E402
from tests.stores.cosmos_emulator import CosmosEmulator  # noqa: E402
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


class TestTieredLeases(TestDiskLeases):
    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        shared: Any = super().make_store(clock)
        self.fast = MemoryStore(1 << 20, clock=clock)
        return TieredStore(self.fast, shared, clock=clock)  # type: ignore[return-value]  # it has leases

    def test_what_landed_is_in_both_tiers(self) -> None:
        with self.opened() as store:
            lead = led(store.leases.claim(KEY, over=True))
            tell(store, lead, 0, end="landed", value=b"entry")

            assert self.fast.get(KEY) == b"entry"


def test_an_answer_too_large_for_the_disk_is_told_and_counted_and_the_one_before_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(DiskStore(tmp_path / "cache", max_bytes=1000)) as store:
        store.set(KEY, b"old")
        store.flush()
        assert store.leases is not None
        lead = led(store.leases.claim(KEY, over=True))
        live = followed(store.leases.claim(KEY, over=True))
        heard = store.leases.tell([Report(lead.key, lead.token, 0, [b"frame"], "landed", b"x" * 1001)])
        news = store.leases.follow([Seen(live.key, live.token, 0)])
        found = store.get(KEY)
        store.set(KEY, b"x" * 1002)
        counted = store.stats()["oversized"]
        again = store.leases.claim(KEY)

    assert (heard, news) == (["followed"], [News([b"frame"], gone=False)])
    assert found is None
    assert counted == 2
    assert isinstance(again, Lead)
    assert [record.getMessage().partition(" is larger")[0] for record in caplog.records] == ["an answer of 1001 bytes"]


@pytest.fixture(scope="class", params=binaries(), ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, password=PASSWORD) as running:
        yield running


class TestRedisLeases(LeaseSuite):
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
        # The server judges by its own clock, which no test can move: what it compares with that is moved.
        for server in self.servers:
            for key in server.ask("KEYS", "*lease:*"):
                for member in (b"until", b"followed"):
                    if server.ask("HGET", key, member) != b"0":
                        server.ask("HINCRBY", key, member, int(-1000 * seconds))
            server.pass_time(seconds)


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

    def test_a_server_that_is_lost_takes_nothing_from_the_calls_of_the_others(self) -> None:
        with self.opened() as store:
            keys = [key_of(number) for number in range(20)]
            leads = [led(store.leases.claim(key)) for key in keys]
            for key in keys:
                followed(store.leases.claim(key))
            store.leases._timeout_s = 0.3  # type: ignore[attr-defined]  # it is Redis's
            self.servers[0].freeze()
            try:
                heard = store.leases.tell([Report(lead.key, lead.token, 0, [b"frame"]) for lead in leads])
                new = store.leases.follow([Seen(lead.key, lead.token, 0) for lead in leads])
            finally:
                self.servers[0].thaw()

            assert {*map(str, heard)} > {"followed"}
            assert [one == "followed" for one in heard] == [one == News([b"frame"]) for one in new]
            assert all(
                isinstance(one, StoreError) for one in (*heard, *new) if one not in ("followed", News([b"frame"]))
            )


class TestRedisLeasesWithANearCache(TestRedisLeases):
    more: ClassVar[dict[str, Any]] = {"near_bytes": 1 << 20}


class TestCosmosLeases(LeaseSuite):
    tells_alone = False
    numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _emulator(self, cosmos: CosmosEmulator) -> None:
        self.emulator = cosmos

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        return CosmosStore(  # type: ignore[return-value]  # it has leases
            self.emulator.connection_string,
            f"leases-{next(self.numbers)}",
            timeout_ms=20_000,
            lease_s=self.lease_s,
            clock=clock,
        )


class TestTieredCosmosLeases(TestCosmosLeases):
    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        shared: Any = super().make_store(clock)
        return TieredStore(MemoryStore(1 << 20, clock=clock), shared, clock=clock)  # type: ignore[return-value]  # leases


class TestCosmosLeasesInTrouble(TestCosmosLeases):
    """Answers are lost, so that what was done seems not to be."""

    @pytest.fixture(autouse=True)
    def _faults(self, cosmos: CosmosEmulator) -> Iterator[None]:
        cosmos.fault(every=13, cycle=[{"lose": "answer"}, {"status": 429, "retry_after_ms": 2}, {"lose": "answer"}])
        yield
        cosmos.fault(times=0)
