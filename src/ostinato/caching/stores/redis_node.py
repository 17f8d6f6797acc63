"""One server of a Redis: its pool of connections, for threads and for event loops, and its breaker."""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from ostinato.caching.stores.breaker import Breaker
from ostinato.caching.stores.redis_line import Line, LineError, pack, run_behind
from ostinato.caching.stores.redis_refusal import is_passing, refusal
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as AsyncConnection
    from redis.connection import AbstractConnection

    from ostinato.caching.stores.redis_loop import LoopLines
    from ostinato.caching.stores.redis_settings import Address, Settings

PING = pack("PING")
FAILURES = 3
"""How many in a row open the breaker."""
REST_S = 1.0
"""From one probe to the next, and so what a server that came back waits to be asked."""


class Dial:
    """Opens connections to one server with redis-py, whose keywords they are: TLS, credentials, sockets."""

    def __init__(self, settings: Settings, address: Address | None) -> None:
        self.settings = settings
        self._address = address

    @property
    def where(self) -> str:
        """The server's name in errors: never a credential."""
        return self.settings.where if self._address is None else f"{self._address[0]}:{self._address[1]}"

    @property
    def host(self) -> str:
        """Where the server was reached."""
        return (self._address or self.settings.addresses[0])[0]

    def locate(self) -> dict[str, Any]:
        """Return where to connect to, as keywords. Asks the sentinels where there are any.

        Raises: LineError: no sentinel knows.
        """
        settings = self.settings
        if settings.kind == "unix":
            return {"path": settings.path}
        host, port = self._address or settings.addresses[0]
        if settings.kind == "sentinel":
            host, port = self._ask_sentinels()
        return {"host": host, "port": port}

    def connect(self, *, protocol: int = 2) -> AbstractConnection:
        """Return a new connection, greeted and authenticated. Waits for the network.

        Raises: LineError: there is none.
        """
        import redis.connection as kinds

        place = self.locate()
        kind: Callable[..., Any] = kinds.Connection
        if "path" in place:
            kind = kinds.UnixDomainSocketConnection
        elif self.settings.tls:
            kind = kinds.SSLConnection
        connection: AbstractConnection | None = None
        try:
            connection = kind(**place, **self.settings.options, **_unnamed(), protocol=protocol)
            connection.connect()
        except BaseException as exc:
            if connection is not None:
                connection.disconnect()  # type: ignore[no-untyped-call]
            if isinstance(exc, Exception):  # a user's own credential provider may raise any
                raise LineError(_unopened(exc)) from exc
            raise
        return connection

    async def aconnect(self) -> AsyncConnection:
        """Return a new connection of the running event loop, greeted and authenticated.

        Raises: LineError: there is none.
        """
        import asyncio

        import redis.asyncio.connection as kinds

        place = self.locate() if self.settings.kind != "sentinel" else await asyncio.to_thread(self.locate)
        kind: Callable[..., Any] = kinds.Connection
        if "path" in place:
            kind = kinds.UnixDomainSocketConnection
        elif self.settings.tls:
            kind = kinds.SSLConnection
        connection: AsyncConnection | None = None
        try:
            connection = kind(**place, **self.settings.options, **_unnamed(), protocol=2)
            await connection.connect()
        except BaseException as exc:
            if connection is not None:
                await connection.disconnect(nowait=True)
            if isinstance(exc, Exception):  # a user's own credential provider may raise any
                raise LineError(_unopened(exc)) from exc
            raise
        return connection

    def _ask_sentinels(self) -> Address:
        from redis.sentinel import Sentinel

        settings = self.settings
        options = {"sentinel_kwargs": settings.sentinel_options, "force_master_ip": settings.force_master_ip}
        try:
            sentinel = Sentinel(settings.addresses, **options)  # type: ignore[no-untyped-call]
            try:
                host, port = sentinel.discover_master(settings.service_name)  # type: ignore[no-untyped-call]
            finally:
                for client in sentinel.sentinels:
                    client.close()
        except Exception as exc:  # a wrong keyword in sentinel_kwargs, for one
            raise LineError(f"no sentinel knows the master {settings.service_name!r}") from exc
        return str(host), int(port)


class Node:
    """One server. Every question has a deadline, on `time.monotonic`; connecting is within it.

    A connection is opened by a thread that outlives an impatient caller, so that a slow one is there for the
    next. Idle connections wait in a deque, the last used first.
    """

    def __init__(self, dial: Dial) -> None:
        self.dial = dial
        self.breaker = Breaker(failures=FAILURES, rest_s=REST_S)
        self.problem: str | None = None
        """Why the last question had no answer; None since one had."""
        self._limit_bytes = dial.settings.max_value_bytes
        self._most = dial.settings.max_connections
        self.failures = 0
        self.opened = 0
        self.refused = 0
        self.reconnects = 0
        self._idle: deque[Line] = deque()
        self._open = 0
        self._waiting = 0
        self._free = threading.Condition(threading.Lock())
        self._loops: LoopLines | None = None

    # In threads.

    def ask(self, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        """Send one command and return its reply; an error of the server's is a value like another.

        A connection that the server had closed meanwhile is replaced and the command sent once more, unless
        `again` is false: for commands that may not be done twice.

        Raises: StoreError: no reply within the deadline.
        """
        return self._carry(lambda line: line.ask(packed, deadline), deadline, again=again)

    def ask_all(self, packed: bytes, replies: int, deadline: float, *, again: bool = True) -> list[Any]:
        """Send that many commands at once and return their replies.

        Raises: StoreError: not all replies within the deadline.
        """
        found: list[Any] = self._carry(lambda line: line.ask_all(packed, replies, deadline), deadline, again=again)
        return found

    def _carry(self, talk: Callable[[Line], Any], deadline: float, *, again: bool) -> Any:
        if self.problem is not None and self.breaker.state != "closed":
            raise self.refusal()
        try:
            line, used = self._idle.pop(), True
        except IndexError:
            line, used = self._take(deadline), False
        try:
            reply = talk(line)
        except LineError as exc:
            self._discard(line)
            if not (used and again and exc.stale):
                raise self.failure(exc) from exc
        except BaseException:
            self._discard(line)
            raise
        else:
            self._give(line)
            if self.problem is not None:
                self.answered()
            return reply
        # The others are as old: a server that restarted closed them all.
        self.hang_up()
        self.reconnects += 1
        return self._carry(talk, deadline, again=False)

    def refusal(self) -> StoreError:
        """Return the error of a call that is not made, and start a probe where one is due."""
        self.refused += 1
        if self.breaker.admits():
            try:
                run_behind(self._probe, "ostinato-redis-probe")
            except StoreError as exc:
                self._fail(str(exc))
        return StoreError(f"Redis at {self.dial.where} is not asked for a while: {self.problem}", retryable=True)

    def failure(self, exc: LineError) -> StoreError:
        """Count a question without an answer, and return it as the caller's error."""
        self._fail(str(exc))
        return StoreError(f"Redis at {self.dial.where}: {exc}", retryable=True)

    def answered(self) -> None:
        """Take note that the server is there."""
        self.problem = None
        self.breaker.succeeded()

    def _fail(self, problem: str) -> None:
        was = self.breaker.state
        self.failures += 1
        self.problem = problem
        self.breaker.failed()
        if was == "closed" != self.breaker.state:
            self.opened += 1

    def hang_up(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:
                return
            self._discard(line)

    def _take(self, deadline: float) -> Line:
        """Return an idle connection, or a new one where fewer than the most are open."""
        with self._free:
            # Before the look at the idle ones: whoever gives one back afterwards has to see that somebody waits.
            self._waiting += 1
            try:
                while True:
                    try:
                        return self._idle.pop()
                    except IndexError:
                        if self._open < self._most:
                            self._open += 1
                            break
                    if not self._free.wait(max(deadline - monotonic(), 0)):
                        raise StoreError(
                            f"Redis at {self.dial.where}: all {self._most} connections are in use", retryable=True
                        )
            finally:
                self._waiting -= 1
        try:
            opening = run_behind(self._connect, "ostinato-redis-connect")
        except BaseException:
            self._forget_one()
            raise
        return self._wait_for(opening, deadline)

    def _connect(self) -> Line:
        return Line(self.dial.connect(), self._limit_bytes)

    def _wait_for(self, opening: Future[Line], deadline: float) -> Line:
        try:
            return opening.result(max(deadline - monotonic(), 0))
        except LineError as exc:
            self._forget_one()
            raise self.failure(exc) from exc
        except TimeoutError as exc:
            opening.add_done_callback(self._opened_late)
            raise self.failure(LineError("no connection in time")) from exc
        except BaseException:
            opening.add_done_callback(self._opened_late)
            raise

    def _opened_late(self, opening: Future[Line]) -> None:
        """Keep a connection whose caller has gone on without it."""
        if opening.exception() is None:
            self._give(opening.result())
        else:
            self._forget_one()

    def _give(self, line: Line) -> None:
        self._idle.append(line)
        if self._waiting:
            with self._free:
                self._free.notify()

    def _discard(self, line: Line) -> None:
        line.close()
        self._forget_one()

    def _forget_one(self) -> None:
        with self._free:
            self._open -= 1
            self._free.notify()

    def _probe(self) -> None:
        """Ask whether the server answers again, behind the callers."""
        try:
            line = self._connect()
            try:
                answer = line.ask(PING, monotonic() + self.dial.settings.timeout_s)
            finally:
                line.close()
        except LineError as exc:
            self._fail(str(exc))
        except BaseException as exc:
            self._fail(type(exc).__name__)
            raise
        else:
            # Whatever it says, it answers; what it refuses is not what a breaker is for.
            self.answered() if not is_passing(answer) else self._fail(str(refusal(answer)))

    # On event loops.

    @property
    def loops(self) -> LoopLines:
        """The connections of event loops; asyncio is loaded with them."""
        if self._loops is None:
            from ostinato.caching.stores.redis_loop import LoopLines

            self._loops = LoopLines(self)
        return self._loops

    async def aask(self, packed: bytes, deadline: float, *, again: bool = True) -> Any:
        """Send one command and return its reply; an error of the server's is a value like another.

        Raises: StoreError: no reply within the deadline.
        """
        return await self.loops.ask(packed, 1, deadline, again=again)

    async def aask_all(self, packed: bytes, replies: int, deadline: float, *, again: bool = True) -> list[Any]:
        """Send that many commands at once and return their replies.

        Raises: StoreError: not all replies within the deadline.
        """
        found: list[Any] = await self.loops.ask(packed, replies, deadline, again=again)
        return found

    # Of all of them.

    def renew(self) -> None:
        """Start over in a forked child: the sockets are the parent's."""
        self._idle = deque()
        self._open = self._waiting = 0
        self._free = threading.Condition(threading.Lock())
        self._loops = None

    def stats(self) -> dict[str, Any]:
        """Return the connections of threads and loops, the breaker, and what it saw."""
        return {
            "connections": self._open + (len(self._loops) if self._loops else 0),
            "reconnects": self.reconnects,
            "breaker": self.breaker.state,
            "breaker_opened": self.opened,
            "failures": self.failures,
            "not_asked": self.refused,
            "problem": self.problem,
        }


@cache
def _unnamed() -> dict[str, None]:
    """Return the keywords by which redis-py spares a new connection two round trips, to tell its own version."""
    from redis.connection import AbstractConnection

    if "driver_info" in inspect.signature(AbstractConnection.__init__).parameters:
        return {"driver_info": None}
    return {"lib_name": None, "lib_version": None}


def _unopened(exc: Exception) -> str:
    """Say why a connection could not be opened, without what may be a credential."""
    from redis.exceptions import AuthenticationError, RedisError
    from redis.exceptions import TimeoutError as RedisTimeoutError

    if isinstance(exc, AuthenticationError):
        return "the server refuses the user or the password"
    if isinstance(exc, RedisTimeoutError):
        return "no connection in time"
    if isinstance(exc, RedisError | OSError):
        return f"no connection: {str(exc)[:200]}"
    return f"no connection: {type(exc).__name__}"
