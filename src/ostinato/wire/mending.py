"""The JSON of answers that a strict reader refuses and a vendor's own client takes, mended where it comes in.

Half a character becomes U+FFFD, a number beyond the doubles the last of them, NaN null. Everything behind reads,
stores and sends on the mended bytes, so that a hit is what the miss was.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?(?:Infinity|NaN|\d[\d.eE+-]*)', re.DOTALL)
_ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..")
_ENDS_CUT = re.compile(rb"\\u[dD][89abAB]..")
_BEGINS_CUT = re.compile(rb'"\\u[dD][c-fC-F]')
_HALF = 6
"""Bytes of an escape that stands for half a character."""
_LAST = b"1.7976931348623157e308"


def read(text: bytes | str) -> Any:
    """Return what JSON says, mended if it must be.

    Raises: msgspec.DecodeError, UnicodeError, RecursionError: it is none either way.
    """
    try:
        return _decode(text)
    except msgspec.DecodeError:
        return _decode(Mender().mended(text.encode() if isinstance(text, str) else text))


class Mender:
    """Mends one text of JSON, or the events of one stream: what cut a character in two gets it whole behind the cut."""

    __slots__ = ("_half", "_streams")

    def __init__(self, *, streams: bool = False) -> None:
        self._streams = streams
        self._half = b""
        """The first half of a character that a text of an event ended with."""

    def mended(self, raw: bytes) -> bytes:
        """Return JSON mended. What is none stays none."""
        return _TOKEN.sub(self._token, raw)

    def _token(self, found: re.Match[bytes]) -> bytes:
        token = found[0]
        if token[:1] != b'"':
            return _number(token)
        if b"\\u" not in token:
            return token
        if self._half and _BEGINS_CUT.match(token):
            token, self._half = b'"' + self._half + token[1:], b""
        if self._streams and _ENDS_CUT.fullmatch(token, max(1, len(token) - 1 - _HALF), len(token) - 1):
            before, half = token[: -1 - _HALF], token[-1 - _HALF : -1]
            if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:  # else it is a backslash, and letters
                self._half, token = half, before + b'"'
        return _ESCAPE.sub(_escape, token)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(found[0]) == _HALF else found[0]


def _number(text: bytes) -> bytes:
    if text.endswith(b"NaN"):
        return b"null"
    try:
        beyond = abs(float(text)) == float("inf")
    except ValueError:
        return text
    if not beyond:
        return text
    return b"-" + _LAST if text.startswith(b"-") else _LAST
