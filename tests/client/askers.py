"""Several processes that ask the same at once, and what may happen to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostinato.testing.emulator import Emulator
from tests.frozen import freeze

ROOT = Path(__file__).resolve().parent.parent.parent
LEASE_S = 1.0
"""What a leader that is lost is waited for; a process that a busy machine starves for as long is lost as well."""


class Asker:
    """One process with a cache."""

    def __init__(self, emulator: Emulator, settings: dict[str, Any]) -> None:
        self._heard: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.client.asker", json.dumps(settings)],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OPENAI_API_KEY": "planted-key",
                "OPENAI_BASE_URL": emulator.base_url,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def says(self, name: str) -> Any:
        """Return what the process says of `name`, once it does."""
        assert self.process.stdout is not None
        while name not in self._heard:
            line = self.process.stdout.readline()
            assert line, f"the process ended with {self.process.wait()}"
            self._heard |= json.loads(line)
        return self._heard.pop(name)

    def asks(self, question: str, *, calls: int = 1, asynchronous: bool = False, streams: bool = True) -> None:
        assert self.process.stdin is not None
        self._heard.clear()
        wanted = {"question": question, "calls": calls, "asynchronous": asynchronous, "streams": streams}
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def is_on_the_way(self) -> None:
        """Return when all its calls are."""
        self.says("on_the_way")

    def got(self) -> list[dict[str, Any]]:
        """Return what its calls got, once all have."""
        got: list[dict[str, Any]] = self.says("got")
        return got

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def freeze(self) -> None:
        freeze(self.process)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def asking(emulator: Emulator, settings: dict[str, Any], count: int) -> Iterator[list[Asker]]:
    """Start `count` processes; they are ended with the block. The list may be changed inside."""
    askers = [Asker(emulator, settings) for _ in range(count)]
    try:
        for asker in askers:
            asker.says("ready")
        yield askers
    finally:
        for asker in askers:
            asker.kill()


def leader_of(emulator: Emulator, askers: list[Asker], call: int = -1) -> Asker:
    """Return the process that made a call."""
    pid = int(emulator.calls[call].body["user"])
    return next(asker for asker in askers if asker.pid == pid)
