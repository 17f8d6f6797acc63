"""An entry as bytes: a form, a checksum, and what the vendor said.

    1 byte form │ 4 bytes CRC-32 of the rest │ msgpack array of `Entry`, in form 2 compressed

The body is kept as the bytes that the vendor sent (or the fold of its stream), so a translation that is
mended later mends yesterday's entries. The key stands inside, so an entry found under another is no answer.
Another form is that of a later version; what is encrypted is in the form of `seal`.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec

from ostinato.caching.squeeze import try_expand, try_squeeze

PLAIN, SQUEEZED = b"\x01", b"\x02"
_FORMS = (PLAIN, SQUEEZED)


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
    """What only some entries have: `headers` of the answer that count, `until` when it is kept, `request` in record
    mode."""
    tags: dict[str, bytes] | None = None
    """The generation of each of its tags from before the answer was asked for."""
    expires_at: float | None = None
    """UTC seconds, for whoever lists or moves it: the store itself lets it go."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def pack(entry: Entry, *, squeeze: bool = False) -> bytes:
    """Return `entry` as bytes; with `squeeze` compressed, where that pays."""
    form, payload = PLAIN, _encode(entry)
    squeezed = try_squeeze(payload) if squeeze else None
    if squeezed is not None:
        form, payload = SQUEEZED, squeezed
    return b"".join((form, crc32(payload).to_bytes(4, "big"), payload))


def unpack_own(blob: bytes) -> Entry | None:
    """Return the entry in `blob`, which this process packed and kept, or None when it is of another form."""
    try:
        return _decode(memoryview(blob)[5:])
    except (ValueError, RecursionError):
        return None


def unpack(blob: bytes, key: bytes) -> Entry | None:
    """Return the entry in `blob`, or None when it is broken, of a form unknown here, or not that of `key`."""
    form = blob[:1]
    payload: memoryview | bytes | None = memoryview(blob)[5:]
    if form not in _FORMS or int.from_bytes(blob[1:5], "big") != crc32(memoryview(blob)[5:]):
        return None
    if form == SQUEEZED:
        payload = try_expand(blob[5:])
    try:
        entry = _decode(payload) if payload is not None else None
    except (ValueError, RecursionError):
        return None
    return entry if entry is not None and entry.key == key else None
