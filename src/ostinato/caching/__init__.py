"""The response cache: what is asked again is answered from memory, disk or a shared store."""

from __future__ import annotations

from typing import Any

__all__ = ["Cache"]


def __getattr__(name: str) -> Any:
    if name == "Cache":
        from ostinato.caching.cache import Cache  # bound when it is first used

        globals()["Cache"] = Cache
        return Cache
    raise AttributeError(f"module 'ostinato.caching' has no attribute {name!r}")
