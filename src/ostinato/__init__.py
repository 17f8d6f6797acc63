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
    from ostinato.errors import (
        APIConnectionError,
        APIError,
        APIResponseError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
        ConfigurationError,
        ConflictError,
        ContentPolicyViolationError,
        ContextWindowExceededError,
        InternalServerError,
        MissingDependencyError,
        NotFoundError,
        OstinatoError,
        PermissionDeniedError,
        RateLimitError,
        ReplayMissError,
        RequestTooLargeError,
        ServiceUnavailableError,
        StoreError,
        Timeout,
        UnsupportedParamsError,
    )
    from ostinato.pricing import (
        completion_cost,
        cost_per_token,
        get_model_info,
        register_model,
        supports_prompt_caching,
    )

__version__ = "0.1.0"

cache: Cache | None = None
"""The process-wide response cache. A `with` block or a call's own `cache=` goes before it."""
set_verbose: bool = False
"""Show every request and answer on stderr, secrets masked."""

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "AsyncClient",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "Cache",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "ContentPolicyViolationError",
    "ContextWindowExceededError",
    "InternalServerError",
    "MissingDependencyError",
    "NotFoundError",
    "OstinatoError",
    "PermissionDeniedError",
    "RateLimitError",
    "ReplayMissError",
    "RequestTooLargeError",
    "ServiceUnavailableError",
    "StoreError",
    "Timeout",
    "UnsupportedParamsError",
    "acompletion",
    "aembedding",
    "cache",
    "completion",
    "completion_cost",
    "cost_per_token",
    "embedding",
    "get_model_info",
    "register_model",
    "set_verbose",
    "supports_prompt_caching",
]

_HOMES = {
    **dict.fromkeys(("completion", "acompletion", "embedding", "aembedding"), "ostinato.api"),
    **dict.fromkeys(
        ("completion_cost", "cost_per_token", "get_model_info", "register_model", "supports_prompt_caching"),
        "ostinato.pricing",
    ),
    "Cache": "ostinato.caching.cache",
    "Client": "ostinato.client.sync",
    "AsyncClient": "ostinato.client.aio",
}
"""Where each name lives that is no error of `ostinato.errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ostinato' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, "ostinato.errors")), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
