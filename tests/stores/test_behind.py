from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from functools import partial

import pytest

from ostinato.caching.stores.behind import PENDING_BYTES, Batch, Behind
from ostinato.errors import StoreError
from ostinato.testing.clock import ManualClock
from ostinato.testing.store_face import OTHER_SCOPE, SCOPE, key_of


class Server:
    """What entries are sent to: a dict that can be held up, and can be down."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self.failure: StoreError | None = None

    def send(self, batch: Batch) -> None:
        failure = self.failure
        self.asked.set()
        assert self.open.wait(10)
        if failure is not None:
            raise failure.copy()
        self.batches.append(len(batch))
        self.entries.update((key, value) for key, (value, _) in batch)

    def remove(self, key: bytes) -> bool:
        return self.entries.pop(key, None) is not None


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def behind(server: Server) -> Iterator[Behind]:
    made = Behind(server.send, clock=ManualClock(), name="test-writer", most=10, most_bytes=1000)
    yield made
    server.open.set()
    made.close()


def hold(server: Server, behind: Behind) -> None:
    """Let the thread be in the middle of sending, until `server.open` is set."""
    server.open.clear()
    server.asked.clear()
    behind.put(key_of("held"), b"h", None)
    assert server.asked.wait(10)


def test_what_waits_is_found_and_sent_by_the_thread(server: Server, behind: Behind) -> None:
    hold(server, behind)
    behind.put(key_of("k"), b"v", 5.0)
    assert behind.find(key_of("k")) == (b"v", 5.0)
    assert behind.waiting(SCOPE) == {key_of("held"): (b"h", None), key_of("k"): (b"v", 5.0)}
    assert behind.waiting(OTHER_SCOPE) == {}
    assert behind.stats()["pending"] == 2
    server.open.set()
    behind.flush()

    assert behind.find(key_of("k")) is None
    assert server.entries == {key_of("held"): b"h", key_of("k"): b"v"}
    assert behind.stats() == {"pending": 0, "pending_bytes": 0, "dropped": 0}


def test_entries_are_sent_in_batches_of_bounded_length_and_size(server: Server, behind: Behind) -> None:
    hold(server, behind)
    for number in range(15):
        behind.put(key_of(number), b"v", None)
    behind.put(key_of("large"), b"v" * 2000, None)
    server.open.set()
    behind.flush()

    assert server.batches == [1, 10, 5, 1]


def test_an_entry_replaced_while_it_is_sent_is_sent_again(server: Server, behind: Behind) -> None:
    hold(server, behind)
    behind.put(key_of("held"), b"new", None)
    server.open.set()
    behind.flush()

    assert server.entries == {key_of("held"): b"new"}


def test_what_is_refused_is_dropped_counted_told_and_warned_of_once(
    server: Server, behind: Behind, caplog: pytest.LogCaptureFixture
) -> None:
    server.failure = StoreError("the server is full")
    with caplog.at_level(logging.WARNING, logger="ostinato"):
        for number in range(3):
            behind.put(key_of(number), b"v", None)
            with pytest.raises(StoreError, match="the server is full"):
                behind.flush()
    behind.flush()

    assert behind.stats() == {"pending": 0, "pending_bytes": 0, "dropped": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "an answer could not be kept, further ones are counted alone: the server is full"
    ]


def test_what_a_silent_server_does_not_take_goes_on_waiting(server: Server, behind: Behind) -> None:
    server.failure = StoreError("no answer", retryable=True)
    behind.put(key_of("k"), b"v", None)
    with pytest.raises(StoreError, match="no answer"):
        behind.flush()
    behind.close()
    assert behind.find(key_of("k")) == (b"v", None)
    server.failure = None
    behind.put(key_of("other"), b"w", None)
    behind.flush()

    assert server.entries == {key_of("k"): b"v", key_of("other"): b"w"}
    assert behind.stats()["dropped"] == 0


def test_thread_tries_again_when_the_server_was_silent(
    server: Server, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.caching.stores.behind.RETRY_S", 0.001)
    monkeypatch.setattr("ostinato.caching.stores.behind.LOOK_S", 0.001)
    server.failure = StoreError("no answer", retryable=True)
    for _ in range(3):
        server.asked.clear()
        behind.put(key_of("k"), b"v", None)
        assert server.asked.wait(10)
    server.failure = None
    thread = behind._thread
    if thread is not None:
        thread.join(10)

    assert server.entries == {key_of("k"): b"v"}


def test_more_than_may_wait_drops_the_oldest(server: Server, behind: Behind) -> None:
    hold(server, behind)
    for number in range(5):
        behind.put(key_of(number), bytes(PENDING_BYTES // 4), None)
    assert behind.find(key_of("held")) is None
    assert behind.find(key_of(4)) is not None
    assert behind.stats()["pending_bytes"] <= PENDING_BYTES
    server.open.set()

    assert behind.stats()["dropped"] >= 1
    with pytest.raises(StoreError, match="64 MB wait"):
        behind.flush()


def test_a_deleted_entry_is_not_sent_afterwards(server: Server, behind: Behind) -> None:
    hold(server, behind)
    behind.put(key_of("k"), b"v", None)
    deleted: list[bool] = []

    def delete_all() -> None:
        keys = (key_of("held"), key_of("k"), key_of("absent"))
        deleted.extend(behind.delete(key, partial(server.remove, key)) for key in keys)

    thread = threading.Thread(target=delete_all)
    thread.start()
    server.open.set()
    thread.join()
    behind.flush()

    assert deleted == [True, True, False]
    assert server.entries == {}


def test_what_waits_is_counted_when_it_is_cleared(server: Server, behind: Behind) -> None:
    def remove_all() -> int:
        count = len(server.entries)
        server.entries.clear()
        return count

    hold(server, behind)
    behind.put(key_of("k"), b"v", None)
    server.open.set()

    assert behind.clear(remove_all) == 2
    assert (server.entries, behind.waiting(b"")) == ({}, {})


def test_close_sends_what_waits_and_ends_the_thread(server: Server, behind: Behind) -> None:
    behind.put(key_of("k"), b"v", None)
    behind.close()
    assert server.entries == {key_of("k"): b"v"}
    assert "test-writer" not in {thread.name for thread in threading.enumerate()}
    behind.put(key_of("later"), b"w", None)
    behind.flush()

    assert server.entries[key_of("later")] == b"w"


def test_a_forked_child_leaves_what_waits_to_its_parent(server: Server, behind: Behind) -> None:
    behind.put(key_of("before"), b"1", None)
    behind.close()
    behind._front.put(key_of("waiting"), b"2", None)  # and no thread is started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        fine = behind.find(key_of("waiting")) is None
        behind.put(key_of("child"), b"3", None)
        behind.flush()
        os._exit(0 if fine and server.entries.keys() == {key_of("before"), key_of("child")} else 1)
    _, status = os.waitpid(child, 0)
    behind.flush()

    assert os.waitstatus_to_exitcode(status) == 0
    assert server.entries == {key_of("before"): b"1", key_of("waiting"): b"2"}
