"""An entry as bytes: a version, a checksum, and what the vendor said.

    1 byte version │ 4 bytes CRC-32 of the rest │ msgpack array of `Entry`

The body is kept as the bytes that the vendor sent (or the fold of its stream), so a translation that is
mended later mends yesterday's entries. The key stands inside, so an entry found under another is no answer.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec

VERSION = 1
_FIRST = bytes([VERSION])


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One stored answer."""

    key: bytes
    """The 32 bytes that the call was asked for with."""
    kind: str
    """`chat` or `embedding`; an entry of another kind is a miss."""
    wire: str
    """The name of the wire that reads `body`."""
    stored_at: float
    """UTC seconds."""
    body: bytes
    """The vendor's final body, JSON."""
    cuts: bytes | None = None
    """How its stream was cut, JSON; None when it came in one piece."""
    model: str = ""
    """The model that was asked for, as `provider/name`."""
    meta: dict[str, Any] = {}
    """What only some entries have: `headers` of the answer that count, `request` in record mode."""
    tags: dict[str, bytes] = {}
    """The generation of each of its tags from before the answer was asked for."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def pack(entry: Entry) -> bytes:
    """Return `entry` as bytes."""
    payload = _encode(entry)
    return b"".join((_FIRST, crc32(payload).to_bytes(4, "big"), payload))


def unpack_own(blob: bytes) -> Entry | None:
    """Return the entry in `blob`, which this process packed and kept, or None when it is sealed or no entry."""
    try:
        return _decode(memoryview(blob)[5:])
    except msgspec.DecodeError:
        return None


def unpack(blob: bytes, key: bytes) -> Entry | None:
    """Return the entry in `blob`, or None when it is broken, of another version, or not that of `key`."""
    payload = memoryview(blob)[5:]
    if blob[:1] != _FIRST or int.from_bytes(blob[1:5], "big") != crc32(payload):
        return None
    try:
        entry = _decode(payload)
    except msgspec.DecodeError:
        return None
    return entry if entry.key == key else None
