"""Cosmos DB in trouble: retried while it passes, bounded by the deadline, and rested from when it stays."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from azure.cosmos import CosmosClient

from ostinato.caching.stores.cosmos import CosmosStore
from ostinato.errors import StoreError
from ostinato.testing.store_face import Face, both_faces, key_of
from tests.stores.cosmos_emulator import KEY, CosmosEmulator

FOREVER = 1_000_000
PATIENT_MS = 10_000
NUMBERS = count()


class Trouble:
    @pytest.fixture(autouse=True)
    def _server(self, cosmos: CosmosEmulator) -> None:
        self.server = cosmos

    @contextmanager
    def opened(self, **settings: Any) -> Iterator[CosmosStore]:
        """Open a store that holds `k`, and let the server forget what was asked."""
        settings = {"timeout_ms": PATIENT_MS, **settings}
        store = CosmosStore(self.server.connection_string, container_id=f"trouble-{next(NUMBERS)}", **settings)
        store.set(key_of("k"), b"v")
        store.flush()
        yield store
        self.server.fault(times=0)
        store.close()

    def ready(self, face: Face) -> None:
        """Open the connection, so that a fault meets the reading alone."""
        assert face.get(key_of("k")) == b"v"
        self.server.requests()


class TestPatience(Trouble):
    @both_faces
    def test_what_passes_is_asked_again(self, face: Face) -> None:
        self.ready(face)
        for number, status in enumerate((429, 449, 503), 1):
            self.server.fault(status=status, times=2, retry_after_ms=3)
            assert face.get(key_of("k")) == b"v"
            assert len(self.server.requests()) == 3
            assert face.store.stats()["retries"] == number * 2
            self.server.requests()
        assert (face.store.stats()["throttled"], face.store.stats()["errors"]) == (2, 0)

    @both_faces
    def test_connection_lost_once_is_asked_again(self, face: Face) -> None:
        self.ready(face)
        for lose in ("request", "answer"):
            self.server.fault(lose=lose)
            assert face.get(key_of("k")) == b"v"
            assert len(self.server.requests()) == 2

    @both_faces
    def test_connection_lost_again_and_again_is_an_error(self, face: Face) -> None:
        self.ready(face)
        self.server.fault(lose="request", times=FOREVER)
        with pytest.raises(StoreError) as caught:
            face.get(key_of("k"))

        assert caught.value.retryable
        assert len(self.server.requests()) == 2

    @both_faces
    def test_what_will_not_pass_in_time_is_not_waited_for(self, face: Face) -> None:
        self.ready(face)
        self.server.fault(status=429, retry_after_ms=PATIENT_MS, times=FOREVER)
        with pytest.raises(StoreError) as caught:
            face.get(key_of("k"))

        assert (caught.value.status_code, caught.value.retry_after) == (429, 10.0)
        assert len(self.server.requests()) == 1

    @both_faces
    def test_other_errors_are_not_asked_again(self, face: Face) -> None:
        self.ready(face)
        for status in (400, 403):
            self.server.fault(status=status, times=FOREVER)
            with pytest.raises(StoreError, match=str(status)):
                face.get(key_of("k"))
            assert len(self.server.requests()) == 1

    @both_faces
    def test_after_three_failures_nobody_asks(self, face: Face) -> None:
        self.ready(face)
        self.server.fault(status=500, times=FOREVER)
        for _ in range(5):
            with pytest.raises(StoreError):
                face.get(key_of("k"))
        asked = [path for path in self.server.requests() if path.startswith("GET")]

        assert face.store.stats()["state"] == "open"
        assert len(set(asked)) == 1


class TestImpatience(Trouble):
    def ready(self, face: Face) -> None:
        super().ready(face)
        face.store._container.timeout_s = 0.3  # type: ignore[attr-defined]  # it is Cosmos DB's

    @both_faces
    def test_throttling_that_stays_is_asked_until_the_deadline(self, face: Face) -> None:
        self.ready(face)
        self.server.fault(status=429, retry_after_ms=100, times=FOREVER)
        with pytest.raises(StoreError):
            face.get(key_of("k"))

        assert 1 <= len(self.server.requests()) <= 3

    @both_faces
    def test_an_answer_that_comes_too_late_is_none(self, face: Face) -> None:
        self.ready(face)
        self.server.fault(delay_ms=2000, times=FOREVER)
        with pytest.raises(StoreError) as caught:
            face.get(key_of("k"))

        assert caught.value.retryable
        assert len(self.server.requests()) == 1


def store_on(server: CosmosEmulator, **settings: Any) -> CosmosStore:
    settings = {"connection_string": server.connection_string, "timeout_ms": PATIENT_MS, **settings}
    return CosmosStore(container_id=f"failing-{next(NUMBERS)}", **settings)


def test_entries_that_the_service_does_not_take_wait_and_are_read_meanwhile(
    cosmos: CosmosEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.caching.stores.behind.RETRY_S", 5.0)  # the thread tries once
    store = store_on(cosmos)
    store.get(key_of("k"))
    cosmos.fault(status=503, times=FOREVER, retry_after_ms=60_000)
    store.set(key_of("k"), b"v")
    with pytest.raises(StoreError):
        store.flush()
    assert store.get(key_of("k")) == b"v"
    cosmos.fault(times=0)
    store.flush()
    stats = store.stats()
    store.close()

    assert (stats["pending"], stats["dropped"], stats["entries"]) == (0, 0, 1)


def test_entry_whose_acknowledgement_is_lost_is_kept_once(cosmos: CosmosEmulator) -> None:
    store = store_on(cosmos)
    store.get(key_of("k"))
    cosmos.fault(lose="answer")
    store.set(key_of("k"), b"v")
    store.flush()

    assert store.stats()["entries"] == 1
    assert store.get(key_of("k")) == b"v"
    store.close()


def test_deletion_whose_acknowledgement_is_lost_counts(cosmos: CosmosEmulator) -> None:
    store = store_on(cosmos)
    store.set(key_of("k"), b"v")
    store.flush()
    cosmos.fault(every=2, cycle=[{"lose": "answer"}])

    assert store.delete(key_of("k")) is True
    assert store.get(key_of("k")) is None
    store.close()


def test_an_entry_that_the_service_refuses_is_dropped_with_a_warning(
    cosmos: CosmosEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_on(cosmos)
    store.get(key_of("k"))
    cosmos.fault(status=403, substatus=1014)
    with caplog.at_level(logging.WARNING, logger="ostinato"):
        store.set(key_of("k"), b"v")
        with pytest.raises(StoreError, match="403"):
            store.flush()

    assert store.stats()["dropped"] == 1
    assert "could not be kept" in caplog.text
    store.close()


def test_service_that_is_not_there_is_an_error_and_no_more() -> None:
    server = CosmosEmulator()
    server.close()
    store = store_on(server)
    with pytest.raises(StoreError) as caught:
        store.get(key_of("k"))
    assert caught.value.retryable
    assert (store.stats()["entries"], store.stats()["state"]) == (0, "open")
    store.set(key_of("k"), b"v")
    store.close()

    assert store.get(key_of("k")) == b"v"


def test_service_that_comes_back_is_asked_again() -> None:
    server = CosmosEmulator()
    server.close()
    store = store_on(server)
    with pytest.raises(StoreError):
        store.get(key_of("k"))
    with pytest.raises(StoreError, match="rests"):
        store.get(key_of("k"))
    with CosmosEmulator(port=server.port):
        store._container.breaker._ask_at = 0.0  # in place of the rest of five seconds

        assert store.get(key_of("k")) is None
        assert store.stats()["state"] == "closed"
        store.close()


def test_wrong_key_is_an_error_that_shows_neither_key(cosmos: CosmosEmulator, caplog: pytest.LogCaptureFixture) -> None:
    """The emulator checks signatures as the service does."""
    wrong = "d3Jvbmcta2V5LXBsYW50ZWQtdG8tYmUtc2VhcmNoZWQtZm9y"
    store = store_on(cosmos, connection_string=f"AccountEndpoint={cosmos.url};AccountKey={wrong}")
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreError, match="Unauthorized") as caught:
        store.get(key_of("k"))
    error = caught.value
    trace = "".join(traceback.format_exception(error))
    told = f"{error!r} {trace} {store!r} {store.stats()} {caplog.text}"
    store.close()

    assert (error.status_code, error.retryable, error.__cause__, error.__context__) == (401, False, None, None)
    assert wrong not in told
    assert KEY not in told


def test_client_handed_in_stays_open(cosmos: CosmosEmulator) -> None:
    with CosmosClient(cosmos.url, KEY, enable_endpoint_discovery=False) as client:
        store = store_on(cosmos, connection_string=None, client=client)
        store.set(key_of("k"), b"v")
        store.close()

        assert store.get(key_of("k")) == b"v"
        assert "ostinato" in {database["id"] for database in client.list_databases()}
