"""The provider's prompt cache: where marks go, and why a call read less from it than the one before wrote."""

from __future__ import annotations

from typing import Any

__all__ = ["Explanation", "explain"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from ostinato.prompt_cache import misses  # bound when it is first used

        value = globals()[name] = getattr(misses, name)
        return value
    raise AttributeError(f"module 'ostinato.prompt_cache' has no attribute {name!r}")
