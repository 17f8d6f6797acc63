"""Where the books of a gateway may be, for tests: a file, or a Redis."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from ostinato.caching.stores.redis_settings import read_settings
from ostinato.gateway.file_vault import FileVault
from ostinato.gateway.redis_vault import RedisVault
from ostinato.gateway.vault import Vault

_numbers = itertools.count()


class Place:
    """One place; each `vault` of it is as another process's."""

    def __init__(self, folder: Path, server: dict[str, Any] | None = None) -> None:
        """Keep books in a file, or in the Redis of these settings."""
        self.folder = folder
        self.path = folder / "gateway.db"
        self._server = server
        self._prefix = f"test-{next(_numbers)}:"

    def vault(self) -> Vault:
        if self._server is None:
            return FileVault(self.path)
        return RedisVault(read_settings({**self._server, "prefix": self._prefix, "timeout_ms": 5000}, {}))
