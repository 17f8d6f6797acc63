"""A program in a process of its own: for so long, heard so far, without keys, and ended with all that it began."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

MOST_PRINTED = 64 << 10
"""Bytes that are kept of what a program prints: the first half of them, and the last."""
TIMED_OUT: Final = 124
"""The exit code of what took too long, as the command `timeout` has it."""
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TZ")
_GRACE_S = 1.0
"""How long is waited for the last words of what has ended: something that left its group may hold the line open."""


Ran = tuple[int, str]
"""The exit code of a program, and what it printed."""


class Program:
    """One program, to be run once."""

    def __init__(self, command: Sequence[str], folder: Path, timeout_s: float) -> None:
        """Take a command, the folder to run it in, and the seconds that it may take."""
        self._command = command
        self._folder = folder
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self) -> Ran:
        """Run it to its end, or to the end of its time.

        Raises: OSError: it cannot be begun.
        """
        with self._lock:
            if self._ended:
                return TIMED_OUT, ""
            process = self._process = subprocess.Popen(  # noqa: S603  # it is what the user asked for
                self._command,
                cwd=self._folder,
                env=environment_in(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdout is not None  # noqa: S101  # a pipe was asked for
        heard = Heard()
        listener = threading.Thread(target=heard.listen, args=(process.stdout,), daemon=True)
        listener.start()
        try:
            exit_code = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            exit_code = TIMED_OUT
        finally:
            self.end()
            listener.join(_GRACE_S)
        said = heard.text()
        return exit_code, f"{said}\nTimeout" if exit_code == TIMED_OUT else said

    async def arun(self) -> Ran:
        """Do what `run` does, without holding up whatever else is awaited. Who is cancelled ends the program."""
        try:
            return await asyncio.to_thread(self.run)
        except asyncio.CancelledError:
            self.end()
            raise

    def end(self) -> None:
        """End it, with the whole group of processes that it began."""
        with self._lock:
            self._ended = True
            process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()


class Heard:
    """What a program prints, as far as it is kept."""

    def __init__(self) -> None:
        self._first = bytearray()
        self._last = bytearray()
        self._left_out = 0
        self._lock = threading.Lock()

    def listen(self, line: IO[bytes]) -> None:
        """Read `line` to its end, so that the program never waits for a reader."""
        with line:
            while piece := os.read(line.fileno(), 1 << 16):
                with self._lock:
                    self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        half = MOST_PRINTED // 2
        room = half - len(self._first)
        self._first += piece[:room]
        self._last += piece[room:]
        surplus = max(0, len(self._last) - half)
        del self._last[:surplus]
        self._left_out += surplus

    def text(self) -> str:
        """Return it, with a word on what was left out."""
        with self._lock:
            if not self._left_out:
                return (self._first + self._last).decode("utf-8", "replace")
            first, last = (half.decode("utf-8", "replace") for half in (self._first, self._last))
            return f"{first}\n… ({self._left_out} bytes left out) …\n{last}"


def environment_in(folder: Path) -> dict[str, str]:
    """Return the environment of a program: what it cannot do without, and nothing that lets it in anywhere.

    Sets of texts have one order in every run: a program that prints the same leads to the same conversation.
    """
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }
