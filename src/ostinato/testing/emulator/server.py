"""The emulator: a real HTTP server on loopback that answers as a provider does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import msgspec

from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import admin
from ostinato.testing.emulator.anthropic import Anthropic
from ostinato.testing.emulator.bedrock import Bedrock
from ostinato.testing.emulator.calls import Calls, RecordedCall
from ostinato.testing.emulator.delivery import Gates, deliver
from ostinato.testing.emulator.dialect import Answer, Dialect, World
from ostinato.testing.emulator.http import Connection, HttpRequest
from ostinato.testing.emulator.openai import OpenAI
from ostinato.testing.emulator.prompt_cache import PromptCache
from ostinato.testing.emulator.script import Reply, Script

_BACKLOG = 512
_UNREADABLE = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError)
"""What a body of the wrong shape breaks where it is read. What is read is pure: only the body can be at fault."""


class Emulator:
    """A provider on this machine, for tests and demos: nothing is paid, nothing leaves loopback.

        with Emulator() as emulator:
            client = openai.OpenAI(base_url=emulator.base_url, api_key="any")
            emulator.script(Reply(status=429, headers={"retry-after": "1"}))
            ...
            assert len(emulator.calls) == 2

    It runs in a thread of its own. All methods may be called from any thread.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        api_keys: Iterable[str] | None = None,
        models: Iterable[str] | None = None,
        dialects: Sequence[Dialect] | None = None,
        max_body_bytes: int = 64 * 2**20,
    ) -> None:
        """Set up an emulator that listens when it is started.

        Args:
            host: The address to bind.
            port: The port to bind; 0 takes a free one.
            clock: Seconds, for the prompt cache and the dates in answers; `advance` comes on top.
            api_keys: The keys that are let in; None lets in any, and none at all.
            models: The models that exist; None means that every model does.
            dialects: The vendors to emulate, the first that owns a request answers it; None means all.
            max_body_bytes: A request with a longer body is answered 413.
        """
        self._address = (host, port)
        self._clock = clock
        self._advanced_s = 0.0
        self._max_body_bytes = max_body_bytes
        self._keys = None if api_keys is None else frozenset(api_keys)
        self._dialects: Sequence[Dialect] = (Anthropic(), Bedrock(), OpenAI()) if dialects is None else dialects
        self._calls = Calls()
        self._script = Script()
        self.prompt_cache = PromptCache(self.now)
        """What the emulated vendors hold of the prompts they saw."""
        self._world = World(self.now, self.prompt_cache, None if models is None else frozenset(models))
        self._connections: set[Connection] = set()
        self._gates = Gates()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._port: int | None = None

    # Life.

    def start(self) -> Self:
        """Listen, and return when a client can connect.

        Raises: OSError: the address cannot be bound. ConfigurationError: it is running already.
        """
        if self._thread is not None:
            raise ConfigurationError("the emulator is running already; stop it first")
        listener = socket.create_server(self._address, backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(listener, ready)), name="ostinato-emulator", daemon=True
        )
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Close every connection, end every wait, and return when the thread is gone. Twice is once."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        self._thread = self._loop = self._stopping = self._port = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._gates = Gates()
        server = await loop.create_server(
            lambda: Connection(self._serve, self._connections, self._max_body_bytes), sock=listener
        )
        ready.set()
        await self._stopping.wait()
        with contextlib.suppress(OSError):
            # A forked child may hold the listener too; only this keeps clients from queueing at it.
            listener.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in list(self._connections):
            connection.abort()
        # One turn of the loop in which they close; what they were doing is cancelled with it.
        await asyncio.sleep(0)

    # Where it is.

    @property
    def port(self) -> int:
        """The port it listens on. Raises ConfigurationError while it does not run."""
        if self._port is None:
            raise ConfigurationError("the emulator does not run; use `with Emulator() as emulator`, or start()")
        return self._port

    @property
    def url(self) -> str:
        """The root, without a slash at the end."""
        return f"http://{self._address[0]}:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """What an Anthropic client takes as its base URL: the root, without `/v1`."""
        return self.url

    @property
    def bedrock_url(self) -> str:
        """What a Bedrock runtime client takes as its endpoint URL."""
        return self.url

    # What it shall answer.

    def script(
        self, *replies: Reply, times: int | None = 1, when: Callable[[RecordedCall], bool] | None = None
    ) -> None:
        """Answer the calls to come with `replies`, each for `times` calls, in order; None is for all further calls.

        `when` limits the replies to the calls it is true of. It is called on the emulator's thread.
        """
        for reply in replies:
            self._script.add(reply, times, when)

    def reset(self) -> None:
        """Forget the calls, the script and the prompt cache. The clock goes on, and so do calls in flight."""
        self._calls.clear()
        self._script.clear()
        self.prompt_cache.clear()

    def now(self) -> float:
        """Return the emulator's time in seconds."""
        return self._clock() + self._advanced_s

    def advance(self, seconds: float) -> None:
        """Move the emulator's time forward, for what expires in the prompt cache. Nobody waits."""
        self._advanced_s += seconds

    # What it was asked.

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """Every request to a vendor so far, oldest first; the last ten thousand."""
        return self._calls.all()

    @property
    def paid_calls(self) -> tuple[RecordedCall, ...]:
        """The calls that a vendor would bill."""
        return tuple(call for call in self.calls if call.paid)

    @property
    def in_flight(self) -> int:
        """How many requests are being answered."""
        return self._calls.in_flight

    @property
    def peak_in_flight(self) -> int:
        """How many requests were being answered at once, at most."""
        return self._calls.peak_in_flight

    @property
    def open_connections(self) -> int:
        """How many clients are connected, busy or idle."""
        return len(self._connections)

    def wait_for_calls(self, count: int, timeout_s: float = 5.0) -> tuple[RecordedCall, ...]:
        """Return the calls as soon as `count` of them have arrived. Raises TimeoutError."""
        return self._calls.wait(count, timeout_s)

    def wait_until_idle(self, timeout_s: float = 5.0) -> None:
        """Return when no request is being answered. Raises TimeoutError."""
        self._calls.wait_until_idle(timeout_s)

    # One request.

    async def _serve(self, connection: Connection, request: HttpRequest) -> None:
        path = request.target.partition("?")[0]
        if path.startswith(admin.PREFIX):
            status, body = admin.administer(self, request.method, path, request.body)
            connection.start(status, {"content-type": "application/json"}, len(body))
            await connection.write(body)
            return
        call = self._calls.begin(request, _decoded(request.body), self.now())
        try:
            answer, reply = self._answer(call, too_large=request.too_large)
            await deliver(connection, call, answer, reply, self._gates)
        except asyncio.CancelledError:
            if connection.lost:
                call.disconnected.set()
            raise
        finally:
            self._calls.end(call)

    def _answer(self, call: RecordedCall, *, too_large: bool) -> tuple[Answer, Reply]:
        dialect = next((dialect for dialect in self._dialects if dialect.owns(call)), None)
        if dialect is None:
            return self._dialects[-1].error(call, 404, f"Invalid URL ({call.method} {call.path})"), Reply()
        if self._keys is not None and dialect.key(call) not in self._keys:
            return dialect.error(call, 401), Reply()
        if too_large:
            return dialect.error(call, 413), Reply()
        try:
            reply = self._script.take(call)
            try:
                return self._answer_as(dialect, call, reply), reply
            except _UNREADABLE as exc:
                return dialect.error(call, 400, f"the emulator cannot read this: {type(exc).__name__}: {exc}"), Reply()
        except Exception as exc:  # noqa: BLE001 - the edge: what cannot be answered must not look like a dead server
            return dialect.error(call, 500, f"the emulator cannot answer this: {type(exc).__name__}: {exc}"), Reply()

    def _answer_as(self, dialect: Dialect, call: RecordedCall, reply: Reply) -> Answer:
        if reply.raw_body is not None or reply.raw_events is not None:
            return _raw(dialect, reply)
        if reply.error_after_events is None and (reply.error is not None or (reply.status or 0) >= 400):
            answer = dialect.error(call, reply.status or 500, reply.error)
        else:
            answer = dialect.answer(call, reply, self._world)
        if not reply.headers:
            return answer
        headers = {**answer.headers, **{name.lower(): value for name, value in reply.headers.items()}}
        return dataclasses.replace(answer, headers=headers)


def _raw(dialect: Dialect, reply: Reply) -> Answer:
    """Return the answer that `reply` spells out."""
    events = None
    if reply.raw_events is not None:
        events = [_bytes(item) if isinstance(item, bytes | str) else dialect.frame(item) for item in reply.raw_events]
    kind = "application/json" if events is None else "text/event-stream; charset=utf-8"
    headers = {"content-type": kind, **{name.lower(): value for name, value in reply.headers.items()}}
    return Answer(reply.status or 200, headers, _bytes(reply.raw_body or b""), events, usage=reply.usage)


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def _decoded(raw: bytes) -> object:
    """Return the JSON value, or None where there is none."""
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, RecursionError):
        return None


def serve(*, ready: Callable[[Emulator], None] | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
    """Run an emulator until Ctrl-C. `ready` is called with it once it listens."""
    with Emulator(host=host, port=port) as emulator, contextlib.suppress(KeyboardInterrupt):
        if ready is not None:
            ready(emulator)
        threading.Event().wait()
