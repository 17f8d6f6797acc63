"""What a gateway keeps of its callers: keys, limits, and the ledger, in one place that its processes share."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.errors import warn
from ostinato.gateway.file_vault import FileVault
from ostinato.gateway.keys import KeyRing
from ostinato.gateway.till import REST_S, SETTLE_S, Till

if TYPE_CHECKING:
    from ostinato.caching.cache import Cache
    from ostinato.gateway.vault import Vault

FILE_NAME = "gateway.db"
_URLS = ("redis://", "rediss://", "unix://")


class Books:
    """The keys, the till and the ledger of one process.

    A thread of its own, started by the first call that is settled, writes four times a second what was spent.
    A process that is killed loses the lines of a quarter of a second, and no more of any budget than that.
    """

    def __init__(self, place: Vault | str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        """`place` is a vault, or the path of a file."""
        self.vault: Vault = FileVault(place) if isinstance(place, str | os.PathLike) else place
        self.ring = KeyRing(self.vault, clock=clock)
        self.till = Till(self.vault, secrets.token_hex(8), clock=clock)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str | None:
        """Why the vault could not be used the last time, None where it could. Not for strangers."""
        error = self.till.error or self.ring.error
        return None if error is None else error.message

    def open(self) -> None:
        """Begin to write behind the calls, unless it has begun."""
        if self._thread is None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._write, name="ostinato-ledger", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Write what waits, give every grant back, and let go of the vault. A later call opens it again."""
        self._closing.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if not self.till.close():
            warn("what was spent since the ledger could be written is lost: %s", self.problem)
        self.vault.close()

    def _write(self) -> None:
        pause_s = SETTLE_S
        while not self._closing.wait(pause_s):
            pause_s = SETTLE_S if self.till.flush() else REST_S
            self.ring.look()  # so that no call has to


def open_books(named: str | None, cache: Cache | None) -> Books:
    """Return the books at the place that is named, a file or the URL of a Redis; else in the Redis of the cache.

    Without either they are in the file of the user's folder.

    Raises: ConfigurationError: the place cannot be. MissingDependencyError.
    """
    if named is not None and is_url(named):
        from ostinato.caching.stores.redis_settings import read_settings
        from ostinato.gateway.redis_vault import RedisVault

        return Books(RedisVault(read_settings({"redis_url": named}, {})))
    if named is None and cache is not None:
        from ostinato.caching.stores.tiered import TieredStore

        store = cache.store
        while isinstance(store, TieredStore):
            store = store.shared
        if cache.type in {"redis", "tiered"}:
            from ostinato.caching.stores.redis import RedisStore
            from ostinato.gateway.redis_vault import RedisVault

            if isinstance(store, RedisStore):
                return Books(RedisVault(store.settings))
    return Books(named or usual_path())


def is_url(named: str | None) -> bool:
    """Return whether books at that place are in a Redis, not in a file."""
    return named is not None and named.startswith(_URLS)


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
