"""A live stream as Cosmos DB keeps it: an item for each report, with pieces beside it where the report is long."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ostinato.caching.stores.cosmos_items import Item

if TYPE_CHECKING:
    from ostinato.caching.stores.cosmos_container import Container

PIECE_BYTES = 2**20
"""Of an item, and of what is written in one transaction, which may have 2 MB of JSON.

Source: https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch (read 2026-11-24)."""
MOST_PIECES = 64

_encode = msgspec.msgpack.Encoder().encode
_frames_of = msgspec.msgpack.Decoder(list[bytes]).decode


def write(container: Container, item: Item, frames: Sequence[bytes], *, beside: int) -> Item:
    """Return `item` with `frames` in it, for a transaction that writes `beside` bytes more.

    Where that is too much the frames are written now, in pieces: nobody looks for them before the item is there.
    """
    told = _encode(frames)
    if len(told) + beside <= PIECE_BYTES:
        return {**item, "data": _text(told)}
    starts = range(0, len(told), PIECE_BYTES)
    for number, start in enumerate(starts):
        data = _text(told[start : start + PIECE_BYTES])
        container.put({**item, "id": _piece(item["id"], number), "data": data})
    return {**item, "pieces": len(starts)}


def read(container: Container, name: str, partition: str) -> list[bytes]:
    """Return the frames of one report; none where it is missing or damaged."""
    item = container.item(name, partition)
    if item is None:
        return []
    try:
        numbers = range(min(item.get("pieces", 0), MOST_PIECES))
        pieces = [container.item(_piece(name, number), partition) or {} for number in numbers] or [item]
        return _frames_of(b"".join(base64.b64decode(piece["data"], validate=True) for piece in pieces))
    except (KeyError, TypeError, binascii.Error, msgspec.DecodeError):
        return []


def _piece(name: str, number: int) -> str:
    return f"{name}-piece-{number}"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
