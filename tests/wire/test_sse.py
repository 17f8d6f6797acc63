from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import APIResponseError
from ostinato.wire.sse import Decoder, ServerEvent, encode_event

STREAM = (
    "\ufeff: OPENROUTER PROCESSING\r\n\r\n"
    'data: {"a":"é𝄞"}\n\n'
    "event: error\ndata: one\ndata:two\nid: 7\nretry: 10\n\n"
    ": keep-alive\n\n\n\n"
    "data\n\ndata: \n\n"
    "data: x\r\rdata:  y\r\n\r\n"
    "event: e\r\ndata: 1\r\ndata: 2\r\n\r\n"
    "event: alone\n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS: list[ServerEvent] = [
    (None, '{"a":"é𝄞"}'.encode()),
    ("error", b"one\ntwo"),
    (None, b"x"),
    (None, b" y"),
    ("e", b"1\n2"),
    (None, b"[DONE]"),
]


def decoded(*slices: bytes, limit: int = 1 << 20) -> list[ServerEvent]:
    decoder = Decoder(limit)
    return [event for piece in slices for event in decoder.feed(piece)] + decoder.end()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_every_line_ending_comment_and_field_is_read_as_the_standard_says() -> None:
    assert decoded(STREAM) == EVENTS


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_slices_of_any_one_size_give_the_same_events(size: int) -> None:
    assert decoded(*(STREAM[start : start + size] for start in range(0, len(STREAM), size))) == EVENTS


lines = st.sampled_from(
    ["data: x", "data:", "data", "data: é", ": c", "event: n", "event:", "id: 1", "", "", "", "odd"]
)
ends = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(lines, ends)), st.lists(st.integers(0, 500)), st.booleans())
def test_any_slicing_of_any_stream_gives_the_same_events(
    text: list[tuple[str, str]], places: list[int], mark: bool
) -> None:
    data = b"\xef\xbb\xbf" * mark + "".join(line + end for line, end in text).encode() + b"data: 1\n\n"

    assert decoded(*cut(data, places)) == decoded(data)


@given(st.lists(st.tuples(st.sampled_from([None, "a", "é"]), st.binary().filter(lambda b: b and b"\r" not in b))))
def test_what_is_encoded_is_decoded_to_itself(events: list[ServerEvent]) -> None:
    assert decoded(*(encode_event(data, name) for name, data in events)) == events


def test_a_carriage_return_in_data_becomes_a_line_of_its_own() -> None:
    assert decoded(encode_event(b"a\r\nb\rc")) == [(None, b"a\nb\nc")]


def test_events_are_given_out_as_soon_as_their_blank_line_is_there() -> None:
    decoder = Decoder()

    assert decoder.feed(b"data: 1\n\ndata: 2\n") == [(None, b"1")]
    assert decoder.feed(b"\n") == [(None, b"2")]
    assert decoder.feed(b"data: 3\r\r") == [(None, b"3")]
    assert decoder.feed(b"\ndata: 4\n\n") == [(None, b"4")]


@pytest.mark.parametrize("tail", [b'data: {"a":1}', b'data: {"a":1}\n', b'data: {"a":1}\r', b": c\ndata: [DONE]"])
def test_a_last_event_that_is_whole_needs_no_blank_line(tail: bytes) -> None:
    (event,) = decoded(b"data: 0\n\n", tail)[1:]

    assert event[1] in {b'{"a":1}', b"[DONE]"}


@pytest.mark.parametrize("tail", [b'data: {"a":', b"data: [DO", b"event: error", b"dat", 'data: "é'.encode()[:-1]])
def test_a_stream_that_ends_inside_an_event_is_an_error(tail: bytes) -> None:
    with pytest.raises(APIResponseError, match="inside an event"):
        decoded(b"data: 0\n\n", tail)


@pytest.mark.parametrize("tail", [b"", b"\n", b": half a comm", b": c\n", b"\r"])
def test_a_stream_may_end_in_blank_lines_and_comments(tail: bytes) -> None:
    assert decoded(b"data: 0\n\n", tail) == [(None, b"0")]


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_an_event_over_the_limit_is_an_error_however_it_comes(size: int) -> None:
    data = b"data: 1\n\ndata: " + b"x" * 100 + b"\n\n"

    with pytest.raises(APIResponseError, match="larger than 50 bytes") as caught:
        decoded(*(data[start : start + size] for start in range(0, len(data), size)), limit=50)
    assert not caught.value.retryable


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_many_events_together_may_be_over_the_limit(size: int) -> None:
    data = b"data: 1234567890\n\n" * 20

    assert len(decoded(*(data[start : start + size] for start in range(0, len(data), size)), limit=50)) == 20
