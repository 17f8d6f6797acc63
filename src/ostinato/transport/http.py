"""Threads to the providers: requests over pooled connections, blocking the caller."""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock, RLock
from typing import TYPE_CHECKING, cast

from ostinato.transport.encoding import Decoder, decoder_for
from ostinato.transport.exchange import Answered, as_headers, body_limit
from ostinato.transport.failure import closed, expected, failure, too_long
from ostinato.transport.pool import hang_up, open_transport, proxy_for
from ostinato.transport.request import Target, as_request, parse_target

if TYPE_CHECKING:
    import httpx2

    from ostinato.transport.exchange import Outgoing, Timeouts


class Transport:
    """Sends requests over one pool of connections, made at first use and anew after a fork.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        # By process: a child must neither use nor close what its parent has open.
        self._pools: dict[int, _Pool] = {}

    def send(self, out: Outgoing) -> Answered:
        """Return the whole answer, whatever its status. Redirects are not followed.

        Raises:
            ConfigurationError: a URL or header that cannot be sent.
            Timeout: the network was silent for too long.
            APIConnectionError: no answer came, or not all of it.
            APIResponseError: the body does not decode, or is longer than `body_limit` allows.
        """
        opened = self.open(out)
        return Answered(opened.status, opened.headers, opened.read())

    def open(self, out: Outgoing) -> Opened:
        """Return the answer as soon as its headers are there, the body still to be read. Close it.

        Raises: as `send`, for what has happened so far.
        """
        target = parse_target(out.url)
        request = as_request(out, target)
        pool = self._pool()
        pool.sweep()
        try:
            response = pool.send(request, target)
        except expected() as exc:
            error = failure(exc, target.host, out.timeouts)
        else:
            return Opened(response, target.host, out.timeouts, pool)
        raise error

    def close(self) -> None:
        """Close every connection of this process; who still reads gets APIConnectionError.

        A later request opens new ones.
        """
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def _pool(self) -> _Pool:
        pid = os.getpid()
        pool = self._pools.get(pid)
        return pool if pool is not None else self._pools.setdefault(pid, _Pool())


class Opened:
    """An answer whose body is still on its way. Iterate over it, or `read` it; then it closes itself.

    Slices come as the network delivers them, content decoded, and never wait for more. Threads may take
    turns in reading. One that is dropped unread hangs up.
    """

    __slots__ = (
        "__weakref__",
        "_busy",
        "_closed",
        "_decoder",
        "_ending",
        "_host",
        "_parts",
        "_pid",
        "_pool",
        "_released",
        "_response",
        "_timeouts",
        "headers",
        "status",
    )

    def __init__(self, response: httpx2.Response, host: str, timeouts: Timeouts, pool: _Pool) -> None:
        self._closed = False
        self._response = response
        self._pool = pool
        self._pid = os.getpid()
        self._host = host
        self._timeouts = timeouts
        self._busy = Lock()
        self._ending = RLock()
        self.status = response.status_code
        self.headers = as_headers(response.headers.raw)
        # The blocking transport makes no other kind of stream.
        self._parts = iter(cast("Iterable[bytes]", response.stream))
        self._decoder = decoder_for(self.headers.get("content-encoding"), host)
        # Last: what Ctrl-C left half made has nothing to hang up.
        self._released = False
        pool.live[id(self)] = weakref.ref(self)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        error = None
        with self._busy:
            if self._released:
                raise closed(self._host) if self._closed else StopIteration
            try:
                part = next(self._parts) if self._decoder is None else self._decoded(self._decoder)
            except StopIteration:
                self._release()
                raise
            except expected() as exc:
                self._release()
                error = closed(self._host) if self._closed else failure(exc, self._host, self._timeouts)
            except BaseException:
                self._release()
                raise
            else:
                if not self._closed:
                    return part
                self._release()
        raise error or closed(self._host)

    def _decoded(self, decoder: Decoder) -> bytes:
        for part in self._parts:
            if plain := decoder.feed(part):
                return plain
        decoder.end()
        raise StopIteration

    def read(self, limit: int | None = None) -> bytes:
        """Return the rest of the body, of at most `limit` bytes (`body_limit` of the status when None).

        Raises: APIResponseError: it is longer; the answer is closed.
        """
        limit = body_limit(self.status) if limit is None else limit
        parts = []
        size = 0
        for part in self:
            size += len(part)
            if size > limit:
                self.close()
                raise too_long(self._host, limit, self.status)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Give the connection back, or hang up if the body is not all read. May be called at any time, by anyone.

        A thread that waits for a slice wakes with APIConnectionError.
        """
        with self._ending:
            if self._closed or self._released:
                return
            self._closed = True
            if self._pid != os.getpid():
                self._released = True
            elif self._busy.acquire(blocking=False):
                try:
                    self._release()
                finally:
                    self._busy.release()
            else:
                # The reader owns the connection until it wakes, and releases it then.
                hang_up(self._response.extensions["network_stream"].get_extra_info("socket"))

    def _release(self) -> None:
        """Give the connection back to the pool. The caller holds `_busy`."""
        with self._ending:
            if not self._released:
                self._released = True
                self._pool.live.pop(id(self), None)
                self._response.close()

    def __del__(self) -> None:
        if getattr(self, "_released", True) or self._pid != os.getpid() or sys.is_finalizing():
            return
        # The collector may run inside the pool, which must not be entered again: hang up, and leave the
        # bookkeeping to the next request.
        self._pool.live.pop(id(self), None)
        self._pool.dropped.append(self._response)
        hang_up(self._response.extensions["network_stream"].get_extra_info("socket"))


class _Pool:
    """The connections of one process."""

    def __init__(self) -> None:
        self.live: dict[int, weakref.ref[Opened]] = {}
        """Answers that are being read, by identity."""
        self.dropped: deque[httpx2.Response] = deque()
        """Answers that were dropped unread and still count as in use."""
        self._routes: dict[str, httpx2.HTTPTransport] = {}
        """By origin: the way to it is looked for once."""
        self._transports: dict[tuple[str, str | None], httpx2.HTTPTransport] = {}
        """By scheme and proxy."""

    def send(self, request: httpx2.Request, target: Target) -> httpx2.Response:
        """Return the answer to `request`, its body not yet read."""
        route = self._routes.get(target.origin)
        if route is None:
            route = self._routes[target.origin] = self._route(target)
        return route.handle_request(request)

    def _route(self, target: Target) -> httpx2.HTTPTransport:
        import httpx2

        way = target.url.scheme, proxy_for(target)
        transport = self._transports.get(way)
        if transport is None:
            transport = self._transports.setdefault(way, open_transport(httpx2.HTTPTransport, *way))
        return transport

    def sweep(self) -> None:
        """Give back what was dropped."""
        while self.dropped:
            try:
                response = self.dropped.popleft()
            except IndexError:
                return
            response.close()

    def close(self) -> None:
        """Wake the readers and close all connections."""
        for reference in list(self.live.values()):
            opened = reference()
            if opened is not None:
                opened.close()
        self.sweep()
        for transport in self._transports.values():
            transport.close()
