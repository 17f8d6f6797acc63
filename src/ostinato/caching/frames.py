"""What a leader tells the processes that follow it, as bytes: one letter, and what belongs to it."""

from __future__ import annotations

from typing import Any

import msgspec

from ostinato import errors
from ostinato.errors import APIError, OstinatoError

EVENT, WHOLE, DONE, FAILED, CUT = b"e", b"b", b"d", b"x", b"o"
"""An event; a whole body, with the headers that belong to it; the end of the events; the error of all; more than
the store may hold."""

_encode = msgspec.msgpack.Encoder().encode


class Whole(msgspec.Struct, frozen=True, array_like=True):
    """An answer that came in one piece."""

    body: bytes
    headers: dict[str, str] | None


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """An error as another process raises it again."""

    kind: str
    message: str
    members: msgspec.Raw


_MEMBERS = ("status_code", "code", "request_id", "retry_after", "provider", "retryable", "body")
_whole_of = msgspec.msgpack.Decoder(Whole).decode
_members_of = msgspec.msgpack.Decoder(dict[str, Any]).decode
_failure_of = msgspec.msgpack.Decoder(Failure).decode


def whole_frame(body: bytes, headers: dict[str, str] | None) -> bytes:
    """Return the frame of an answer that came in one piece."""
    return WHOLE + _encode(Whole(body, headers))


def failed_frame(error: OstinatoError) -> bytes:
    """Return the frame of an error that is everybody's."""
    members = {name: getattr(error, name, None) for name in _MEMBERS}
    try:
        told = _encode(members)
    except (TypeError, ValueError, OverflowError):
        told = _encode({**members, "body": None})  # it is no JSON
    return FAILED + _encode(Failure(type(error).__name__, str(error), msgspec.Raw(told)))


def whole_in(frame: bytes) -> Whole:
    """Return the answer in a frame.

    Raises: msgspec.DecodeError: there is none.
    """
    return _whole_of(memoryview(frame)[1:])


def error_in(frame: bytes) -> OstinatoError:
    """Return the error in a frame; its kind is one of ours whatever the frame says.

    Raises: msgspec.DecodeError: there is none.
    """
    failure = _failure_of(memoryview(frame)[1:])
    kind = getattr(errors, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, OstinatoError)):
        kind = APIError
    members = _members_of(failure.members)
    return kind(failure.message, **{name: members.get(name) for name in _MEMBERS})
