"""Entries as lines of JSON, to be kept elsewhere and brought back.

    {"v":1,"sha256":"…","entry":{…}}      an entry, and the digest of what stands behind "entry"
    {"v":1,"sha256":"…","sealed":"…"}     the same, encrypted with the cache's first key
    {"v":1,"end":1234}                    the last line: how many there are

A line carries the entry's key, so it comes back under the namespace and seed that it had. It carries the
generations of its tags: what was invalidated since stays so, and what was shredded, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ostinato.caching.record import Entry
from ostinato.caching.register import run
from ostinato.caching.seal import outlives_shredding

if TYPE_CHECKING:
    from ostinato.caching.shelf import Shelf

VERSION = 1
LONGEST_LINE = 256 << 20
KEY_BYTES = 40

Verdict = Literal["imported", "kept", "expired", "invalidated", "shredded", "locked", "damaged"]
VERDICTS: dict[Verdict, str] = {
    "imported": "stored",
    "kept": "not stored: the cache has the same entry, or a newer one",
    "expired": "not stored: its time is over",
    "invalidated": "not stored: one of its tags was invalidated since",
    "shredded": "not stored: its namespace was shredded since",
    "locked": "not stored: it is encrypted, and not with a key given here",
    "damaged": "not stored: its checksum is wrong, or it is no entry",
}


class _Line(msgspec.Struct):
    v: int
    sha256: str = ""
    entry: msgspec.Raw = msgspec.Raw()
    sealed: bytes | None = None
    end: int | None = None


class _Row(msgspec.Struct, omit_defaults=True):
    """An entry, readable."""

    key: str
    kind: str
    wire: str
    stored_at: float
    body: str
    """The vendor's body, as it came."""
    model: str = ""
    expires_at: float | None = None
    cuts: str | None = None
    tags: dict[str, str] = {}
    parts: dict[str, bytes] = {}
    meta: dict[str, Any] = {}


class End(msgspec.Struct, frozen=True):
    """The last line."""

    count: int


_encode = msgspec.json.Encoder().encode
_line = msgspec.json.Decoder(_Line).decode
_row = msgspec.json.Decoder(_Row).decode
_json = msgspec.json.Decoder().decode


def export_lines(shelf: Shelf, scope: bytes, *, plain: bool = False) -> Iterator[bytes]:
    """Yield a line for each entry of `scope` that would answer, then the last line.

    Those of an encrypted cache are encrypted, unless `plain`.

    Raises: StoreError: the store could not go on.
    """
    count = 0
    for store_key, _, entry in shelf.walk(scope):
        if entry is not None and shelf.stands(store_key, entry):
            count += 1
            yield _written(shelf, _encode(_row_of(store_key, entry)), plain=plain)
    yield b'{"v":%d,"end":%d}\n' % (VERSION, count)


def _written(shelf: Shelf, row: bytes, *, plain: bool) -> bytes:
    name, content = b"entry", row
    if shelf.seal is not None and not plain:
        name, content = b"sealed", _encode(shelf.seal.lock(row))
    return b'{"v":%d,"sha256":"%s","%s":%s}\n' % (VERSION, sha256(content).hexdigest().encode(), name, content)


def import_line(shelf: Shelf, line: bytes) -> Verdict | End:
    """Store the entry in `line`, unless something speaks against it. Return what became of it.

    Raises: StoreError: the store could not.
    """
    try:
        read = _line(line)
        if read.v != VERSION:
            return "damaged"
        if read.end is not None:
            return End(read.end)
        row = bytes(read.entry)
        if sha256(_encode(read.sealed) if read.sealed is not None else row).hexdigest() != read.sha256:
            return "damaged"
        if read.sealed is not None:
            opened = None if shelf.seal is None else shelf.seal.unlock(read.sealed)
            if opened is None:
                return "locked"
            row = opened
        store_key, entry = _entry_of(_row(row))
    except (ValueError, RecursionError):
        return "damaged"
    return _stored(shelf, store_key, entry)


def _stored(shelf: Shelf, store_key: bytes, entry: Entry) -> Verdict:
    ttl_s = None if entry.expires_at is None else entry.expires_at - shelf.clock()
    if ttl_s is not None and ttl_s <= 0:
        return "expired"
    if entry.tags is not None and not run(shelf.store, shelf.tags.adopt(store_key[:8], entry.tags)):
        return "invalidated"
    if not run(shelf.store, outlives_shredding(store_key[:8], entry.stored_at, shelf.register)):
        return "shredded"
    blob = shelf.store.get(store_key)
    there = None if blob is None else run(shelf.store, shelf.entry_in(blob, store_key))
    if there is not None and there.stored_at >= entry.stored_at and shelf.stands(store_key, there):
        return "kept"
    shelf.store.set(store_key, run(shelf.store, shelf.blob_of(store_key, entry)), ttl_s)
    return "imported"


def _row_of(store_key: bytes, entry: Entry) -> _Row:
    meta = dict(entry.meta)
    parts = meta.pop("parts", {})
    return _Row(
        key=store_key.hex(),
        kind=entry.kind,
        wire=entry.wire,
        stored_at=entry.stored_at,
        body=entry.body.decode(),
        model=entry.model,
        expires_at=entry.expires_at,
        cuts=None if entry.cuts is None else entry.cuts.decode(),
        tags={name: generation.hex() for name, generation in (entry.tags or {}).items()},
        parts=parts,
        meta=meta,
    )


def _entry_of(row: _Row) -> tuple[bytes, Entry]:
    """Return what `row` was made of.

    Raises: ValueError: it was made of no entry.
    """
    store_key = bytes.fromhex(row.key)
    if len(store_key) != KEY_BYTES:
        raise ValueError(row.key)
    for text in (row.body, row.cuts):
        if text is not None:
            _json(text)
    return store_key, Entry(
        key=store_key[8:],
        kind=row.kind,
        wire=row.wire,
        stored_at=row.stored_at,
        body=row.body.encode(),
        cuts=None if row.cuts is None else row.cuts.encode(),
        model=row.model,
        meta={**row.meta, "parts": row.parts} if row.parts else row.meta,
        tags={name: bytes.fromhex(generation) for name, generation in row.tags.items()} or None,
        expires_at=row.expires_at,
    )
