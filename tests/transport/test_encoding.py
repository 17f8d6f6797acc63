from __future__ import annotations

import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import APIResponseError
from ostinato.transport.encoding import Decoder, decoder_for


@given(
    plain=st.binary(max_size=300),
    cuts=st.lists(st.integers(0, 300)),
    coding=st.sampled_from(["gzip", "x-gzip", "deflate"]),
)
def test_a_body_cut_anywhere_is_read_whole(plain: bytes, cuts: list[int], coding: str) -> None:
    packed = zlib.compress(plain) if coding == "deflate" else gzip.compress(plain)
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    decoder = Decoder(coding, "host")
    read = b"".join(decoder.feed(packed[start:end]) for start, end in itertools.pairwise(edges))
    decoder.end()

    assert read == plain


def test_members_that_follow_each_other_are_one_body() -> None:
    decoder = Decoder("gzip", "host")

    assert decoder.feed(gzip.compress(b"a") + gzip.compress(b"b")) + decoder.feed(gzip.compress(b"c")) == b"abc"
    decoder.end()


@given(st.integers(1, 30))
def test_a_body_that_breaks_off_is_no_answer(cut: int) -> None:
    packed = gzip.compress(b"0123456789" * 9)
    decoder = Decoder("gzip", "host")
    decoder.feed(packed[: min(cut, len(packed) - 1)])

    with pytest.raises(APIResponseError, match="broke off"):
        decoder.end()


def test_an_empty_body_is_whole() -> None:
    decoder = Decoder("gzip", "host")

    assert decoder.feed(b"") == b""
    decoder.end()


@pytest.mark.parametrize("coding", [None, "", "identity", " Identity "])
def test_a_plain_body_needs_no_decoder(coding: str | None) -> None:
    assert decoder_for(coding, "host") is None


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_a_coding_that_nobody_asked_for_is_named(coding: str) -> None:
    decoder = decoder_for(coding, "host")
    assert decoder is not None

    with pytest.raises(APIResponseError, match=coding) as caught:
        decoder.feed(b"x")

    assert not caught.value.retryable
