"""Both shells behind one blocking face, so that one suite runs on either."""

from __future__ import annotations

import asyncio
import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ostinato.transport.async_aiohttp import AiohttpTransport
from ostinato.transport.async_http import AsyncTransport
from ostinato.transport.async_opened import AsyncOpened
from ostinato.transport.exchange import Answered, Outgoing
from ostinato.transport.http import Opened, Transport
from tests.transport.peer import PATIENCE_S

new_event_loop: Callable[[], asyncio.AbstractEventLoop] | None
try:
    from uvloop import new_event_loop
except ImportError:  # Windows has none
    new_event_loop = None

ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
"""For a process that imports what this one does."""


class Answer(Protocol):
    status: int

    @property
    def headers(self) -> dict[str, str]: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def read(self, limit: int | None = None) -> bytes: ...
    def close(self) -> None: ...


class Shell(Protocol):
    def send(self, out: Outgoing) -> Answered: ...
    def open(self, out: Outgoing) -> Answer: ...
    def close(self) -> None: ...
    def close_during_next(self, answer: Any, *, everything: bool) -> BaseException | None:
        """Close the answer, or the whole transport, while a slice is awaited; return what the reader got."""


class Threads:
    """`Transport`, as it is."""

    def __init__(self) -> None:
        self.transport = Transport()

    def send(self, out: Outgoing) -> Answered:
        return self.transport.send(out)

    def open(self, out: Outgoing) -> Opened:
        return self.transport.open(out)

    def close(self) -> None:
        self.transport.close()

    def close_during_next(self, answer: Opened, *, everything: bool) -> BaseException | None:
        raised: list[BaseException] = []

        def read() -> None:
            try:
                next(answer)
            except Exception as exc:  # noqa: BLE001 (the test says which)
                raised.append(exc)

        reader = threading.Thread(target=read)
        reader.start()
        while not _waits_for_the_network(reader):
            pass
        (self.transport if everything else answer).close()
        reader.join(PATIENCE_S)
        return raised[0] if raised else None


def _waits_for_the_network(thread: threading.Thread) -> bool:
    """Return whether `thread` is in the call that receives from a socket."""
    frame = sys._current_frames().get(thread.ident or 0)
    line = "" if frame is None else linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return "_sock.recv(" in line or "_sslobj.read(" in line


class _Blocking:
    """An `AsyncOpened` read from outside its loop."""

    def __init__(self, opened: AsyncOpened, runner: asyncio.Runner) -> None:
        self.opened = opened
        self.status = opened.status
        self.headers = opened.headers
        self._runner = runner

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        async def step() -> bytes | None:
            return await anext(self.opened, None)

        part = self._runner.run(step())
        if part is None:
            raise StopIteration
        return part

    def read(self, limit: int | None = None) -> bytes:
        return self._runner.run(self.opened.read(limit))

    def close(self) -> None:
        self._runner.run(self.opened.aclose())


class Tasks:
    """`AsyncTransport`, driven by an event loop of its own."""

    transport_of: type[AsyncTransport] = AsyncTransport
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def __init__(self) -> None:
        self.transport = self.transport_of()
        self._runner = asyncio.Runner(loop_factory=self.loop_factory)

    def send(self, out: Outgoing) -> Answered:
        return self._runner.run(self.transport.send(out))

    def open(self, out: Outgoing) -> _Blocking:
        return _Blocking(self._runner.run(self.transport.open(out)), self._runner)

    def close(self) -> None:
        self._runner.close()

    def close_during_next(self, answer: _Blocking, *, everything: bool) -> BaseException | None:
        async def both() -> BaseException | None:
            reader = asyncio.ensure_future(anext(answer.opened))
            await asyncio.sleep(0)  # one turn of the loop: the reader waits for the network
            await (self.transport if everything else answer.opened).aclose()
            done, _ = await asyncio.wait([reader], timeout=PATIENCE_S)
            return reader.exception() if done else None

        return self._runner.run(both())


class AiohttpTasks(Tasks):
    """`AiohttpTransport`, driven by the loop that the gateway has."""

    transport_of = AiohttpTransport
    loop_factory = None if new_event_loop is None else staticmethod(new_event_loop)
