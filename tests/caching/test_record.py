"""Entries as bytes: whole or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato import Cache
from ostinato.caching.record import Entry, pack, unpack, unpack_own

KEY = bytes(range(32))
ENTRY = Entry(KEY, "chat", "openai_chat", 1.5, b'{"a": 1}', b"[1]", "openai/gpt-4o", {"parts": {"model": b"12345678"}})

entries = st.builds(
    Entry,
    st.just(KEY),
    st.sampled_from(["chat", "embedding", "value"]),
    st.text(max_size=20),
    st.floats(0, 2**40),
    st.binary(max_size=2000),
    st.none() | st.binary(max_size=50),
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.binary(max_size=5), max_size=3),
)


@given(entries)
def test_entry_comes_back_as_it_went(entry: Entry) -> None:
    assert unpack(pack(entry), KEY) == unpack_own(pack(entry)) == entry


@given(st.integers(0, len(pack(ENTRY)) * 8 - 1))
def test_flipped_bit_is_no_entry(bit: int) -> None:
    blob = bytearray(pack(ENTRY))
    blob[bit // 8] ^= 1 << bit % 8

    assert unpack(bytes(blob), KEY) is None


@given(st.integers(0, len(pack(ENTRY)) - 1))
def test_entry_that_is_cut_is_none(length: int) -> None:
    assert unpack(pack(ENTRY)[:length], KEY) is None


@given(st.binary(max_size=200))
def test_garbage_is_no_entry(blob: bytes) -> None:
    assert unpack(blob, KEY) is None


def test_entry_of_another_key_is_none() -> None:
    assert unpack(pack(ENTRY), bytes(32)) is None


def test_entry_of_another_version_is_none() -> None:
    assert unpack(b"\x09" + pack(ENTRY)[1:], KEY) is None


@pytest.mark.parametrize("spoil", [lambda blob: blob[:-1], lambda blob: blob[:9] + b"!" + blob[10:], lambda _: b""])
def test_broken_entry_is_a_counted_miss_and_replaced(spoil: Any, tmp_path: Any) -> None:
    with Cache.disk(cache_path_root=tmp_path) as cache:
        cache.set("a", 1)
        store_key = cache._value_key("a")
        blob = cache.store.get(store_key)
        assert blob is not None
        cache.store.set(store_key, spoil(blob))

        assert cache.get("a") is None
        assert cache.stats()["broken"] == 1
        cache.set("a", 2)
        assert cache.get("a") == 2
