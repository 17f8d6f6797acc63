"""Which Cosmos DB account, database and container, and how one proves who one is. Secrets stay in here."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import inspect
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ostinato.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.cosmos import CosmosClient
    from azure.cosmos.aio import CosmosClient as AsyncCosmosClient

DATABASE = "ostinato"
CONTAINER = "entries"
OPEN_S = 5.0
"""How long each step of opening a container may take: more than a later question, since it connects."""

_HINT = "give connection_string='AccountEndpoint=https://…;AccountKey=…;'"
_PARTS = ("AccountEndpoint", "AccountKey")


class Account:
    """Makes clients of one account, waiting and awaiting, which leave all retries to us.

    Args:
        connection_string: `AccountEndpoint=…;AccountKey=…;`; without the key where `client` is a credential.
        client: an `azure.cosmos.CosmosClient` in place of the string, or a credential of `azure.identity`.

    Raises:
        ConfigurationError: Neither, both, or something else.
        MissingDependencyError: The SDK is not installed.
    """

    def __init__(self, connection_string: str | None, client: Any = None) -> None:
        _require_sdk()
        self.given: CosmosClient | None = None
        """The client that was handed in."""
        self.endpoint = ""
        self._credential: str | TokenCredential = ""
        parts = _parts(connection_string)
        if client is not None and _is_client(client):
            if parts:
                raise ConfigurationError("give connection_string= or client=, not both")
            self.given = client
            self.endpoint = str(client.client_connection.url_connection)
            return
        if "AccountEndpoint" not in parts:
            raise ConfigurationError(f"no address of a Cosmos DB account; {_HINT}")
        self.endpoint = _checked_endpoint(parts["AccountEndpoint"])
        if (client is None) == ("AccountKey" not in parts):
            raise ConfigurationError(
                "give an AccountKey in connection_string=, or a credential as client=: one of them"
            )
        self._credential = _checked_key(parts["AccountKey"]) if client is None else client

    def open_client(self) -> CosmosClient:
        """Return the client that was handed in, or a new one. Asks the account what it is."""
        from azure.cosmos import CosmosClient

        return self.given or CosmosClient(self.endpoint, self._credential, **self._options())

    async def aopen_client(self) -> AsyncCosmosClient:
        """Return a new client for the running event loop. Asks the account what it is."""
        from azure.cosmos.aio import CosmosClient

        credential: Any = self._credential
        if not isinstance(credential, str):
            credential = _Awaitable(credential)
        client = CosmosClient(self.endpoint, credential, **self._options())
        try:
            return await client.__aenter__()
        except BaseException:
            await client.close()
            raise

    def mask(self, text: str) -> str:
        """Return `text` without the account's key."""
        return text.replace(self._credential, "***") if isinstance(self._credential, str) and self._credential else text

    def __repr__(self) -> str:
        return f"Account({self.endpoint!r})"

    def _options(self) -> dict[str, Any]:
        """Return how a client is made. A discovered address is of no use where we were sent to this machine."""
        from azure.cosmos.documents import ConnectionPolicy

        policy = ConnectionPolicy()
        # The types say int, the code counts in seconds of any kind.
        policy.DBAConnectionTimeout = policy.DBAReadTimeout = OPEN_S  # type: ignore[assignment]
        return {
            "connection_policy": policy,
            # Both for the account's own description, which the SDK asks for again and again; of no use later.
            "timeout": OPEN_S,
            "read_timeout": OPEN_S,
            "enable_endpoint_discovery": not _is_loopback(self.endpoint),
            # None at all; 0 would mean the nine that the SDK does by itself.
            "retry_throttle_total": -1,
            "retry_total": 0,
        }


class _Awaitable:
    """A credential of `azure.identity` for a client that awaits its tokens."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        import asyncio

        return await asyncio.to_thread(self._credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Return: whoever made the credential closes it."""


def _require_sdk() -> None:
    """Raise MissingDependencyError unless the SDK and its transport are there; they are imported when first used."""
    for name in ("azure", "azure.cosmos", "aiohttp"):
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"a cache in Cosmos DB needs the package {name!r}, which is not installed:"
                " pip install 'ostinato[cosmos]'"
            )


def _is_client(client: Any) -> bool:
    """Return whether `client` is a client, and not a credential.

    Raises: ConfigurationError: it is neither, or one that can only be awaited.
    """
    from azure.core.credentials import TokenCredential
    from azure.cosmos import CosmosClient

    if isinstance(client, CosmosClient):
        return True
    if isinstance(client, TokenCredential) and not inspect.iscoroutinefunction(client.get_token):
        return False
    raise ConfigurationError(
        "client= takes an azure.cosmos.CosmosClient or a credential of azure.identity (not of their aio"
        f" packages), not {type(client).__module__}.{type(client).__name__}"
    )


def _parts(connection_string: str | None) -> dict[str, str]:
    """Return the members of a connection string. No message holds any of its values."""
    if connection_string is not None and not isinstance(connection_string, str):
        raise ConfigurationError(f"connection_string must be text, not {type(connection_string).__name__}; {_HINT}")
    parts: dict[str, str] = {}
    for part in (connection_string or "").split(";"):
        name, equals, value = part.strip().partition("=")
        if not name and not equals:
            continue
        if name == "DisableServerCertificateValidation":
            # Emulators write it into theirs. Certificates are checked all the same, save where the SDK itself
            # does not: on this machine.
            continue
        if name not in _PARTS or not value:
            raise ConfigurationError(f"connection_string has a part that is none of {', '.join(_PARTS)}; {_HINT}")
        parts[name] = value
    return parts


def _checked_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError(f"AccountEndpoint is no address of a Cosmos DB account; {_HINT}")
    if parts.scheme == "http" and not _is_loopback(endpoint):
        raise ConfigurationError(f"AccountEndpoint {endpoint!r} is not encrypted; only this machine may be asked so")
    return endpoint


def _checked_key(key: str) -> str:
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ConfigurationError("AccountKey is not base64; copy it again from the account's keys") from None
    return key


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
