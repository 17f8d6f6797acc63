"""The connection on which a Redis says that there are news of the live streams that this process follows."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from ostinato.caching.stores.redis_line import UNFINISHED, Line, LineError, pack
from ostinato.caching.stores.redis_node import PING
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_servers import Servers
    from ostinato.caching.stores.redis_settings import Settings

ANSWER_S = 2.0
"""How long the server may take to take note of a subscription."""
DEAF_S = 0.01
"""How often to look for news where the server lets nobody subscribe."""
UNNUDGED_S = 0.02
"""How often to look where a waiting thread cannot be nudged: two threads may not use one TLS connection."""


class Ear:
    """One connection of its own, beside the pool, while there is something to hear. One thread waits on it."""

    def __init__(self, servers: Servers, settings: Settings) -> None:
        self._servers = servers
        self._settings = settings
        self._line: Line | None = None
        self._heard_of: set[bytes] = set()
        self._nudged = False
        self._deaf = False
        self._pid = os.getpid()

    def wait(self, channels: Mapping[bytes, bytes], seconds: float) -> Collection[bytes] | None:
        """Return what the channels stand for on which something was said, None for all; after `seconds` nothing.

        Without channels, hang up.

        Raises: StoreError: the connection cannot be opened, or broke.
        """
        if not channels:
            self.close()
            return ()
        line: Line | None = None
        try:
            line, new = self._listening(channels)
            if new or self._nudged:
                # Something may have been said before the server knew that somebody listens.
                self._nudged = False
                return None
            if self._deaf:
                seconds = DEAF_S
            elif self._settings.tls:
                seconds = min(seconds, UNNUDGED_S)
            said = line.next_push(monotonic() + seconds)
            rung = set()
            while said is not UNFINISHED:
                if isinstance(said, list) and said[0] == b"message" and said[1] in channels:
                    rung.add(channels[said[1]])
                said = line.said_already()
            return None if self._deaf else rung
        except LineError as exc:
            hung_up = line is not None and line is not self._line
            self.close()
            if hung_up:
                return None  # the store was closed, from beside this thread
            raise StoreError(f"Redis at {self._settings.where}: {exc}", retryable=True) from exc

    def interrupt(self) -> None:
        """Have `wait` end at once. The waiting thread hears a reply to this PING."""
        self._nudged = True
        line = self._line
        if line is not None and not self._settings.tls and self._pid == os.getpid():
            line.nudge(PING)

    def close(self) -> None:
        """Hang up."""
        line, self._line = self._line, None
        self._heard_of = set()
        if line is not None and self._pid == os.getpid():
            line.close()

    def _listening(self, channels: Mapping[bytes, bytes]) -> tuple[Line, bool]:
        """Return the connection, and whether it has only now begun to listen to one of the channels."""
        if self._pid != os.getpid():
            # The socket is the parent's.
            self._line, self._heard_of, self._pid = None, set(), os.getpid()
        line = self._line
        if line is None:
            node = self._servers.node_of(next(iter(channels)))
            line = self._line = Line(node.dial.connect(), self._settings.max_value_bytes)
        new = channels.keys() - self._heard_of
        if new and not self._deaf:
            line.send(pack("SUBSCRIBE", *new), monotonic() + ANSWER_S)
            for _ in new:
                if not _subscribed(line.next_push(monotonic() + ANSWER_S)):
                    self._deaf = True
                    break
        old = self._heard_of - channels.keys()
        if old and not self._deaf:
            line.send(pack("UNSUBSCRIBE", *old), monotonic() + ANSWER_S)
        self._heard_of = set(channels)
        return line, bool(new)


def _subscribed(reply: Any) -> bool:
    """Return whether the server let us subscribe; messages of other channels may come before it says so."""
    if reply is UNFINISHED:
        raise LineError("no answer to a subscription in time")
    return isinstance(reply, list)
