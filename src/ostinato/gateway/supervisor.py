"""Several workers behind one socket: started, started again when one dies, reloaded and ended together.

Workers are interpreters of their own, not forks: they share the socket, the store and nothing else. Each reads its
orders from a pipe; when this process dies, however it dies, the pipe ends and with it, in good order, the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory

import msgspec

from ostinato.errors import ConfigurationError, OstinatoError
from ostinato.gateway import config as configuration
from ostinato.gateway.config import Config
from ostinato.gateway.logs import say
from ostinato.gateway.worker import APP, READY, WRONG_CONFIG, NewText, Orders, framed

YOUNG_S = 5.0
"""A worker that dies younger than this is started again after a pause that doubles."""
PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
GRACE_S = 5.0
"""How much longer than its own limit a worker may take to end before it is killed."""

Process = asyncio.subprocess.Process


class Supervisor:
    """Starts workers and keeps them."""

    def __init__(
        self, config: Config, listener: socket.socket, workers: int, ready: Callable[[], None], app: str = APP
    ) -> None:
        self._config = config
        self._listener = listener
        self._count = workers
        self._ready = ready
        self._app = app
        self._workers: dict[int, Process] = {}
        self._ending = asyncio.Event()
        self._wrong = False

    def run(self) -> None:
        """Return when the workers have ended, after SIGTERM or SIGINT.

        Raises: ConfigurationError: a worker cannot start; its own log says why. There can be one only on Windows.
        """
        if sys.platform == "win32":
            raise ConfigurationError("several workers need a socket that is passed on; on Windows there is one worker")
        with TemporaryDirectory(prefix="ostinato-", ignore_cleanup_errors=True) as shared:
            asyncio.run(self._run(shared))
        if self._wrong:
            raise ConfigurationError("a worker could not start; what it said stands above")

    async def _run(self, shared: str) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._ending.set)
        hang_up = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hang_up.set)
        keepers = [asyncio.create_task(self._keep(index, shared)) for index in range(self._count)]
        reloading = asyncio.create_task(self._reload_when(hang_up))
        await self._ending.wait()
        reloading.cancel()
        self._listener.close()
        for process in self._workers.values():
            _end(process)
        _, late = await asyncio.wait(keepers, timeout=self._config.limits.shutdown_s + GRACE_S)
        for process in self._workers.values() if late else ():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.wait([*keepers, reloading])

    async def _keep(self, index: int, shared: str) -> None:
        """Run a worker, and another in its place whenever it dies, until the end."""
        loop = asyncio.get_running_loop()
        pause_s = PAUSE_S
        while not self._ending.is_set():
            began = loop.time()
            process = await self._start(index, shared)
            await self._wait_ready(process)
            code = await process.wait()
            if code == WRONG_CONFIG:
                self._wrong = True
                self._ending.set()
            if self._ending.is_set():
                return
            pause_s = PAUSE_S if loop.time() - began > YOUNG_S else min(pause_s * 2, LONGEST_PAUSE_S)
            say("a worker died, another takes its place", level=logging.ERROR, worker=process.pid, code=code)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)

    async def _start(self, index: int, shared: str) -> Process:
        orders = Orders(self._listener.fileno(), self._config.path, self._config.text, index, shared, self._app)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ostinato.gateway.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=[self._listener.fileno()],
        )  # fmt: skip
        self._workers[index] = process
        _tell(process, orders)
        if self._ending.is_set():
            _end(process)
        return process

    async def _wait_ready(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101  # it was asked for
        if await process.stdout.readline() == READY:
            self._ready()

    async def _reload_when(self, hang_up: asyncio.Event) -> None:
        while True:
            await hang_up.wait()
            hang_up.clear()
            try:
                self._config = configuration.load(self._config.path)
            except OstinatoError as error:
                say("kept the configuration, the new one is wrong", level=logging.ERROR, why=str(error))
                continue
            for process in self._workers.values():
                _tell(process, NewText(self._config.text))


def _tell(process: Process, told: msgspec.Struct) -> None:
    assert process.stdin is not None  # noqa: S101  # it was asked for
    with contextlib.suppress(OSError, RuntimeError):
        process.stdin.write(framed(told))


def _end(process: Process) -> None:
    """Let a worker finish: the end of its orders is the order to end."""
    assert process.stdin is not None  # noqa: S101  # it was asked for
    process.stdin.close()
