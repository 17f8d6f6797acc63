"""What happens to a Redis: every call returns, none waits for long, the counters tell, and it heals by itself."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ostinato.caching.stores.redis import RedisStore
from ostinato.caching.stores.redis_node import FAILURES
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.errors import StoreError
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import Face, Kind, key_of
from tests.stores.redis_cases import PATIENT_MS, TIMEOUT_MS, fails, left, opened, stored
from tests.stores.redis_server import RedisServer, binaries, version, wait_until


@pytest.fixture(params=binaries()[:1], ids=version)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param, enable_debug_command="yes") as running:
        yield running


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    with opened(server.settings) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest, store: RedisStore) -> Iterator[Face]:
    kind: Kind = request.param
    with left(Face(store, kind)) as made:
        yield made


def heals(face: Face, key: bytes, value: bytes | None) -> None:
    """Wait until the store answers again, asked from time to time as calls would."""
    wait_until(lambda: not fails(lambda: face.get(key)) and face.get(key) == value)
    assert face.store.stats()["breaker"] == "closed"
    assert face.store.stats()["problem"] is None


def test_a_killed_server_is_given_up_and_found_again(server: RedisServer, face: Face) -> None:
    stored(face.store)  # type: ignore[arg-type]
    server.stop()
    failed = [fails(lambda: face.get(key_of("k"))) for _ in range(20)]
    stats = face.store.stats()

    assert all(failed)
    assert stats["breaker"] == "open"
    assert stats["failures"] == FAILURES
    assert stats["not_asked"] >= 20 - FAILURES
    assert stats["errors"] >= FAILURES
    server.start()
    face.set(key_of("k"), b"v")
    wait_until(lambda: not face.store.stats()["pending"])
    heals(face, key_of("k"), b"v")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_frozen_server_costs_three_deadlines_and_then_nothing(server: RedisServer, kind: Kind) -> None:
    with opened(server.settings, timeout_ms=TIMEOUT_MS) as store, left(Face(store, kind)) as face:
        key, *_ = stored(store)
        server.freeze()
        failed = [fails(lambda: face.get(key)) for _ in range(1000)]
        stats = store.stats()

        assert all(failed)
        assert stats["failures"] - FAILURES <= 1  # a probe may have failed as well
        assert stats["not_asked"] >= 1000 - FAILURES
        server.thaw()
        heals(face, key, b"value of " + key)


def test_a_server_that_is_full_refuses_what_is_new_and_answers_what_it_has(server: RedisServer, face: Face) -> None:
    key, *_ = stored(face.store)  # type: ignore[arg-type]
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG", "SET", "maxmemory", "1")
    for number in range(10):
        face.set(key_of(("new", number)), b"v")

    with pytest.raises(StoreError, match="the server is full"):
        face.store.flush()
    stats = face.store.stats()
    assert face.get(key) == b"value of " + key
    assert (stats["refused"], stats["dropped"], stats["pending"]) == (10, 10, 0)
    assert (stats["breaker"], stats["errors"]) == ("closed", 10)
    server.ask("CONFIG", "SET", "maxmemory", "0")
    face.set(key_of("k"), b"v")
    face.store.flush()
    assert face.get(key_of("k")) == b"v"


def test_a_read_only_replica_answers_and_takes_nothing(server: RedisServer, face: Face) -> None:
    key, *_ = stored(face.store)  # type: ignore[arg-type]
    server.ask("REPLICAOF", "127.0.0.1", "1")
    face.set(key_of("new"), b"v")

    with pytest.raises(StoreError, match="read-only replica"):
        face.store.flush()
    assert face.get(key) == b"value of " + key
    assert fails(lambda: face.delete(key))
    assert fails(face.clear)
    assert face.store.stats()["refused"] == 1
    server.ask("REPLICAOF", "NO", "ONE")
    assert face.delete(key) is True


def test_a_restart_in_mid_run_is_at_most_a_few_misses(server: RedisServer, store: RedisStore) -> None:
    restarted = threading.Event()
    wrong: list[Any] = []

    def run(worker: int) -> None:
        step = 0
        while not restarted.is_set() or step % 20:
            name = (worker, step := step + 1)
            store.set(key_of(name), repr(name).encode())
            try:
                found = store.get(key_of((worker, step // 2)))
            except StoreError:
                continue
            if found not in {None, repr((worker, step // 2)).encode()}:
                wrong.append(found)

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(run, worker) for worker in range(4)]
        server.restart()
        restarted.set()
        for each in runs:
            each.result(20)

    assert wrong == []
    wait_until(lambda: not fails(store.flush))
    store.set(key_of("k"), b"v")
    store.flush()
    assert store.get(key_of("k")) == b"v"
    assert store.stats()["breaker"] == "closed"


def test_connections_that_a_restart_closed_are_replaced_without_a_failure(server: RedisServer, face: Face) -> None:
    stored(face.store)  # type: ignore[arg-type]
    face.get(key_of("k"))
    server.restart()

    assert face.get(key_of("k")) is None
    assert face.store.stats()["failures"] == 0
    assert face.store.stats()["reconnects"] >= 1


def test_what_was_set_during_an_outage_is_read_here_and_written_after_it(server: RedisServer, face: Face) -> None:
    server.stop()
    for number in range(500):
        face.set(key_of(number), str(number).encode())

    assert [face.get(key_of(number)) for number in range(500)] == [str(number).encode() for number in range(500)]
    assert face.store.stats()["pending"] == 500
    assert fails(face.store.flush)
    server.start()
    wait_until(lambda: not fails(face.store.flush))
    assert (face.store.stats()["pending"], face.store.stats()["dropped"]) == (0, 0)
    with opened(server.settings) as other:
        assert other.get(key_of(499)) == b"499"


def test_a_time_to_live_runs_while_an_entry_waits(server: RedisServer) -> None:
    clock = ManualClock()
    store = RedisStore(read_settings({**server.settings, "timeout_ms": TIMEOUT_MS}, {}), clock=clock)
    store.set(key_of("old"), b"old")
    store.flush()
    server.freeze()
    store.set(key_of("old"), b"new", 10)
    store.set(key_of("long"), b"v", 100)
    clock.advance(11)

    assert store.get(key_of("old")) is None
    assert store.get(key_of("long")) == b"v"
    server.thaw()
    wait_until(lambda: not fails(store.flush))
    assert store.get(key_of("old")) is None
    # Less one batch that may have been on its way before the clock was moved.
    assert 0 < server.ask("PTTL", b"ostinato:" + key_of("long")) <= 100_000
    store.close()


@contextlib.contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[dict[str, Any]]:
    """Run a server that treats each connection as `answer` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            held = []
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    held.append(listener.accept()[0])
                    threading.Thread(target=answer, args=(held[-1],), daemon=True).start()
            for connection in held:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield {"host": "127.0.0.1", "port": listener.getsockname()[1]}
        finally:
            over.set()
            thread.join()


def drip(connection: socket.socket) -> None:
    """Answer with a value that comes a byte at a time, and never ends."""
    with contextlib.suppress(OSError):
        connection.recv(1000)
        connection.sendall(b"$1000000\r\n")
        pause = threading.Event()
        while True:
            connection.sendall(b"x")
            pause.wait(0.005)


def flood(connection: socket.socket) -> None:
    """Answer with more than any value may be."""
    with contextlib.suppress(OSError):
        connection.recv(1000)
        connection.sendall(b"$100000000\r\n")
        while True:
            connection.sendall(b"x" * 65536)


def talk_http(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1000)
        connection.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (drip, "no answer in time"),
        (flood, "longer than any value may be"),
        (talk_http, "no Redis"),
        (hang_up, "hung up|broke"),
        (lambda connection: None, "no answer in time"),
    ],
)
def test_a_strange_answer_is_an_error_by_the_deadline(
    answer: Callable[[socket.socket], None], problem: str, kind: Kind
) -> None:
    timeout_ms = TIMEOUT_MS if problem == "no answer in time" else PATIENT_MS
    with (
        peer(answer) as place,
        opened(place, max_value_bytes=1_000_000, timeout_ms=timeout_ms) as store,
        left(Face(store, kind)) as face,
        pytest.raises(StoreError, match=problem),
    ):
        face.get(key_of("k"))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_connecting_is_within_the_deadline_and_a_late_connection_is_kept(kind: Kind, server: RedisServer) -> None:
    with contextlib.ExitStack() as stack:
        server.ask("CONFIG", "SET", "requirepass", "sesame")
        server.password = "sesame"
        store = stack.enter_context(opened(server.settings, timeout_ms=TIMEOUT_MS))
        face = stack.enter_context(left(Face(store, kind)))
        server.freeze()

        with pytest.raises(StoreError, match="no connection in time"):
            face.get(key_of("k"))
        server.thaw()
        assert store.stats()["failures"] == 1
        # The store asks again and again; the connection that was late is one of those it finds.
        heals(face, key_of("k"), None)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_wrong_password_is_told_without_it(kind: Kind, server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "requirepass", "sesame")
    with opened({**server.settings, "password": "lily-of-the-valley"}) as store:
        with left(Face(store, kind)) as face, pytest.raises(StoreError, match="refuses the user") as raised:
            face.get(key_of("k"))
        assert "lily" not in f"{raised.value} {raised.value.__cause__} {store.stats()}"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_whatever_a_credential_provider_raises_is_a_store_s_error(kind: Kind, server: RedisServer) -> None:
    class Provider:
        def get_credentials(self) -> tuple[str, str]:
            raise LookupError("lily-of-the-valley")

        async def get_credentials_async(self) -> tuple[str, str]:
            raise LookupError("lily-of-the-valley")

    place = {"host": "127.0.0.1", "port": server.port, "credential_provider": Provider()}
    with opened(place) as store, left(Face(store, kind)) as face:
        with pytest.raises(StoreError, match="LookupError") as raised:
            face.get(key_of("k"))
        assert "lily" not in str(raised.value)
