"""Where conversations are printed and people are asked: one object, which can be replaced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class IOStream:
    """The terminal. Override `print` and `input`, and set yours with `set_default` or `set_global_default`."""

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        """Write `objects` as the built-in `print` does."""
        sys.stdout.write(sep.join(map(str, objects)) + end)
        if flush:
            sys.stdout.flush()

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        """Return the line that a person types, without its end; with `password` it is not shown."""
        if password:
            from getpass import getpass

            return getpass(prompt)
        return input(prompt)

    @staticmethod
    def get_default() -> IOStream:
        """Return the stream of this context."""
        return _stream.get() or _global[-1]

    @staticmethod
    @contextmanager
    def set_default(stream: IOStream) -> Iterator[None]:
        """Let `stream` be the one of everything inside the block."""
        token = _stream.set(stream)
        try:
            yield
        finally:
            _stream.reset(token)

    @staticmethod
    def set_global_default(stream: IOStream) -> None:
        """Let `stream` be the one of the process, wherever no block says otherwise."""
        _global[-1] = stream


IOConsole = IOStream


class Silence(IOStream):
    """Prints nothing; people are asked all the same."""

    def print(self, *objects: Any, sep: str = " ", end: str = "\n", flush: bool = False) -> None:
        """Print nothing."""

    def input(self, prompt: str = "", *, password: bool = False) -> str:
        """Ask through the stream of this context."""
        return IOStream.get_default().input(prompt, password=password)


_stream: ContextVar[IOStream | None] = ContextVar("ostinato_agents_stream", default=None)
_global: list[IOStream] = [IOStream()]
SILENCE = Silence()
