"""Entries as lines: what comes back is what went, and nothing that it should not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import Cache
from ostinato.caching.export import End, export_lines, import_line
from ostinato.caching.record import Entry
from ostinato.caching.register import run
from ostinato.caching.stores.memory import MemoryStore
from ostinato.testing.clock import ManualClock

KEY = "correct horse battery staple 1"
OTHER_KEY = "another key of thirty-two bytes!"


def lines_of(cache: Cache, *, plain: bool = False) -> list[bytes]:
    return list(export_lines(cache.shelf, b"", plain=plain))


def brought_to(cache: Cache, lines: list[bytes]) -> list[Any]:
    return [import_line(cache.shelf, line) for line in lines]


json_texts = st.recursive(st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8), st.lists)
entries = st.builds(
    Entry,
    st.just(bytes(32)),
    st.sampled_from(["chat", "embedding", "value"]),
    st.text(max_size=8),
    st.floats(0, 2**40),
    json_texts.map(msgspec.json.encode),
    st.none() | json_texts.map(msgspec.json.encode),
    st.text(max_size=8),
    st.fixed_dictionaries(
        {},
        optional={
            "parts": st.dictionaries(st.text(max_size=5), st.binary(min_size=8, max_size=8), min_size=1, max_size=3),
            "headers": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
            "request": st.dictionaries(st.text(max_size=5), json_texts, max_size=2),
        },
    ),
    st.none() | st.dictionaries(st.text(min_size=1, max_size=5), st.binary(min_size=16, max_size=16), min_size=1),
    st.none() | st.floats(2_000_000_000, 3_000_000_000),
)


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
@given(entries)
def test_entry_comes_back_as_it_went(key: Any, entry: Entry) -> None:
    ours, theirs = (Cache(store=MemoryStore(), encryption_key=key, clock=ManualClock()) for _ in range(2))
    store_key = ours.tag + entry.key
    ours.shelf.keep(store_key, entry, None)
    assert run(ours.store, ours.shelf.tags.adopt(ours.tag, entry.tags or {}))

    *lines, end = lines_of(ours)
    assert brought_to(theirs, lines) == ["imported"]
    assert import_line(theirs.shelf, end) == End(1)
    assert [found for _, _, found in theirs.shelf.walk()] == [entry]


def test_lines_of_an_encrypted_cache_tell_nothing_and_open_with_its_keys_alone() -> None:
    cache = Cache.memory(encryption_key=KEY)
    cache.set("k", "hemlock")
    lines = lines_of(cache)

    assert b"hemlock" not in b"".join(lines)
    assert b"hemlock" in b"".join(lines_of(cache, plain=True))
    for other in (Cache.memory(), Cache.memory(encryption_key=OTHER_KEY)):
        assert brought_to(other, lines) == ["locked", End(1)]
        assert other.get("k") is None
    rotated = Cache.memory(encryption_key=[OTHER_KEY, KEY])
    assert brought_to(rotated, lines) == ["imported", End(1)]
    assert rotated.get("k") == "hemlock"


def test_every_flipped_byte_of_a_line_is_refused() -> None:
    cache = Cache.memory()
    cache.set("k", "hemlock")
    line, _ = lines_of(cache)
    for place in range(len(line) - 1):
        spoiled = bytearray(line)
        spoiled[place] ^= 1
        target = Cache.memory()

        assert import_line(target.shelf, bytes(spoiled)) == "damaged", place
        assert target.get("k") is None


@given(st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b'{"v":1}', b'{"v":2,"end":1}', b'{"v":1,"end":"x"}']))
def test_what_is_no_line_is_refused(line: bytes) -> None:
    assert import_line(Cache.memory().shelf, line) == "damaged"


def test_what_was_invalidated_since_does_not_come_back() -> None:
    cache = Cache.memory()
    cache.set("k", 1, tags=["t"])
    lines = lines_of(cache)
    cache.invalidate("t")

    assert brought_to(cache, lines) == ["invalidated", End(1)]
    assert lines_of(cache) == [b'{"v":1,"end":0}\n']


def test_newer_entry_stays_and_one_that_is_over_does_not_come_back() -> None:
    clock = ManualClock()
    cache = Cache.memory(clock=clock)
    cache.set("k", "old")
    cache.set("brief", 1, ttl=10)
    lines = lines_of(cache)
    clock.advance(5)
    cache.set("k", "new")
    later = Cache.memory(clock=clock)

    assert sorted(map(str, brought_to(cache, lines)[:2])) == ["kept", "kept"]
    assert cache.get("k") == "new"
    assert brought_to(later, lines)[:2] == ["imported", "imported"]
    clock.advance(5)
    assert later.get("brief") is None
    assert sorted(map(str, brought_to(Cache.memory(clock=clock), lines)[:2])) == ["expired", "imported"]


def test_what_was_exported_before_its_namespace_was_shredded_does_not_come_back() -> None:
    clock = ManualClock()
    cache = Cache.memory(encryption_key=KEY, clock=clock)
    cache.set("k", "old")
    lines, plain = lines_of(cache), lines_of(cache, plain=True)
    cache.shred()
    clock.advance(1)
    cache.set("new", "new")

    for old in (lines, plain):
        assert brought_to(cache, old) == ["shredded", End(1)]
        assert cache.get("k") is None
    assert cache.get("new") == "new"
    assert brought_to(Cache(store=cache.store), plain) == ["shredded", End(1)]
    again = lines_of(cache)
    assert cache.shelf.clear_all() > 0
    assert brought_to(Cache(store=cache.store), plain) == ["shredded", End(1)]
    assert brought_to(cache, again) == ["imported", End(1)]
    assert brought_to(Cache.memory(encryption_key=KEY, clock=clock), lines) == ["imported", End(1)]
