"""Azure Cosmos DB's emulator for tests: installed once beside the interpreter, started on a free port.

with CosmosEmulator() as emulator:
    cache = Cache.cosmos_db(connection_string=emulator.connection_string)
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.frozen import freeze

PACKAGE = "@vercel/cosmosdb-server@1.0.1"
FOLDER = Path(sys.prefix) / "share" / "cosmos-emulator"
WRAPPER = Path(__file__).with_name("cosmos_emulator.cjs")
KEY = "b3N0aW5hdG8tY29zbW9zLWVtdWxhdG9yLWtleS1mb3ItdGVzdHM="
"""Any bytes: the emulator checks signatures against it."""
TOKEN = "a-token-of-a-managed-identity"


def installed() -> Path:
    """Return the folder with the emulator's `node_modules`. The first time npm fills it; skip the test without npm."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(
                f"the Cosmos DB emulator needs {program}, which is not on PATH (Debian: apt install nodejs npm)"
            )
    modules = FOLDER / "node_modules"
    if not modules.is_dir():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as made:
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            subprocess.run(["npm", "install", *options, "--prefix", made, PACKAGE], check=True, timeout=300)
            FOLDER.mkdir(exist_ok=True)
            try:
                # In one step: another run may be doing the same.
                (Path(made) / "node_modules").rename(modules)
            except OSError:
                if not modules.is_dir():
                    raise
    return modules


class CosmosEmulator:
    """A running emulator, empty at first. With a `certificate`, a file of PEM with its key, it speaks TLS."""

    def __init__(self, *, port: int = 0, certificate: Path | None = None) -> None:
        environment = {**os.environ, "NODE_PATH": str(installed())}
        options = ["--port", str(port), "--key", KEY, "--token", TOKEN]
        if certificate is not None:
            options += ["--certificate", str(certificate)]
        self._process = subprocess.Popen(
            ["node", str(WRAPPER), *options],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("READY "), f"the emulator said {line!r} instead of its address"
        self.url = line.split()[1]
        self.port = int(self.url.rpartition(":")[2])
        self.connection_string = f"AccountEndpoint={self.url}/;AccountKey={KEY};"

    def fault(self, **fault: Any) -> None:
        """Let the next `times` requests fail; the wrapper says how."""
        self._ask("/__fault", json.dumps({"times": 1, **fault}).encode())

    def requests(self) -> list[str]:
        """Return what was asked since the last time."""
        found: list[str] = self._ask("/__requests")
        return found

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.url + path, body, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the emulator in the middle of whatever it does."""
        self._process.kill()

    def freeze(self) -> None:
        """Let the emulator answer nobody, until it is closed."""
        freeze(self._process)

    def close(self) -> None:
        """End the emulator, and forget what was in it."""
        self._process.send_signal(signal.SIGCONT)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
