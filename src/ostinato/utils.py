"""The one name that scripts which come over import from here."""

from __future__ import annotations

from ostinato.pricing import supports_prompt_caching

__all__ = ["supports_prompt_caching"]
