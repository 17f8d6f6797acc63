"""What of the books is another thing in a Redis than in a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato.caching.cache import Cache
from ostinato.caching.stores.redis_cluster import slot_of
from ostinato.caching.stores.redis_settings import read_settings
from ostinato.errors import RateLimitError, StoreError
from ostinato.gateway.books import Books, open_books
from ostinato.gateway.file_vault import FileVault
from ostinato.gateway.keys import Key, KeyRing
from ostinato.gateway.redis_vault import KEEP_DAYS, RedisVault
from ostinato.gateway.till import Till
from ostinato.gateway.vault import Batch, Limit, Taken
from ostinato.ledger.book import MOST_MODELS, OTHER
from ostinato.ledger.line import Account, Line, Sum, summed
from ostinato.testing.clock import ManualClock
from tests.gateway.places import Place
from tests.stores.redis_server import RedisServer, binaries, cluster, wait_until

DAY = 86_400


def vault_of(server: RedisServer, **more: Any) -> RedisVault:
    return RedisVault(read_settings({**server.settings, "timeout_ms": 5000, **more}, {}))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0]) as running:
        yield running


def names(server: RedisServer) -> list[bytes]:
    return sorted(server.ask("KEYS", "*"))


def line(model: str = "m", cost_pico: int = 1) -> Line:
    return Line(0.0, "t", "k", model, "miss", cost_pico=cost_pico)


def test_a_batch_that_is_sent_again_counts_once(place: Place) -> None:
    vault = place.vault()
    batch = Batch("w", 1, 0.0, [Taken(Limit("a", "calls", ""), 3, 0)], summed([("2026-01-01", line())]))
    vault.settle(batch)
    if isinstance(vault, RedisVault):  # a file says whether it was written
        vault.settle(batch)
        vault.settle(Batch("w", 1, 0.0, [], summed([("2026-01-01", line())])))
    vault.settle(Batch("other", 1, 0.0, [], summed([("2026-01-01", line())])))

    assert [row["calls"] for row in vault.spend([])] == [2]


def test_sums_are_exact_to_64_bits(place: Place) -> None:
    vault = place.vault()
    for number, cost in enumerate((2**62, 2**53 + 1, 1), 1):
        vault.settle(Batch("w", number, 0.0, [], summed([("2026-01-01", line(cost_pico=cost))])))

    assert [row["cost_pico"] for row in vault.spend([])] == [2**62 + 2**53 + 2]


def test_names_that_clients_make_up_take_a_bounded_number_of_rows(place: Place) -> None:
    vault = place.vault()
    for number in range(3):
        made_up = {Account("2026-01-01", "t", "k", f"m-{number}-{n} \u20ac \0"): Sum(calls=1) for n in range(300)}
        vault.settle(Batch("w", number + 1, 0.0, [], made_up))
    vault.settle(Batch("w", 4, 0.0, [], {Account("2026-01-01", "t", "other key", "m"): Sum(calls=1)}))
    rows = vault.spend(["key_id", "model"])

    assert len(rows) == MOST_MODELS + 2
    assert sum(row["calls"] for row in rows) == 901
    assert [row["calls"] for row in rows if row["model"] == OTHER] == [900 - MOST_MODELS]


def test_nothing_of_a_secret_is_in_the_server_and_the_day_ends_of_itself(server: RedisServer) -> None:
    books = Books(vault_of(server))
    secret = books.ring.create(Key(id="a", rpm=10, budget_usd=1, budget_period="month"))
    key = books.ring.find(secret)
    ticket = books.till.admit(key, "m")
    books.till.draw(ticket)
    books.till.settle(ticket, line())
    books.till.flush()
    held = b" ".join(names(server))
    kept = server.ask("HGETALL", "{ostinato:books}keys")
    ends = {name: server.ask("TTL", name) for name in names(server)}
    books.close()

    assert secret.removeprefix("sk-ost-").encode() not in held + b"".join(map(bytes, kept))
    assert {name for name, left in ends.items() if left < 0} == {b"{ostinato:books}keys", b"{ostinato:books}days"}
    assert 0 < ends[b"{ostinato:books}day:1970-01-01"] <= KEEP_DAYS * DAY


def test_what_clears_the_cache_leaves_the_books(server: RedisServer) -> None:
    cache = Cache(type="redis", **server.settings)
    books = open_books(None, cache)
    books.ring.create(Key(id="a"))
    cache.store.set(b"x" * 40, b"value")
    cache.store.clear()

    assert [key.id for key in books.ring.list()] == ["a"]
    assert list(cache.store.scan()) == []
    cache.close()
    books.close()


def test_the_books_are_with_the_cache_where_that_is_in_a_redis(server: RedisServer, tmp_path: Path) -> None:
    cache = Cache(type="redis", **server.settings)
    memory = Cache.memory()
    tiered = Cache.tiered(memory, cache)
    kinds = [type(open_books(None, each).vault) for each in (cache, tiered, memory, None)]

    assert kinds == [RedisVault, RedisVault, FileVault, FileVault]
    assert isinstance(open_books(str(tmp_path / "own.db"), cache).vault, FileVault)
    assert isinstance(open_books(server.url, None).vault, RedisVault)
    cache.close()


def test_keys_that_the_server_lost_go_on_where_they_are_remembered(server: RedisServer) -> None:
    clock = ManualClock()
    ring = KeyRing(vault_of(server), clock=clock)
    secret = ring.create(Key(id="a"))
    server.ask("FLUSHALL")
    clock.advance(1)

    assert ring.find(secret) is not None
    with pytest.raises(StoreError, match="has lost the keys"):
        ring.find("sk-ost-other")
    ring.create(Key(id="b"))
    assert ring.find(secret) is None


def test_a_server_that_is_away_costs_no_known_key_and_no_line(server: RedisServer) -> None:
    clock = ManualClock()
    vault = vault_of(server, timeout_ms=1000)
    ring, till = KeyRing(vault, clock=clock), Till(vault, "w", clock=clock)
    secret = ring.create(Key(id="a", budget_usd=1))
    key = ring.find(secret)
    till.settle(till.admit(key, "m"), line())
    server.freeze()
    clock.advance(1)
    ticket = till.admit(key, "m")
    with pytest.raises(StoreError):
        till.draw(ticket)
    assert ring.find(secret) is not None
    assert not till.flush()
    till.settle(ticket, line())
    server.thaw()
    clock.advance(3)
    wait_until(till.flush)
    till.draw(let_in := till.admit(key, "m"))
    till.settle(let_in, line())

    assert till.close()
    assert [row["calls"] for row in vault.spend([])] == [3]


def test_what_could_not_be_written_to_the_end_is_told(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    books = Books(vault_of(server))
    books.till.settle(books.till.admit(None, "m"), line())
    server.stop()
    books.close()

    assert "is lost: Redis at" in caplog.text


def test_a_process_that_is_alone_counts_a_minute_by_itself(server: RedisServer) -> None:
    clock = ManualClock()
    vault = vault_of(server, timeout_ms=1000)
    till, key = Till(vault, "w", clock=clock), Key(id="a", rpm=100)

    def let_in() -> int:
        count = 0
        while True:
            try:
                ticket = till.admit(key, "m")
            except RateLimitError:
                return count
            till.settle(ticket, line())
            count += 1

    assert let_in() == 100
    server.freeze()
    clock.advance(60)
    assert [let_in(), let_in()] == [100, 0]
    assert not till.flush()
    clock.advance(1)
    assert let_in() == 0
    server.thaw()
    clock.advance(60)
    wait_until(till.flush)
    assert let_in() == 100
    till.close()

    assert [row["calls"] for row in vault.spend([])] == [300]


def test_a_cluster_keeps_all_of_it_in_one_slot() -> None:
    with cluster(binaries()[0]) as servers:
        nodes = [("127.0.0.1", each.port) for each in servers]
        vaults = [RedisVault(read_settings({"startup_nodes": nodes, "timeout_ms": 5000}, {})) for _ in range(2)]
        books = [Books(vault) for vault in vaults]
        secret = books[0].ring.create(Key(id="a", budget_usd=1, rpm=100))
        key = books[1].ring.find(secret)
        for each in books:
            ticket = each.till.admit(key, "m")
            each.till.draw(ticket)
            each.till.settle(ticket, line())
            assert each.till.flush()
        held = [name for each in servers for name in names(each)]
        calls = [row["calls"] for row in vaults[0].spend([])]
        for each in books:
            each.close()

    assert calls == [2]
    assert len({slot_of(name) for name in held}) == 1


def test_a_server_that_may_throw_keys_away_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(binaries()[0], maxmemory="50mb", maxmemory_policy="allkeys-lru") as server:
        vault = vault_of(server)
        vault.keys()
        vault.keys()

    assert caplog.text.count("evicts whatever it likes") == 1


def test_limits_hold_for_several_processes_that_ask_at_once(server: RedisServer) -> None:
    tills = [Till(vault_of(server), str(number)) for number in range(4)]
    key = Key(id="a", budget_usd=400 * 10**-12, budget_period="ever")
    let_in: list[int] = []

    def call(till: Till) -> None:
        for _ in range(200):
            ticket = till.admit(key, "m")
            try:
                till.draw(ticket)
            except Exception:  # noqa: BLE001  # refused
                till.settle(ticket, None)
            else:
                till.settle(ticket, line())
                let_in.append(1)

    threads = [threading.Thread(target=call, args=(till,)) for till in tills for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 392 <= len(let_in) <= 408
