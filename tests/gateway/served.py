"""A gateway in a process of its own, for tests: started on a free port, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tests.client.calls import until

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = "import sys; from ostinato.cli.serve import serve; from ostinato.gateway.config import load; \
serve(load(sys.argv[1]), '127.0.0.1', 0, int(sys.argv[2]), sys.argv[3])"
LONG_S = 30
"""Far longer than anything here takes; only a fault waits for it."""


class Served:
    """A running gateway."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        self._read = 0
        assert process.stdout is not None
        self.url = process.stdout.readline().split()[2]

    def get(self, path: str = "/") -> str:
        with urllib.request.urlopen(self.url + path, timeout=LONG_S) as answer:
            return str(answer.read().decode())

    def stream(self, path: str) -> Stream:
        return Stream(urllib.request.urlopen(self.url + path, timeout=LONG_S))

    def tell(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        """Return the exit code and what was logged and not read yet, after SIGTERM."""
        self.tell(signal.SIGTERM)
        code = self.process.wait(timeout=LONG_S)
        return code, self._log.read_text().splitlines()[self._read :]

    def logged(self, words: str) -> str:
        """Return the next line of the log with these words in it."""
        found: list[str] = []

        def read_on() -> bool:
            lines = self._log.read_text().splitlines(keepends=True)
            for line in lines[self._read :]:
                self._read += line.endswith("\n")
                if words in line:
                    found.append(line)
                    return True
            return False

        until(read_on)
        return found[0]


class Stream:
    """An answer on its way."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer
        self.worker = int(answer.readline().split()[-1])

    def rest(self) -> str | None:
        """Return the rest of it, None where it broke off."""
        try:
            return self._answer.read().decode()
        except (HTTPException, OSError):
            return None

    def close(self) -> None:
        self._answer.close()


@contextmanager
def serving(config: Path, workers: int = 1, app: str = "tests.gateway.plain_app:build_app") -> Iterator[Served]:
    """Run a gateway for a configuration file. The application is a plain one unless named."""
    own = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "XDG_STATE_HOME": str(config.parent)}
    environ = {**os.environ, **own}
    log = config.with_suffix(".log")
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(config), str(workers), app],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environ,
        ) as process,
    ):
        try:
            yield Served(process, log)
        finally:
            process.kill()
