"""Leases in Cosmos DB: what fits into its items and transactions, and what they cost in requests."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

pytest.register_assert_rewrite("ostinato.testing.lease_suite")

from azure.cosmos import CosmosClient  # noqa: E402

from ostinato import Cache, StoreError, completion  # noqa: E402
from ostinato.caching.stores.cosmos import CosmosStore  # noqa: E402
from ostinato.caching.stores.cosmos_items import FRAME_BYTES, LARGEST_BYTES  # noqa: E402
from ostinato.caching.stores.leases import Lead, News, Report, Seen  # noqa: E402
from ostinato.testing.emulator import Emulator, Reply  # noqa: E402
from ostinato.testing.lease_suite import KEY, followed, led, news, tell  # noqa: E402
from ostinato.testing.store_face import key_of  # noqa: E402
from tests.stores.cosmos_emulator import KEY as ACCOUNT_KEY  # noqa: E402
from tests.stores.cosmos_emulator import CosmosEmulator  # noqa: E402

NUMBERS = count()
LARGEST_VALUE = (LARGEST_BYTES - FRAME_BYTES) // 4 * 3


@pytest.fixture
def store(cosmos: CosmosEmulator) -> Iterator[Any]:
    """A store with leases, in a container of its own."""
    opened = CosmosStore(cosmos.connection_string, container_id=f"leases-of-{next(NUMBERS)}", timeout_ms=10_000)
    yield opened
    opened.close()


def kept(cosmos: CosmosEmulator, store: Any) -> list[str]:
    """Return the kinds of items beside the entries."""
    with CosmosClient(cosmos.url, ACCOUNT_KEY, enable_endpoint_discovery=False) as client:
        container = client.get_database_client("ostinato").get_container_client(store._container.name)
        return sorted(item["id"].split("-")[1] for item in container.read_all_items() if "-" in item["id"])


@pytest.mark.parametrize("size", [900_000, LARGEST_VALUE])
def test_an_answer_and_its_stream_may_be_more_than_one_transaction_takes(store: Any, size: int) -> None:
    lead = led(store.leases.claim(KEY))
    store.leases.claim(KEY)
    frames = [b"e" * 1000, os.urandom(3_000_000), b"end"]
    value = os.urandom(size)
    tell(store, lead, 0, *frames, end="landed", value=value)

    assert news(store, lead, 0) == News(frames)
    assert store.get(KEY) == value


def test_what_nobody_follows_is_not_written_and_who_begins_to_gets_all_of_it(
    cosmos: CosmosEmulator, store: Any
) -> None:
    lead = led(store.leases.claim(KEY))
    tell(store, lead, 0, b"one")
    tell(store, lead, 1, b"two")
    alone = kept(cosmos, store)
    live = followed(store.leases.claim(KEY))
    tell(store, lead, 2)

    assert alone == ["followed", "lease"]
    assert live.frames == []
    assert news(store, lead, 0) == News([b"one", b"two"])


def test_who_begins_to_follow_as_the_answer_lands_finds_it_or_reads_it(store: Any) -> None:
    """The leader looks for the mark of a follower in the transaction that ends its lease."""
    for number in range(20):
        key = key_of(f"race {number}")
        lead = led(store.leases.claim(key))
        with ThreadPoolExecutor(1) as pool:
            claimed = pool.submit(store.leases.claim, key)
            tell(store, lead, 0, b"frame", end="landed", value=b"entry")
            found = claimed.result(30)
        if found != b"entry":
            [new] = store.leases.follow([Seen(key, lead.token, 0)])
            assert isinstance(new, News)
            assert new.frames == [b"frame"] or (new.gone and store.leases.claim(key, again=True) == b"entry")


def test_an_answer_that_fits_into_no_item_is_told_and_refused_with_one_warning(
    store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ostinato"):
        for number in range(2):
            key = key_of(number)
            store.set(key, b"old")
            store.flush()
            lead = led(store.leases.claim(key, over=True))
            store.leases.claim(key, over=True)
            tell(store, lead, 0, b"frame", end="landed", value=bytes(LARGEST_VALUE + 3))

            assert news(store, lead, 0) == News([b"frame"])
            assert store.get(key) is None

    assert store.stats()["too_large"] == 2
    assert [record.getMessage().partition(" is larger")[0] for record in caplog.records] == [
        f"an answer of {LARGEST_VALUE + 3} bytes"
    ]


def test_what_befalls_one_call_is_not_that_of_the_others(cosmos: CosmosEmulator, store: Any) -> None:
    keys = [key_of(number) for number in range(6)]
    leads = [led(store.leases.claim(key)) for key in keys]
    for key in keys:
        store.leases.claim(key)
    cosmos.fault(only=keys[2][8:].hex(), status=403, times=2)
    news_of_all = store.leases.follow([Seen(lead.key, lead.token, 0) for lead in leads])
    cosmos.fault(times=0)
    heard = store.leases.tell([Report(lead.key, lead.token, 0, [b"frame"]) for lead in leads])

    assert isinstance(news_of_all[2], StoreError)
    assert [new for new in news_of_all if new != news_of_all[2]] == [News([])] * 5
    assert heard == ["followed"] * 6


def test_a_miss_asks_the_service_twice_before_it_goes_out_and_a_hit_once(
    cosmos: CosmosEmulator, store: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    hello = [{"role": "user", "content": "hello"}]
    assert isinstance(store.leases.claim(KEY), Lead)  # the container is open
    with Cache(store=store) as cache, ThreadPoolExecutor(1) as pool:
        cosmos.requests()
        missed = pool.submit(completion, "openai/gpt-4o", hello, cache=cache)
        emulator.wait_for_calls(1, 30)
        miss = [path.split()[0] for path in cosmos.requests()]
        gate.set()
        missed.result(30)
        cache.flush()
        landed = [path.split()[0] for path in cosmos.requests()]
        hit = completion("openai/gpt-4o", hello, cache=cache)

        assert hit.cache_hit
        assert [path.split()[0] for path in cosmos.requests()] == ["GET"]
    assert miss == ["GET", "POST"]
    assert landed == ["POST"]
