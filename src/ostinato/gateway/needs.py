"""Which packages a configuration needs: found before it is served, not with the first request."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ostinato.errors import MissingDependencyError
from ostinato.gateway.books import is_url
from ostinato.providers import PROVIDERS
from ostinato.providers.aws import AwsSettings, bearer_token

if TYPE_CHECKING:
    from ostinato.gateway.config import Config

Need = tuple[str, str, str]
"""Who needs it, the module, and the extra that brings it."""
_SERVES = ("uvicorn", "httptools", "aiohttp", "prometheus_client", *(() if sys.platform == "win32" else ("uvloop",)))
_STORES = {"redis": ("redis", "redis"), "cosmos_db": ("azure.cosmos", "cosmos")}


def check_packages(config: Config) -> None:
    """Look for every package that a gateway of this configuration comes to need. Nothing is loaded.

    Raises: MissingDependencyError: some are not installed; the message names who needs each, and one command.
    """
    missing = [need for need in dict.fromkeys(_needs(config)) if not _is_there(need[1])]
    if missing:
        said = ", ".join(f"{who} needs {module}" for who, module, _ in missing)
        extras = ",".join(sorted({extra for _, _, extra in missing}))
        raise MissingDependencyError(f"{said}: pip install 'ostinato[{extras}]'")


def _needs(config: Config) -> Iterator[Need]:
    for module in _SERVES:
        yield "the gateway", module, "gateway"
    cache = config.cache
    if cache is not None and cache.type in _STORES:
        yield f"a cache of type {cache.type}", *_STORES[cache.type]
    if cache is not None and cache.settings.get("encryption_key"):
        yield "encryption_key", "cryptography", "crypto"
    if is_url(config.ledger):
        yield "the ledger", "redis", "redis"
    environ = {**os.environ, **config.environment}
    for name, group in config.models.groups():
        for deployment in group:
            provider = PROVIDERS.get(deployment.model.partition("/")[0])
            if provider is None or provider.auth != "aws":
                continue
            params = dict(deployment.params)
            if bearer_token(params.get("api_key"), AwsSettings.take(params), environ) is None:
                yield f"model {name!r}", "botocore", "bedrock"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False
