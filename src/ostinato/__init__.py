"""Never pay for the same tokens twice: a response cache, and a guide to the providers' prompt caches.

    from ostinato import completion, Cache

    with Cache.disk():
        completion("openai/gpt-4o", [{"role": "user", "content": "Hello"}])

Importing does no work: every name is bound when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.api import acompletion, aembedding, completion, embedding
    from ostinato.caching.cache import Cache
    from ostinato.client.aio import AsyncClient
    from ostinato.client.sync import Client
    from ostinato.errors import *  # noqa: F403

__version__ = "0.1.0"

cache: Cache | None = None
"""The process-wide response cache. A `with` block or a call's own `cache=` goes before it."""
set_verbose: bool = False
"""Show every request and answer on stderr, secrets masked."""

_HOMES = {
    "completion": "ostinato.api",
    "acompletion": "ostinato.api",
    "embedding": "ostinato.api",
    "aembedding": "ostinato.api",
    "Cache": "ostinato.caching.cache",
    "Client": "ostinato.client.sync",
    "AsyncClient": "ostinato.client.aio",
}
_ERRORS = (
    "OstinatoError",
    "ConfigurationError",
    "MissingDependencyError",
    "StoreError",
    "ReplayMissError",
    "UnsupportedParamsError",
    "APIError",
    "APIConnectionError",
    "Timeout",
    "APIResponseError",
    "BadRequestError",
    "ContextWindowExceededError",
    "ContentPolicyViolationError",
    "AuthenticationError",
    "BudgetExceededError",
    "PermissionDeniedError",
    "NotFoundError",
    "ConflictError",
    "RequestTooLargeError",
    "RateLimitError",
    "InternalServerError",
    "ServiceUnavailableError",
)
_HOMES.update(dict.fromkeys(_ERRORS, "ostinato.errors"))

__all__ = ["cache", "set_verbose", *_HOMES]  # noqa: PLE0604  # the names are in one table


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ostinato' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
