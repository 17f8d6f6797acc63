"""Writing many entries to their servers at once."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import hiredis

from ostinato.caching.stores.behind import Batch, PartlySentError
from ostinato.caching.stores.front import Pending
from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import refusal
from ostinato.errors import StoreError, warn

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_node import Node
    from ostinato.caching.stores.redis_servers import Servers
    from ostinato.caching.stores.redis_settings import Settings

SLOWEST_BYTES_S = 4 * 2**20
"""Bytes a second that a connection must carry: a batch, for which nobody waits, gets that much more time."""
MOST_S = 2**42
"""A time to live beyond this is for ever: the server counts milliseconds since 1970 in 63 bits."""


class Writes:
    """Sends batches of entries. It never refers to the store, so that the store can be collected."""

    def __init__(self, servers: Servers, settings: Settings, clock: Callable[[], float]) -> None:
        self.refused = 0
        """Entries that a server would not take: it is full, or read-only."""
        self.oversized = 0
        """Values that were not kept, being larger than `max_value_bytes`."""
        self._servers = servers
        self._timeout_s = settings.timeout_s
        self._prefix = settings.prefix
        self._clock = clock

    def refuse(self, size_bytes: int) -> None:
        """Count a value that is too large to be kept, and warn of the first."""
        self.oversized += 1
        if self.oversized == 1:
            text = (
                "an answer of %d bytes is larger than max_value_bytes, and is not kept; further ones are counted alone"
            )
            warn(text, size_bytes)

    def send(self, batch: Batch) -> None:
        """Write a batch, in one round trip for each server.

        Raises:
            PartlySentError: not all of it was taken.
        """
        parts: dict[Node, Batch] = {}
        for key, entry in batch:
            parts.setdefault(self._servers.node_of(self._prefix + key), []).append((key, entry))
        later: Batch = []
        refused: Batch = []
        problem: StoreError | None = None
        for node, part in parts.items():
            try:
                replies = self._exchange(node, part)
            except StoreError as exc:
                later += part
                problem = exc
                continue
            for item, reply in zip(part, replies, strict=True):
                error = self._error(item, reply)
                if error is not None:
                    problem = error
                    (later if error.retryable else refused).append(item)
        self.refused += len(refused)
        if problem is not None:
            raise PartlySentError(problem, batch, later=later, refused=refused)

    def _exchange(self, node: Node, part: Batch) -> list[object]:
        now = self._clock()
        packed = b"".join(self._command(key, entry, now) for key, entry in part)
        return node.ask_all(packed, len(part), self._deadline(packed))

    def _error(self, item: tuple[bytes, Pending], reply: object) -> StoreError | None:
        """Return why an entry was not taken. One that belongs on another server is sent there."""
        if self._servers.redirected(reply):
            key, entry = item
            packed = self._command(key, entry, self._clock())
            try:
                reply = self._servers.ask(self._prefix + key, packed, self._deadline(packed))
            except StoreError as exc:
                return exc
        return refusal(reply) if isinstance(reply, hiredis.ReplyError) else None

    def _deadline(self, packed: bytes) -> float:
        return monotonic() + self._timeout_s + len(packed) / SLOWEST_BYTES_S

    def _command(self, key: bytes, entry: Pending, now: float) -> bytes:
        value, expires_at = entry
        name = self._prefix + key
        if expires_at is None or expires_at - now > MOST_S:
            return pack("SET", name, value)
        left_ms = int((expires_at - now) * 1000)
        if left_ms < 1:
            # Over before it was written; what it replaced is over as well.
            return pack("UNLINK", name)
        return pack("SET", name, value, "PX", left_ms)
