"""Content codings, taken off slice by slice.

Only gzip is asked for, so only what zlib knows is read. The HTTP library's own decoders would close the
connection behind the reader's back, and they pass on undecoded what they have no package for.
"""

from __future__ import annotations

import zlib

from ostinato.errors import APIResponseError

_READABLE = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class Decoder:
    """Takes the coding off one body. What can be read of a slice is let through at once."""

    __slots__ = ("_coding", "_host", "_unzip")

    def __init__(self, coding: str, host: str) -> None:
        self._coding = coding
        self._host = host
        self._unzip: zlib._Decompress | None = None

    def feed(self, part: bytes) -> bytes:
        """Return what can be read after `part` came; it may be empty.

        Raises: APIResponseError: a coding that was not asked for, or not the one that was announced.
        """
        if self._coding not in _READABLE:
            raise APIResponseError(
                f"{self._host} answered in content-encoding {self._coding!r}; only gzip was asked for", retryable=False
            )
        pieces = []
        while part:
            if self._unzip is None or self._unzip.eof:
                self._unzip = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                pieces.append(self._unzip.decompress(part))
            except zlib.error as exc:
                raise APIResponseError(f"the answer of {self._host} is not encoded as it says: {exc}") from exc
            part = self._unzip.unused_data
        return b"".join(pieces)

    def end(self) -> None:
        """Check that the body was whole. An empty one is.

        Raises: APIResponseError: its coding broke off.
        """
        if self._unzip is not None and not self._unzip.eof:
            raise APIResponseError(f"the compressed answer of {self._host} broke off")


def decoder_for(coding: str | None, host: str) -> Decoder | None:
    """Return a decoder for the `content-encoding` of an answer, or None where it needs none."""
    if coding is None:
        return None
    named = coding.strip().lower()
    return None if named in {"", "identity"} else Decoder(named, host)
