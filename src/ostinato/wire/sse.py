"""Server-sent events: bytes in any slices in, events out, and the way back.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html (read 2026-11-22), with two differences
that the vendors' streams ask for: an event without data is no event, and the last one needs no blank line
behind it as long as its data is whole.
"""

from __future__ import annotations

import msgspec

from ostinato.errors import APIResponseError
from ostinato.wire.mending import read

ServerEvent = tuple[str | None, bytes]
"""The name of an event, None where it has none, and its data."""

MAX_EVENT_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
"""What a server may write before its text, as a mark of UTF-8."""


class Decoder:
    """Cuts one stream into events."""

    __slots__ = ("_after_cr", "_begun", "_ends_line", "_limit", "_pending", "_size")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._pending: list[bytes] = []
        self._size = 0
        self._ends_line = False
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Return the events that `data` completes, in order.

        Raises: APIResponseError: an event is larger than `max_event_bytes`.
        """
        if not self._begun:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_plain_newlines(data)
        if not data:
            return []
        cut = data.rfind(b"\n\n")
        whole = cut >= 0 or (self._ends_line and data[0] == 10)
        if not whole:
            self._pending.append(data)
            self._size += len(data)
            self._ends_line = data[-1] == 10
            self._check(self._size)
            return []
        if self._pending:
            data = b"".join((*self._pending, data))
            cut = data.rfind(b"\n\n")
        head, rest = data[:cut], data[cut + 2 :]
        self._pending = [rest] if rest else []
        self._size = len(rest)
        # Behind a blank line the next newline ends nothing, so only a rest can end a line.
        self._ends_line = rest[-1:] == b"\n"
        if len(data) > self._limit:
            self._check(max(map(len, (*head.split(b"\n\n"), rest))))
        return _events(head)

    def end(self) -> list[ServerEvent]:
        """Return the event that came whole without its blank line, if there is one.

        Raises: APIResponseError: the stream ended inside an event.
        """
        rest = b"".join(self._pending)
        self._pending = []
        if not any(line and line[0] != 58 for line in rest.split(b"\n")):
            return []
        events = _events(rest.removesuffix(b"\n"))
        if events and _is_whole(events[0][1]):
            return events
        raise APIResponseError("the stream ended inside an event")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise APIResponseError(f"an event of the stream is larger than {self._limit} bytes", retryable=False)

    def _without_bom(self, data: bytes) -> bytes:
        """Return `data` behind the byte order mark; nothing while that is undecided."""
        head = b"".join(self._pending) + data
        if len(head) < len(BOM) and BOM.startswith(head):
            self._pending = [head]
            return b""
        self._pending = []
        self._begun = True
        return head.removeprefix(BOM)

    def _with_plain_newlines(self, data: bytes) -> bytes:
        """Return `data` with each CRLF and CR as one LF, also where a CRLF was cut in two."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if data:
            self._after_cr = data[-1] == 13
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(text: bytes) -> list[ServerEvent]:
    """Return the events of `text`, which blank lines divide."""
    if text.startswith(b"data: "):
        lines = text[6:].split(b"\n\ndata: ")
        if text.count(b"\n") == 2 * len(lines) - 2 and b"" not in lines:
            return [(None, line) for line in lines]
    return [event for block in text.split(b"\n\n") if (event := _event(block))]


def _event(block: bytes) -> ServerEvent | None:
    """Return the event of a block of several lines, or None when it has no data."""
    name: str | None = None
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace") or None
    data = b"\n".join(lines)
    return (name, data) if data else None


def _is_whole(data: bytes) -> bool:
    if data == b"[DONE]":
        return True
    try:
        read(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def encode_event(data: bytes, name: str | None = None) -> bytes:
    """Return `data` as one event, ready to be sent. `name` is a single line."""
    head = f"event: {name}\n".encode() if name else b""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    return b"%sdata: %s\n\n" % (head, data)
