"""Compression: only where it pays, and never a way to harm who reads."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ostinato import Cache
from ostinato.caching.record import PLAIN, SQUEEZED, Entry, pack, unpack
from ostinato.caching.squeeze import LEAST_BYTES, MOST_BYTES, try_expand, try_squeeze

TEXT = b"The tenant of flat 12 pays on the first day of every month. " * 200
NOISE = random.Random(1).randbytes(20_000)
KEY = bytes(32)


def entry(body: bytes) -> Entry:
    return Entry(KEY, "chat", "openai_chat", 1.5, body)


@given(st.binary(max_size=200), st.integers(1, 400))
def test_entry_comes_back_as_it_went(piece: bytes, times: int) -> None:
    kept = entry(piece * times)

    assert unpack(pack(kept, squeeze=True), KEY) == kept


def test_long_entries_that_shrink_are_squeezed_and_others_are_not() -> None:
    assert pack(entry(TEXT), squeeze=True)[:1] == SQUEEZED
    assert len(pack(entry(TEXT), squeeze=True)) < len(TEXT) / 2
    assert pack(entry(TEXT))[:1] == PLAIN
    assert pack(entry(NOISE), squeeze=True)[:1] == PLAIN
    assert pack(entry(TEXT[: LEAST_BYTES - 200]), squeeze=True)[:1] == PLAIN


def test_disk_cache_squeezes_and_a_cache_in_memory_or_encrypted_does_not(tmp_path: Path) -> None:
    value = TEXT.decode()
    with Cache.disk(cache_path_root=tmp_path) as disk:
        disk.set("k", value)
        (blob,) = (blob for _, blob in disk.store.scan(disk.tag))
        assert blob[:1] == SQUEEZED
        assert disk.get("k") == value
    for cache in (Cache.memory(), Cache.disk(cache_path_root=tmp_path / "sealed", encryption_key="k" * 32)):
        with cache:
            cache.set("k", value)
            (blob,) = (blob for _, blob in cache.store.scan(cache.tag))
            assert len(blob) > len(value)


def test_what_says_that_it_expands_beyond_the_bound_is_not_expanded() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(2**17)))
    huge = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**17))
    # The header's size field (RFC 8878, 3.1.1.1): four bytes behind the magic number and the descriptor.
    assert zstandard.frame_content_size(bytes(frame)) == 2**17
    frame[5:9] = (MOST_BYTES + 1).to_bytes(4, "little")

    assert zstandard.frame_content_size(bytes(frame)) == MOST_BYTES + 1
    assert try_expand(bytes(frame)) is None
    assert try_expand(huge) is None


@given(st.integers(0, 400))
def test_damaged_frame_raises_nothing_and_a_cut_one_is_none(place: int) -> None:
    squeezed = bytearray(try_squeeze(TEXT) or b"")
    cut = bytes(squeezed[: place % len(squeezed)])
    squeezed[place % len(squeezed)] ^= 0x55

    assert isinstance(try_expand(bytes(squeezed)), bytes | None)
    assert try_expand(cut) is None


def test_threads_squeeze_side_by_side() -> None:
    right: list[bool] = []

    def work(number: int) -> None:
        text = TEXT + str(number).encode()
        right.extend(try_expand(try_squeeze(text) or b"") == text for _ in range(100))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert right == [True] * 400


def test_without_the_package_entries_are_plain_and_squeezed_ones_a_told_miss(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    squeezed = pack(entry(TEXT), squeeze=True)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    found: list[object] = []

    def work() -> None:
        found.append(pack(entry(TEXT), squeeze=True)[:1])
        found.append(unpack(squeezed, KEY))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert found == [PLAIN, None]
    assert "ostinato[zstd]" in caplog.text
