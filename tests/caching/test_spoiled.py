"""Entries that something spoiled: a miss and a count each, never an answer, never an exception."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pytest

from ostinato import Cache
from ostinato.caching.record import Entry, pack
from ostinato.caching.register import run
from ostinato.caching.stores.memory import MemoryStore

TIMES = 10_000
NAMES = 50
KEY = "correct horse battery staple 1"


@dataclass
class Spoiler:
    """True entries, and ways to spoil one. Every way returns what is stored in place of the true blob."""

    cache: Cache
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    true: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(NAMES):
            tags = ["tag"] if number % 3 == 0 else []
            self.cache.set(f"name {number}", "word " * self.dice.choice((1, 30, 400, 2000)), tags=tags)
        self.true = dict(self.cache.store.scan(self.cache.tag))

    def garbage(self, key: bytes) -> bytes:
        start = self.dice.choice((b"", b"\x01", b"\x02", b"S", b"F", self.true[key][:5], self.true[key][:21]))
        return start + self.dice.randbytes(self.dice.randrange(400))

    def truncated(self, key: bytes) -> bytes:
        return self.true[key][: self.dice.randrange(len(self.true[key]))]

    def other_version(self, key: bytes) -> bytes:
        first = self.dice.choice([number for number in range(256) if number != self.true[key][0]])
        return bytes([first]) + self.true[key][1:]

    def swapped(self, key: bytes) -> bytes:
        return self.dice.choice([blob for other, blob in self.true.items() if other != key])

    def flipped(self, key: bytes) -> bytes:
        blob = bytearray(self.true[key])
        bit = self.dice.randrange(len(blob) * 8)
        blob[bit // 8] ^= 1 << bit % 8
        return bytes(blob)

    def spoiled(self, how: Callable[[bytes], bytes]) -> Iterator[bytes]:
        """Spoil one entry at a time, and mend it once it was looked at."""
        keys = list(self.true)
        for _ in range(TIMES):
            key = self.dice.choice(keys)
            self.cache.store.set(key, how(key))
            yield key
            self.cache.store.set(key, self.true[key])


def shared_store() -> MemoryStore:
    """Return a store whose bytes may have come from anywhere, as those of a file or a server may."""
    store = MemoryStore()
    store.process_local = False
    return store


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def spoiler(request: pytest.FixtureRequest) -> Spoiler:
    return Spoiler(Cache(store=shared_store(), encryption_key=request.param))


@pytest.mark.parametrize("way", ["garbage", "truncated", "other_version", "swapped", "flipped"])
def test_spoiled_entry_is_a_counted_miss(way: str, spoiler: Spoiler) -> None:
    shelf, counters = spoiler.cache.shelf, spoiler.cache.counters
    answers = [shelf.recall(key, "value") for key in spoiler.spoiled(getattr(spoiler, way))]
    found = counters.as_dict()

    assert [answer for answer in answers if answer is not None] == []
    assert found["broken"] + found["undecryptable"] == found["misses"] == TIMES
    assert found["hits"] == found["store_errors"] == 0
    assert all(shelf.recall(key, "value") for key in spoiler.true)


def test_spoiled_entry_is_a_counted_miss_where_it_is_awaited(spoiler: Spoiler) -> None:
    spoiler.cache.store.instant = False
    shelf, counters = spoiler.cache.shelf, spoiler.cache.counters

    async def look() -> list[Any]:
        return [await shelf.arecall(key, "value") for key in spoiler.spoiled(spoiler.flipped)]

    assert set(asyncio.run(look())) == {None}
    assert counters.broken + counters.undecryptable == TIMES


def test_store_in_memory_that_holds_foreign_bytes_answers_nothing_from_them() -> None:
    store = MemoryStore()
    spoiler = Spoiler(Cache(store=store, encryption_key=KEY))
    plain = Cache(store=store)
    for key in spoiler.true:
        assert plain.shelf.recall(key, "value") is None

    assert plain.counters.undecryptable == NAMES


def test_entry_of_another_kind_is_a_counted_miss(spoiler: Spoiler) -> None:
    cache = spoiler.cache
    key = next(iter(spoiler.true))
    cache.store.set(key, run(cache.store, cache.shelf.blob_of(key, Entry(key[8:], "chat", "", 1.0, b"1"))))

    assert cache.shelf.recall(key, "value") is None
    assert cache.counters.broken == 1


def test_msgpack_of_another_shape_is_a_counted_miss() -> None:
    cache = Cache(store=shared_store())
    key = cache.tag + bytes(32)
    good = pack(Entry(key[8:], "value", "", 1.0, b"1"))
    no_text = good[5:].replace(b"value", b"\xff\xfe\xff\xfe\xff")
    deep = good[5:-3] + b"\x81\xa1a" + b"\x91" * 100_000
    for payload in (b"\xc0", b"\x91\xc0", b"\xdd\xff\xff\xff\xff", b"\x90", good[5:] + b"\x00", no_text, deep):
        cache.store.set(key, b"\x01" + crc32(payload).to_bytes(4, "big") + payload)
        assert cache.shelf.recall(key, "value") is None
    assert cache.counters.broken == 7
