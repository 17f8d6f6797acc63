"""What one process of a gateway does: builds the app, serves it, and takes a new configuration while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import cast

import msgspec

from ostinato.caching.key import bound_memory
from ostinato.errors import ConfigurationError, OstinatoError
from ostinato.gateway import config as configuration
from ostinato.gateway.config import Config
from ostinato.gateway.logs import say, set_up
from ostinato.gateway.server import App, run
from ostinato.gateway.tally import Tally

APP = "ostinato.gateway.endpoints:build_app"
"""What makes the application of a configuration and of where to count."""
MEMO_BYTES = 512 << 10
"""What a worker spends on digests of messages, and twice that on texts: there are several of them on a machine."""
_M_ARENA_MAX = -8
"""How glibc's `mallopt` calls the number of heaps (malloc.h)."""
WRONG_CONFIG = 78
"""How a worker ends whose configuration cannot be (EX_CONFIG): to start it again would not help."""
READY = b"ready\n"


class Orders(msgspec.Struct):
    """What a supervisor tells a worker, on its standard input; when that ends, so does the worker."""

    listener: int
    """The file descriptor of the socket that all workers share."""
    path: str | None
    text: str | None
    """The configuration, None where it is found in the environment. A worker that starts again, after the file was
    spoilt, gets the one that was good."""
    index: int = 0
    shared: str | None = None
    """A folder in which workers leave their counts for each other."""
    app: str = APP


class NewText(msgspec.Struct):
    """What a supervisor tells a running worker: the text of its new configuration."""

    text: str | None


def framed(told: msgspec.Struct) -> bytes:
    """Return what is told as bytes with their length in front."""
    said = msgspec.json.encode(told)
    return len(said).to_bytes(4, "big") + said


def _read_orders(handle: int) -> Orders:
    """Return the orders on a pipe, and take no byte more: what follows is for the event loop."""

    def exactly(count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = os.read(handle, count - len(got))
            if not piece:
                sys.exit(0)  # the supervisor is gone
            got += piece
        return got

    return msgspec.json.decode(exactly(int.from_bytes(exactly(4), "big")), type=Orders)


def build(config: Config, app: str, tally: Tally) -> App:
    """Return the app for a configuration, with the variables set that it names; it counts in `tally`."""
    os.environ.update(config.environment)
    bound_memory(MEMO_BYTES)
    _use_one_heap()
    module, _, name = app.partition(":")
    return cast("App", getattr(import_module(module), name)(config, tally))


def _use_one_heap() -> None:
    """Have every thread allocate from one heap, where the C library is glibc.

    One thread does nearly all of the work here, and could not use what is freed in another's heap.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):
        from ctypes import CDLL

        CDLL(None).mallopt(_M_ARENA_MAX, 1)


async def reload(app: App, load: Callable[[], Config], tally: Tally) -> None:
    """Give the app a new configuration; keep the old one, and say so, when the new one is wrong."""
    try:
        config = load()
        os.environ.update(config.environment)
        await app.reload(config)
    except OstinatoError as error:
        say("kept the configuration, the new one is wrong", level=logging.ERROR, why=str(error))
        tally.count("reloads", ("failed",))
    else:
        tally.count("reloads", ("done",))
        say("read the configuration anew", file=config.path)


def serve_alone(config: Config, listener: socket.socket, ready: Callable[[], None], app: str = APP) -> None:
    """Serve in this process until it is told to stop; SIGHUP reads the file anew."""
    tally = Tally()
    built = build(config, app, tally)
    again = asyncio.Event()

    async def reload_when_told() -> None:
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)
        while True:
            await again.wait()
            again.clear()
            await reload(built, lambda: configuration.load(config.path), tally)

    run(built, listener, config.limits, jobs=lambda: [reload_when_told()], ready=ready)


def main() -> None:
    """Serve as one worker of several, as the orders on standard input say."""
    set_up()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor hears it, and passes on what it means
    orders = _read_orders(sys.stdin.fileno())
    listener = socket.socket(fileno=orders.listener)
    try:
        config = _read(orders.text, orders.path)
        tally = Tally(orders.shared, orders.index)
        app = build(config, orders.app, tally)
    except ConfigurationError as error:
        say("cannot start", level=logging.ERROR, why=str(error))
        sys.exit(WRONG_CONFIG)
    run(app, listener, config.limits, jobs=lambda: [_obey(app, orders, tally)], ready=_tell_ready)


def _read(text: str | None, path: str | None) -> Config:
    return configuration.found_in(os.environ) if text is None else configuration.read(text, path or "config.yaml")


def _tell_ready() -> None:
    with contextlib.suppress(OSError):
        os.write(1, READY)


async def _obey(app: App, orders: Orders, tally: Tally) -> None:
    """Take what the supervisor says until it says nothing any more, then end as at SIGTERM."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            said = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            text = msgspec.json.decode(said, type=NewText).text
            await reload(app, partial(_read, text, orders.path), tally)
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
