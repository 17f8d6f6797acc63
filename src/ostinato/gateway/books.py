"""What a gateway keeps of its callers: keys, limits, and the ledger, in one file that its processes share."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ostinato.gateway import keys, till
from ostinato.gateway.keys import KeyRing
from ostinato.gateway.till import REST_S, SETTLE_S, Till
from ostinato.ledger import book
from ostinato.ledger.file import LedgerFile

FILE_NAME = "gateway.db"
QUICK_S = 0.2
"""How long calls wait for a file that another process holds: it is everybody who waits."""
SCHEMA = book.SCHEMA + keys.SCHEMA + till.SCHEMA


class Books:
    """The keys, the till and the ledger of one process.

    A thread of its own, started by the first call that is settled, writes four times a second what was spent.
    A process that is killed loses the lines of a quarter of a second, and no more of any budget than that.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        self.file = LedgerFile(path, SCHEMA)
        self._quick = LedgerFile(path, SCHEMA, busy_timeout_s=QUICK_S)
        self.ring = KeyRing(self.file, clock=clock, quick=self._quick)
        self.till = Till(self._quick, secrets.token_hex(8), clock=clock)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to write behind the calls, unless it has begun."""
        if self._thread is None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._write, name="ostinato-ledger", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits, give every grant back, and close the file. A later call opens it again."""
        self._closing.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self.till.close(self.file)  # nobody is kept waiting any more
        self._quick.close()
        self.file.close()

    def _write(self) -> None:
        pause_s = SETTLE_S
        while not self._closing.wait(pause_s):
            pause_s = SETTLE_S if self.till.flush() else REST_S


def usual_path(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Return where the file is unless it is said: the user's folder for state, as the platform has it.

    Sources: https://specifications.freedesktop.org/basedir-spec/latest/ and StateDirectory= in
    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html (read 2026-11-24).
    """
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service) / FILE_NAME
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "ostinato" / FILE_NAME
    if platform == "darwin":
        return home / "Library" / "Application Support" / "ostinato" / FILE_NAME
    given = Path(environ.get("XDG_STATE_HOME", ""))
    return (given if given.is_absolute() else home / ".local" / "state") / "ostinato" / FILE_NAME
