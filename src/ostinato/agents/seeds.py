"""The disk caches that stand behind a `cache_seed`: one a folder and process, opened when first used."""

from __future__ import annotations

import os
import threading
from typing import Any

from ostinato.caching.cache import Cache
from ostinato.client.address import Environment

LEGACY_DEFAULT_CACHE_SEED = 41
"""The seed of who names none, as in AutoGen 0.2; `Cache.disk()` alone is 42."""
LEGACY_CACHE_DIR = ".cache"
ROOT_ENV = "OSTINATO_CACHE_PATH_ROOT"
"""Names the folder of all seeds, for programs that cannot reach every agent's settings."""
MOST_OPEN = 32
"""Seeds that are held open at once; the one that was used longest ago is closed, and opens again when used."""

_root = Environment((ROOT_ENV,)).first
_open: dict[tuple[str, str], Cache] = {}
_lock = threading.Lock()


def seed_cache(seed: Any, root: Any = None) -> Cache:
    """Return the disk cache of `seed`, in the folder `<root>/<seed>`."""
    folder = os.path.abspath(root or _root() or LEGACY_CACHE_DIR)  # noqa: PTH100  # a tenth of Path's time
    place = folder, str(seed)
    with _lock:
        cache = _open.pop(place, None)
        if cache is None:
            cache = Cache.disk(cache_seed=place[1], cache_path_root=folder)
        _open[place] = cache
        oldest = _open.pop(next(iter(_open))) if len(_open) > MOST_OPEN else None
    if oldest is not None:
        oldest.close()
    return cache


def close_seed_caches() -> None:
    """Flush and close every cache that a seed opened. A later call opens it again."""
    with _lock:
        caches = list(_open.values())
        _open.clear()
    for cache in caches:
        cache.close()
