from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

pytest.register_assert_rewrite("ostinato.testing.store_suite")

from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey  # noqa: E402

from ostinato.caching.stores.contract import Store  # noqa: E402
from ostinato.caching.stores.cosmos import CosmosStore  # noqa: E402
from ostinato.caching.stores.cosmos_items import FRAME_BYTES, LARGEST_BYTES  # noqa: E402
from ostinato.errors import StoreError  # noqa: E402
from ostinato.testing.clock import ManualClock  # noqa: E402
from ostinato.testing.store_face import OTHER_SCOPE, SCOPE, Face, both_faces, key_of  # noqa: E402
from ostinato.testing.store_suite import StoreSuite  # noqa: E402
from tests.stores.cosmos_emulator import KEY, CosmosEmulator  # noqa: E402

PATIENT_MS = 10_000
LARGEST_VALUE = (LARGEST_BYTES - FRAME_BYTES) // 4 * 3
NUMBERS = count()


@pytest.fixture
def name() -> str:
    """A container that no other test uses."""
    return f"container-{next(NUMBERS)}"


@contextmanager
def raw(server: CosmosEmulator, name: str) -> Iterator[ContainerProxy]:
    """Reach a container by the SDK alone."""
    with CosmosClient(server.url, KEY, enable_endpoint_discovery=False) as client:
        yield client.get_database_client("ostinato").get_container_client(name)


def store_on(server: CosmosEmulator, name: str, **settings: Any) -> CosmosStore:
    return CosmosStore(server.connection_string, container_id=name, **{"timeout_ms": PATIENT_MS, **settings})


class TestCosmosStore(StoreSuite):
    bounded = False
    shared_between_processes = True

    @pytest.fixture(autouse=True)
    def _server(self, cosmos: CosmosEmulator) -> None:
        self.server = cosmos

    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> Store:
        return store_on(self.server, f"suite-{next(self.numbers)}", clock=clock)


class TestCosmosStoreInTrouble(TestCosmosStore):
    """Each 17th request fails in one way or another, for its first try."""

    @pytest.fixture(autouse=True)
    def _trouble(self, cosmos: CosmosEmulator) -> None:
        busy = [{"status": status, "retry_after_ms": 2} for status in (429, 503, 449)]
        cosmos.fault(every=17, cycle=[*busy, {"lose": "request"}, {"delay_ms": 20}, {"lose": "answer"}])


class TestCosmosStoreOverAClientHandedIn(TestCosmosStore):
    def make_store(self, *, max_bytes: int, clock: Callable[[], float]) -> Store:
        client = CosmosClient(self.server.url, KEY, enable_endpoint_discovery=False)
        return CosmosStore(container_id=f"suite-{next(self.numbers)}", client=client, clock=clock)

    def test_a_forked_child_reads_and_writes_and_the_parent_is_unharmed(self) -> None:
        """A client handed in is the parent's: the child hears so, and misses."""
        with self.opened() as store:
            store.set(key_of("k"), b"v")
            store.flush()
            child = os.fork()
            if child == 0:
                try:
                    store.get(key_of("k"))
                except StoreError as error:
                    os._exit(0 if "forked process" in str(error) else 2)
                os._exit(1)
            _, status = os.waitpid(child, 0)

            assert os.waitstatus_to_exitcode(status) == 0
            assert store.get(key_of("k")) == b"v"


class TestCosmosStoreInBothFaces:
    @pytest.fixture(autouse=True)
    def _server(self, cosmos: CosmosEmulator) -> None:
        self.server = cosmos

    @contextmanager
    def opened(self) -> Iterator[CosmosStore]:
        self.clock = ManualClock()
        self.name = f"faces-{next(NUMBERS)}"
        store = store_on(self.server, self.name, clock=self.clock)
        yield store
        store.close()

    @both_faces
    def test_a_hit_and_a_miss_cost_one_round_trip_each(self, face: Face) -> None:
        face.set(key_of("k"), b"v")
        face.store.flush()
        face.get(key_of("k"))
        self.server.requests()
        assert face.get(key_of("k")) == b"v"
        assert face.get(key_of("absent")) is None

        place = f"GET /dbs/ostinato/colls/{self.name}/docs"
        assert self.server.requests() == [f"{place}/{key_of(name)[8:].hex()}/" for name in ("k", "absent")]

    @both_faces
    def test_an_item_that_is_none_of_ours_is_a_miss(self, face: Face) -> None:
        face.set(key_of("k"), b"v")
        face.store.flush()
        for change in ({"data": "not base64 é"}, {"data": 7}, {"ostinato": 2}, {"expires_at": "soon"}):
            with raw(self.server, self.name) as container:
                item = dict(container.read_item(key_of("k")[8:].hex(), SCOPE.hex()))
                container.upsert_item({**item, **change})
            assert face.get(key_of("k")) is None


def test_database_and_container_are_made_with_a_time_to_live(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    assert store.get(key_of("k")) is None
    store.close()
    with raw(cosmos, name) as container:
        properties = container.read()

    assert properties["partitionKey"]["paths"] == ["/partitionKey"]
    assert properties["defaultTtl"] == -1
    assert {"path": "/*"} in properties["indexingPolicy"]["excludedPaths"]


def test_two_stores_that_make_one_container_at_once_both_work(cosmos: CosmosEmulator, name: str) -> None:
    stores = [store_on(cosmos, name) for _ in range(2)]
    for number, store in enumerate(stores):
        store.set(key_of(number), str(number).encode())
    for store in stores:
        store.flush()

    assert [store.get(key_of(1 - number)) for number, store in enumerate(stores)] == [b"1", b"0"]
    for store in stores:
        store.close()


@pytest.mark.parametrize(("ttl_s", "kept_s"), [(10, 11), (10.2, 12), (0.5, 2), (1e12, 2**31 - 1), (None, None)])
def test_service_keeps_an_item_a_little_longer_than_it_is_served(
    cosmos: CosmosEmulator, name: str, ttl_s: float | None, kept_s: int | None
) -> None:
    store = store_on(cosmos, name, clock=ManualClock(1000.0))
    store.set(key_of("k"), b"value", ttl_s)
    store.close()
    with raw(cosmos, name) as container:
        item = container.read_item(key_of("k")[8:].hex(), SCOPE.hex())

    assert item.get("ttl") == kept_s
    assert item.get("expires_at") == (None if ttl_s is None else 1000.0 + ttl_s)


def test_an_infinite_time_to_live_is_none(cosmos: CosmosEmulator, name: str) -> None:
    clock = ManualClock()
    store = store_on(cosmos, name, clock=clock)
    store.set(key_of("k"), b"value", float("inf"))
    store.flush()
    clock.advance(1e12)

    assert store.get(key_of("k")) == b"value"
    store.close()


def test_what_is_found_says_how_long_it_has_yet_to_live(cosmos: CosmosEmulator, name: str) -> None:
    clock = ManualClock()
    store = store_on(cosmos, name, clock=clock)
    for flushed in (False, True):
        store.set(key_of("k"), b"v", 10)
        store.set(key_of("forever"), b"w")
        if flushed:
            store.flush()
        clock.advance(4)
        found = [(store.find(key_of(key)), asyncio.run(store.afind(key_of(key)))) for key in ("k", "forever", "absent")]

        assert found == [((b"v", 6.0),) * 2, ((b"w", None),) * 2, (None, None)]
    store.close()


def test_a_value_that_just_fits_is_kept(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    value = os.urandom(LARGEST_VALUE)
    store.set(key_of("k"), value, 1e9)
    store.flush()

    assert store.get(key_of("k")) == value
    assert store.stats()["too_large"] == 0
    store.close()


def test_larger_values_are_refused_with_one_warning_and_so_are_those_before_them(
    cosmos: CosmosEmulator, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_on(cosmos, name)
    for number in range(3):
        store.set(key_of(number), b"old")
    store.flush()
    with caplog.at_level(logging.WARNING, logger="ostinato"):
        for number in range(3):
            store.set(key_of(number), bytes(LARGEST_VALUE + 3))
    assert store.get(key_of(0)) is None
    store.flush()

    assert [store.get(key_of(number)) for number in range(3)] == [None] * 3
    assert store.stats()["too_large"] == 3
    assert [record.getMessage().partition(" is larger")[0] for record in caplog.records] == [
        f"an answer of {LARGEST_VALUE + 3} bytes"
    ]
    store.close()


def test_what_others_keep_in_the_container_is_left_alone(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.flush()
    with raw(cosmos, name) as container:
        for partition in ("42", SCOPE.hex()):
            container.upsert_item({"id": "theirs", "partitionKey": partition, "data": "x"})
        assert [key for key, _ in store.scan()] == [key_of("k")]
        assert store.clear(SCOPE) == 1
        store.set(key_of("k"), b"v")
        assert store.clear() == 1

        assert {item["partitionKey"] for item in container.read_all_items()} == {"42", SCOPE.hex()}
    store.close()


def test_a_scan_passes_over_an_id_that_is_no_key(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.flush()
    with raw(cosmos, name) as container:
        container.upsert_item({"id": "no digits", "partitionKey": SCOPE.hex(), "ostinato": 1, "data": ""})

    assert list(store.scan(SCOPE)) == [(key_of("k"), b"v")]
    store.close()


def test_many_entries_are_cleared_in_few_round_trips(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    for number in range(250):
        store.set(key_of(number), b"v")
        store.set(key_of(number, OTHER_SCOPE), b"v")
    store.flush()
    cosmos.requests()

    assert store.clear(SCOPE) == 250
    assert len(cosmos.requests()) <= 10
    assert len(list(store.scan())) == 250
    store.close()


def test_items_that_others_delete_meanwhile_do_not_stop_a_clearing(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    for number in range(3):
        store.set(key_of(number), b"v")
    store.flush()
    ids = [key_of(number)[8:].hex() for number in (0, "gone", 1)]
    store._container._delete_all(SCOPE.hex(), ids)

    assert [store.get(key_of(number)) for number in range(3)] == [None, None, b"v"]
    store.close()


def test_a_container_partitioned_otherwise_is_named_in_the_error(cosmos: CosmosEmulator, name: str) -> None:
    with CosmosClient(cosmos.url, KEY, enable_endpoint_discovery=False) as client:
        database = client.create_database_if_not_exists("ostinato")
        database.create_container(name, PartitionKey("/id"))
    store = store_on(cosmos, name)

    with pytest.raises(StoreError, match=rf"'{name}' is partitioned by \['/id'\]"):
        store.get(key_of("k"))
    store.close()


def test_a_container_without_a_time_to_live_is_warned_of_and_serves_nothing_expired(
    cosmos: CosmosEmulator, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with CosmosClient(cosmos.url, KEY, enable_endpoint_discovery=False) as client:
        database = client.create_database_if_not_exists("ostinato")
        database.create_container(name, PartitionKey("/partitionKey"))
    clock = ManualClock()
    with caplog.at_level(logging.WARNING, logger="ostinato"):
        store = store_on(cosmos, name, clock=clock)
        store.set(key_of("k"), b"v", 5)
        store.close()
        assert store.get(key_of("k")) == b"v"
    clock.advance(5)

    assert store.get(key_of("k")) is None
    assert len([record for record in caplog.records if name in record.getMessage()]) == 1
    store.close()


def test_a_container_that_vanishes_is_made_again(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v")
    store.flush()
    with CosmosClient(cosmos.url, KEY, enable_endpoint_discovery=False) as client:
        client.get_database_client("ostinato").delete_container(name)
    assert store.get(key_of("k")) is None
    store.set(key_of("k"), b"w")
    with contextlib.suppress(StoreError):  # unless the thread that writes has met it before
        store.flush()
    store.flush()

    assert store.get(key_of("k")) == b"w"
    store.close()


def test_stats_tell_what_was_asked_and_what_it_cost(cosmos: CosmosEmulator, name: str) -> None:
    store = store_on(cosmos, name)
    store.set(key_of("k"), b"v" * 1000)
    store.flush()
    store.get(key_of("k"))
    store.get(key_of("absent"))
    stats = store.stats()

    assert stats["request_units"] == 3
    assert (stats["entries"], stats["state"], stats["problem"]) == (1, "closed", None)
    assert 1000 < stats["bytes"] <= 2048
    store.close()
