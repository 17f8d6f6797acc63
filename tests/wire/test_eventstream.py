from __future__ import annotations

import base64
import json
import struct
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import APIResponseError
from ostinato.wire.eventstream import Decoder, encode_exception, encode_frame
from tests.corpus import open_records

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "chunk")
payloads = st.dictionaries(st.text(max_size=8), st.one_of(st.text(), st.integers(-1000, 1000), st.none()), max_size=4)
frames = st.lists(st.tuples(names, payloads), min_size=1, max_size=6)
slices = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def decoded(pieces: list[bytes]) -> list[Any]:
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return [json.loads(event) for event in [*events, *decoder.end()]]


def botocore_events(data: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(event.headers, json.loads(event.payload)) for event in buffer]


@given(frames, slices)
def test_frames_cut_anywhere_decode_as_botocore_decodes_them(events: list[Any], sizes: list[int]) -> None:
    data = b"".join(encode_frame(name, payload) for name, payload in events)

    expected = [{headers[":event-type"]: payload} for headers, payload in botocore_events(data)]

    assert decoded(cut(data, sizes)) == expected == [{name: payload} for name, payload in events]


@given(payloads, slices)
def test_an_exception_becomes_an_event_with_its_type(payload: dict[str, Any], sizes: list[int]) -> None:
    payload.pop("type", None)
    data = encode_frame("messageStart", {"role": "assistant"}) + encode_exception("throttlingException", payload)

    (_, (headers, body)) = botocore_events(data)

    assert headers[":message-type"] == "exception"
    assert body == payload
    assert decoded(cut(data, sizes))[1] == {"exception": {"type": "throttlingException", **payload}}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), slices)
def test_a_chunk_of_invoke_model_is_the_json_inside_it(inner: dict[str, str], sizes: list[int]) -> None:
    packed = base64.b64encode(json.dumps(inner).encode()).decode()

    assert decoded(cut(encode_frame("chunk", {"bytes": packed, "p": "abc"}), sizes)) == [inner]


@pytest.mark.parametrize("api", ["converse-stream", "invoke-stream"])
def test_recorded_streams_decode_in_any_slices_as_botocore_decodes_them(api: str) -> None:
    seen = 0
    for record in open_records(api=api):
        packed = record["response"].get("eventstream_base64")
        if packed is None:
            continue
        seen += 1
        data = base64.b64decode(packed)
        expected = [
            json.loads(base64.b64decode(payload["bytes"]))
            if headers[":event-type"] == "chunk"
            else {headers[":event-type"]: payload}
            for headers, payload in botocore_events(data)
        ]

        for size in (1, 7, 777, len(data)):
            assert decoded(cut(data, [size])) == expected, record["id"]

    assert seen > 30


FRAME = encode_frame("messageStop", {"stopReason": "end_turn"})


@pytest.mark.parametrize("place", range(len(FRAME)))
def test_a_byte_that_changed_is_found(place: int) -> None:
    damaged = bytearray(FRAME)
    damaged[place] ^= 0x40

    with pytest.raises(APIResponseError):
        decoded([bytes(damaged)])


@pytest.mark.parametrize("size", range(1, len(FRAME)))
def test_a_stream_that_ends_inside_a_frame_is_refused(size: int) -> None:
    decoder = Decoder()

    assert decoder.feed(FRAME + FRAME[:size]) == [b'{"messageStop":{"stopReason":"end_turn"}}']
    with pytest.raises(APIResponseError, match="ended inside"):
        decoder.end()


def test_whole_events_in_front_of_a_damaged_frame_are_not_lost() -> None:
    decoder = Decoder()

    assert len(decoder.feed(FRAME + FRAME + b"\0" * 16)) == 2
    with pytest.raises(APIResponseError, match="damaged"):
        decoder.feed(FRAME)
    with pytest.raises(APIResponseError, match="damaged"):
        decoder.end()


def test_a_frame_over_the_limit_is_refused_by_its_head_alone() -> None:
    decoder = Decoder(max_frame_bytes=200)
    small, large = encode_frame("a", {"x": "y"}), encode_frame("a", {"x": "y" * 200})

    assert decoder.feed(small) == [b'{"a":{"x":"y"}}']
    with pytest.raises(APIResponseError, match="larger than 200 bytes") as raised:
        decoder.feed(large[:12])
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (encode_frame("chunk", {"bytes": "%%"}), "no base64"),
        (encode_frame("chunk", {}), "no base64"),
        (encode_frame('a"b', {}), "names no type"),
        (encode_frame("", {}), "names no type"),
    ],
)
def test_a_sound_frame_with_nonsense_in_it_is_refused(frame: bytes, words: str) -> None:
    with pytest.raises(APIResponseError, match=words):
        decoded([frame])


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    head = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame = head + crc32(head).to_bytes(4, "big") + headers + payload
    return frame + crc32(frame).to_bytes(4, "big")


def header(name: str, kind: int, value: bytes) -> bytes:
    sized = len(value).to_bytes(2, "big") if kind in {6, 7} else b""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + sized + value


def test_headers_of_every_type_are_passed_over_on_the_way_to_those_that_count() -> None:
    others = [
        (0, b""),
        (1, b""),
        (2, b"1"),
        (3, b"12"),
        (4, b"1234"),
        (5, b"12345678"),
        (6, b"bytes"),
        (8, b"12345678"),
        (9, b"x" * 16),
    ]
    headers = b"".join(header(f"h{kind}", kind, value) for kind, value in others)

    assert decoded([framed(headers + header(":event-type", 7, b"a"), b"{}")]) == [{"a": {}}]


def test_a_failure_that_no_model_describes_is_an_exception_too() -> None:
    headers = header(":message-type", 7, b"error") + header(":error-code", 7, b"InternalFailure")

    assert decoded([framed(headers + header(":error-message", 7, b"broke"))]) == [
        {"exception": {"type": "InternalFailure", "message": "broke"}}
    ]


@pytest.mark.parametrize("headers", [b"\x05ab", b"\x01a\x63", b"\x01a\x07\x00\x09ab", b"\x01\xff\x00", b"\x01a\x09x"])
def test_headers_that_cannot_be_read_are_damage(headers: bytes) -> None:
    with pytest.raises(APIResponseError, match="headers"):
        decoded([framed(headers)])


def test_an_event_without_a_payload_is_an_empty_object() -> None:
    assert decoded([encode_frame("initial-response", b""), encode_frame("messageStop", b"")]) == [{"messageStop": {}}]


def test_an_exception_whose_payload_is_no_json_keeps_its_words() -> None:
    assert decoded([encode_exception("internalServerException", b"out of order")]) == [
        {"exception": {"type": "internalServerException", "message": "out of order"}}
    ]
