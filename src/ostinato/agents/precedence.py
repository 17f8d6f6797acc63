"""Which cache a call of an agent uses: one table.

The first level that says anything decides.

| level       | said by                                                                                       |
|-------------|-----------------------------------------------------------------------------------------------|
| call        | `create(cache=…)`, `create(cache_seed=…)`                                                     |
| chat        | `initiate_chat(cache=…)`: a block around that chat, so nested chats are inside it             |
| constructor | `cache` and `cache_seed` of `llm_config` or `OpenAIWrapper`; a `config_list` entry before the rest |
| block       | the innermost `with Cache…`                                                                   |
| process     | `ostinato.cache`                                                                              |
| default     | the seed 41                                                                                   |

Within a level `cache=` goes before `cache_seed`. A `cache_seed` of None means no cache at all; any other seed is the
disk cache in `<cache_path_root>/<seed>`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ostinato.agents.seeds import LEGACY_DEFAULT_CACHE_SEED, seed_cache
from ostinato.agents.session import chat_block
from ostinato.caching import ambient
from ostinato.caching.cache import Cache
from ostinato.errors import ConfigurationError

UNSAID: Final = object()
_package = sys.modules["ostinato"]


class Level(msgspec.Struct, frozen=True):
    """What one level says."""

    cache: Cache | None = None
    seed: Any = UNSAID

    @property
    def speaks(self) -> bool:
        """Whether this level decides."""
        return self.cache is not None or self.seed is not UNSAID


SILENT: Final = Level()
DEFAULT: Final = Level(seed=LEGACY_DEFAULT_CACHE_SEED)


def decide(levels: Iterable[Level]) -> Level:
    """Return the first level that says anything."""
    return next((level for level in levels if level.speaks), DEFAULT)


def level_of(settings: Mapping[str, Any]) -> Level:
    """Return what a call's or a constructor's settings say.

    Raises: ConfigurationError: `cache` is no `Cache`.
    """
    cache = settings.get("cache")
    if cache is not None and not isinstance(cache, Cache):
        if not isinstance(cache, Mapping):
            raise ConfigurationError(f"cache= takes a Cache of ostinato or a dict of controls, not {cache!r}")
        cache = None
    return Level(cache, settings.get("cache_seed", UNSAID))


def choose_cache(call: Mapping[str, Any], constructor: Mapping[str, Any]) -> Cache | None:
    """Return the cache of a call that is made in this context, or None for no caching."""
    chat = chat_block()
    mark = ambient.innermost()
    level = decide(
        (
            level_of(call),
            SILENT if chat is None else _level_of_block(chat),
            level_of(constructor),
            SILENT if mark is None else _level_of_block(mark),
            Level(_package.cache),
        )
    )
    if level.cache is not None or level.seed is None:
        return level.cache
    return seed_cache(level.seed, call.get("cache_path_root") or constructor.get("cache_path_root"))


def _level_of_block(mark: ambient.Mark) -> Level:
    """Return what a block says: one without a cache shuts the outer ones out."""
    return Level(mark.cache) if mark.cache is not None else Level(seed=None)
