from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ostinato.caching.cache import Cache
from ostinato.errors import ConfigurationError
from ostinato.gateway.cache_settings import cache_folder
from ostinato.gateway.config import Config, read

MODEL = "model_list:\n  - model_name: gpt\n    litellm_params: {model: openai/gpt-4o}\n"


def told(text: str = "") -> Config:
    return read(MODEL + text, "c.yaml", {"HOME": "/home/of-nobody"})


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", None),
        ("cache: false\n", None),
        ("litellm_settings: {cache: false, cache_params: {type: local}}\n", None),
        ("cache: memory\n", {"type": "memory"}),
        ("cache: {type: local, ttl: 9, max_bytes: 1000}\n", {"type": "memory", "ttl": 9, "max_bytes": 1000}),
        ("litellm_settings: {cache: true}\n", {"type": "redis"}),
        (
            "litellm_settings: {cache: true, cache_params: {type: redis, default_redis_ttl: 5, max_messages: null}}\n",
            {"type": "redis", "ttl": 5},
        ),
        (
            "cache: true\n",
            {
                "type": "disk",
                "cache_path_root": "/home/of-nobody/.cache/ostinato",
                "cache_seed": "gateway",
                "near_bytes": 4 << 20,
            },
        ),
        (
            "cache: {type: disk, disk_cache_dir: /x, cache_seed: 7, mode: default_off, near_bytes: 0}\n",
            {"type": "disk", "cache_path_root": "/x", "cache_seed": 7, "mode": "default_off", "near_bytes": 0},
        ),
        (
            "cache: {type: memory, supported_call_types: [acompletion, anthropic_messages, atranscription]}\n",
            {"type": "memory", "supported_call_types": ["acompletion", "completion"]},
        ),
    ],
)
def test_the_cache_is_read_in_both_spellings(text: str, settings: dict[str, Any] | None) -> None:
    cache = told(text).cache

    assert (None if cache is None else dict(cache.settings)) == settings


def test_the_cache_that_is_opened_is_the_one_that_is_configured(tmp_path: Path) -> None:
    cache = told(f"cache: {{type: disk, cache_path_root: {tmp_path}, ttl: 60, namespace: ours}}\n").open_cache()

    assert cache is not None
    assert (cache.type, cache.ttl, cache.namespace) == ("disk", 60, "ours")
    assert told().open_cache() is None


def test_a_cache_that_cannot_be_is_an_error_with_its_line() -> None:
    config = told("cache:\n  type: memory\n  mode: sometimes\n")

    with pytest.raises(ConfigurationError, match=r"^c.yaml:6: mode must be one of"):
        config.open_cache()


@pytest.mark.parametrize(
    ("environ", "platform", "folder"),
    [
        ({"HOME": "/h"}, "linux", "/h/.cache/ostinato"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "linux", "/x/ostinato"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "linux", "/h/.cache/ostinato"),
        ({"HOME": "/h"}, "darwin", "/h/Library/Caches/ostinato"),
        ({"USERPROFILE": "/u"}, "win32", "/u/AppData/Local/ostinato/Cache"),
        ({"HOME": "/h", "LOCALAPPDATA": "/l"}, "win32", "/l/ostinato/Cache"),
        ({"HOME": "/h", "CACHE_DIRECTORY": "/var/cache/ostinato"}, "linux", "/var/cache/ostinato"),
    ],
)
def test_the_cache_folder_is_where_the_platform_has_it(environ: dict[str, str], platform: str, folder: str) -> None:
    assert cache_folder(environ, platform).as_posix() == folder


def test_a_disk_cache_keeps_near_what_it_is_told_to(tmp_path: Path) -> None:
    cache = Cache.disk(cache_path_root=tmp_path, near_bytes=1_000_000)

    assert cache.store.stats()["near"]["max_bytes"] == 1_000_000


@pytest.mark.parametrize("near_bytes", [-1, "1 MB", True, 1.5])
def test_what_stays_near_is_a_number_of_bytes(near_bytes: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="near_bytes must be a number of bytes"):
        Cache.disk(cache_path_root=tmp_path, near_bytes=near_bytes)
