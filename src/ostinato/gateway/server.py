"""One process that serves: uvicorn with a gateway's limits, a reload that drops nothing, an end that finishes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ostinato.errors import MissingDependencyError

if TYPE_CHECKING:
    from ostinato.gateway.config import Config, Limits

BACKLOG = 2048
YOUNG = 20_000
"""Objects more than before, from which on the garbage collector looks at them: those of a hundred requests at once."""


class App(Protocol):
    """What is served: an ASGI application with a lifespan, that takes another configuration while it runs."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

    async def reload(self, config: Config) -> None:
        """Answer what comes from here on by `config`; what is being answered goes on as it began.

        Raises: ConfigurationError: it cannot be; then nothing has changed.
        """


Jobs = Callable[[], list[Coroutine[Any, Any, None]]]
"""Makes what runs beside the server, until it ends."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 takes a free one.

    Raises: OSError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.settimeout(0)
    listener.set_inheritable(True)
    return listener


def run(
    app: App, listener: socket.socket, limits: Limits, *, jobs: Jobs | None = None, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered, for `limits.shutdown_s` at most.

    `ready` is called when connections are accepted. A second SIGINT ends it at once.

    Raises: MissingDependencyError: uvicorn is not installed.
    """
    from ostinato.gateway.protocol import sweep  # it brings uvicorn, which a supervisor does without

    def started() -> None:
        # What was loaded stays, and a request leaves no circles behind: to look for them holds answers up.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG)
        ready()

    server = _server(app, limits, started)

    async def serve() -> None:
        async with _beside([sweep(server.server_state.connections, limits), *(jobs() if jobs else [])]):
            await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(serve())


@contextlib.asynccontextmanager
async def _beside(work: list[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _server(app: App, limits: Limits, ready: Callable[[], None]) -> Any:
    try:
        import uvicorn

        for name in ("httptools",) if sys.platform == "win32" else ("httptools", "uvloop"):
            import_module(name)
    except ImportError as exc:
        raise MissingDependencyError(f"the gateway needs {exc.name}: pip install 'ostinato[gateway]'") from exc

    from ostinato.gateway.protocol import protocol_class

    class Server(uvicorn.Server):
        """Says when it is ready, and does not raise a signal again once everything is done."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            handled = (signal.SIGINT, signal.SIGTERM)
            before = {each: signal.signal(each, self.handle_exit) for each in handled}
            try:
                yield
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)

    config = uvicorn.Config(
        app,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http=protocol_class(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.max_connections,
        timeout_graceful_shutdown=limits.shutdown_s,  # type: ignore[arg-type]  # it is handed to wait_for
    )
    return Server(config)
