"""AWS event streams: bytes in any slices in, the JSON of whole events out, and the way back.

A frame is its length, the length of its headers, a CRC-32 of those two, the headers, the payload, and a CRC-32 of
all that: https://smithy.io/2.0/aws/amazon-eventstream.html (read 2026-11-22). What comes out is what the wires
read: `{"<event type>": payload}` for an event, the inner JSON for a `chunk` of InvokeModel, and
`{"exception": {"type": …, …}}` for a frame that reports a failure.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from ostinato.errors import APIResponseError
from ostinato.wire.mending import read

MAX_FRAME_BYTES = 25 * 1024 * 1024
"""The longest frame that is taken; AWS allows 24 MiB of payload and 128 KiB of headers."""

_MAX_HEADER_BYTES = 128 * 1024
_LEAST = 16
_PRELUDE = struct.Struct(">III")
_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes that a header's value takes, by its type, for the types that say no length."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Decoder:
    """Cuts one stream into events."""

    __slots__ = ("_broken", "_limit", "_need", "_pending", "_size")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit = max_frame_bytes
        self._pending: list[bytes] = []
        self._size = 0
        self._need = 12
        """Bytes that must be there before anything more is known."""
        self._broken: APIResponseError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Return the JSON of the events that `data` completes, in order.

        Raises: APIResponseError: a frame is damaged or larger than `max_frame_bytes`. Whole events in front of it
            are returned first; the next call raises.
        """
        if self._broken is not None:
            raise self._broken
        self._pending.append(data)
        self._size += len(data)
        if self._size < self._need:
            return []
        if len(self._pending) > 1:
            data = b"".join(self._pending)
        events: list[bytes] = []
        try:
            rest = self._cut(data, events)
        except APIResponseError as error:
            self._pending = []
            self._broken = error
            if not events:
                raise
            return events
        self._pending = [rest] if rest else []
        self._size = len(rest)
        return events

    def _cut(self, data: bytes, events: list[bytes]) -> bytes:
        """Move the whole frames of `data` to `events`; return what is left."""
        at, size = 0, len(data)
        self._need = 12
        while size - at >= 12:
            total, headers, check = _PRELUDE.unpack_from(data, at)
            if crc32(data[at : at + 8]) != check:
                raise APIResponseError("a frame of the event stream is damaged: the checksum of its head does not fit")
            if not _LEAST + headers <= total or headers > _MAX_HEADER_BYTES:
                raise APIResponseError("a frame of the event stream is damaged: its lengths contradict each other")
            if total > self._limit:
                raise APIResponseError(f"a frame of the stream is larger than {self._limit} bytes", retryable=False)
            end = at + total
            if end > size:
                self._need = total
                break
            if crc32(data[at : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise APIResponseError("a frame of the event stream is damaged: its checksum does not fit")
            begin = at + 12 + headers
            event = _event(data[at + 12 : begin], data[begin : end - 4])
            if event:
                events.append(event)
            at = end
        return data[at:] if at else data

    def end(self) -> list[bytes]:
        """Return nothing: an event is whole, or it is not there.

        Raises: APIResponseError: the stream was damaged, or it ended inside a frame.
        """
        if self._broken is not None:
            raise self._broken
        if self._size:
            raise APIResponseError("the stream ended inside an event")
        return []


def _event(headers: bytes, payload: bytes) -> bytes:
    """Return the JSON of one frame; nothing for a frame that only opens the stream."""
    kind, name, message = _headers(headers)
    if kind == "event":
        if name == "chunk":
            return _chunk(payload)
        return b"" if name == "initial-response" else b'{"%s":%s}' % (name.encode(), payload or b"{}")
    exception: dict[str, Any] = {"type": name}
    try:
        said = read(payload) if payload else {"message": message}
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {"message": payload.decode("utf-8", "replace")}
    if isinstance(said, dict):
        exception |= said
    return _encode({"exception": exception})


def _chunk(payload: bytes) -> bytes:
    """Return the JSON inside a `chunk` of InvokeModel."""
    try:
        return b64decode(_decode(payload)["bytes"], validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, NotBase64) as exc:
        raise APIResponseError("a chunk of the event stream holds no base64") from exc


@lru_cache(maxsize=64)
def _headers(data: bytes) -> tuple[str, str, str]:
    """Return what the headers of a frame say: the kind of message, its type, and an error's words."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            begin = at + 1
            at = begin + data[at]
            name, kind = data[begin:at].decode(), data[at]
            at += 1
            if kind in {6, 7}:
                size = int.from_bytes(data[at : at + 2], "big")
                at += 2
            else:
                size = _FIXED[kind]
            if kind == 7:
                found[name] = data[at : at + size].decode()
            at += size
    except (IndexError, KeyError, UnicodeDecodeError) as exc:
        raise APIResponseError("a frame of the event stream is damaged: its headers cannot be read") from exc
    if at != len(data):
        raise APIResponseError("a frame of the event stream is damaged: its headers are cut short")
    kind_of_message = found.get(":message-type", "event")
    member = {"event": ":event-type", "exception": ":exception-type"}.get(kind_of_message, ":error-code")
    event = found.get(member, "")
    if kind_of_message == "event" and not _NAME.fullmatch(event):
        raise APIResponseError(f"a frame of the event stream names no type: {event!r}")
    return kind_of_message, event, found.get(":error-message", "")


def encode_frame(event_type: str, payload: Mapping[str, Any] | bytes) -> bytes:
    """Return an event as a frame, ready to be sent. `payload` is JSON, encoded or not."""
    headers = ((":event-type", event_type), (":content-type", "application/json"), (":message-type", "event"))
    return _frame(headers, payload)


def encode_exception(exception_type: str, payload: Mapping[str, Any] | bytes) -> bytes:
    """Return a modelled failure (`throttlingException`, …) as a frame, ready to be sent."""
    headers = (
        (":exception-type", exception_type),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    )
    return _frame(headers, payload)


def _frame(headers: tuple[tuple[str, str], ...], payload: Mapping[str, Any] | bytes) -> bytes:
    if not isinstance(payload, bytes):
        payload = _encode(payload)
    named = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2, "big") + value.encode()
        for name, value in headers
    )
    lengths = struct.pack(">II", len(named) + len(payload) + _LEAST, len(named))
    frame = b"".join((lengths, crc32(lengths).to_bytes(4, "big"), named, payload))
    return frame + crc32(frame).to_bytes(4, "big")
