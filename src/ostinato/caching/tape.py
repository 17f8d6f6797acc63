"""The events of one stream, in order, and the body they fold to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ostinato.errors import APIResponseError
from ostinato.wire.contract import MISSHAPEN, misshapen
from ostinato.wire.mending import Mender

if TYPE_CHECKING:
    from ostinato.errors import APIError
    from ostinato.wire.contract import Cuts, Event, Fold, Json, Wire

MAX_STREAM_BYTES = 64 << 20
"""A stream longer than this is an error: a vendor that never stops must not fill the memory."""

_decode = msgspec.json.Decoder().decode


class Tape:
    """What one leader brought so far. Another leader's answer is another tape."""

    __slots__ = ("_fold", "_fresh", "_mender", "_size", "_wire", "log")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.log: list[bytes] = []
        """The events as they came."""
        self._fresh: dict[int, Event] = {}
        self._size = 0
        self._fold: Fold | None = None
        self._mender: Mender | None = None

    def take(self, raw: bytes) -> APIError | None:
        """Take one event, or return the error that it carries.

        Raises: APIResponseError: it is none of this wire, or the stream never ends.
        """
        self._size += len(raw)
        if self._size > MAX_STREAM_BYTES:
            raise APIResponseError(f"the stream is larger than {MAX_STREAM_BYTES} bytes", retryable=False)
        try:
            try:
                event = _decode(raw)
            except msgspec.DecodeError:
                raw = self._mended(raw)
                event = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise APIResponseError(f"an event of the stream is no JSON: {exc}") from exc
        if type(event) is not dict:
            raise APIResponseError(f"an event of the stream is no JSON object but a {type(event).__name__}")
        try:
            error = self._wire.event_error(event)
            if error is not None:
                return error
            if self._fold is None:
                self._fold = self._wire.fold()
            self._fold.feed(event)
        except MISSHAPEN as exc:
            raise misshapen(exc) from exc
        self._fresh[len(self.log)] = event
        self.log.append(raw)
        return None

    def _mended(self, raw: bytes) -> bytes:
        self._mender = self._mender or Mender(streams=True)
        return self._mender.mended(raw)

    def event(self, index: int) -> Event:
        """Return the event at `index`, decoded afresh: the caller may keep and change it."""
        fresh = self._fresh.pop(index, None)
        return _decode(self.log[index]) if fresh is None else fresh

    @property
    def whole(self) -> tuple[Json, Cuts] | None:
        """The body that the events fold to, and how it was cut; None while the answer is not complete, or is none."""
        if self._fold is None or not self._fold.complete:
            return None
        try:
            return self._fold.body(), self._fold.cuts()
        except (APIResponseError, *MISSHAPEN):
            return None
