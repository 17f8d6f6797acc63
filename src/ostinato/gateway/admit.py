"""Who asks, and whether a request is let in at all."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.errors import AuthenticationError, PermissionDeniedError, ServiceUnavailableError, StoreError

if TYPE_CHECKING:
    from ostinato.gateway.config import Config
    from ostinato.gateway.keys import Key, KeyRing

Headers = Mapping[bytes, bytes]
"""Of a request, names in lower case."""

_KEYS = (b"x-api-key", b"api-key")
"""Where clients other than OpenAI's put their key."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks, and what they may do."""

    tenant: str = "default"
    """Whose entries they read and make, and no others."""
    admin: bool = True
    """Whether they may look after the cache and the gateway."""
    credentials: bool = False
    """Whether a request may carry `api_key`, `api_base` and `extra_headers`."""
    key: Key | None = None
    """The virtual key that they came with; None: the master key, or none at all."""

    @property
    def id(self) -> str:
        """Tells callers apart that may do different things; empty for who may do everything."""
        return "" if self.key is None else self.key.id

    def may_use(self, model: str) -> bool:
        """Say whether they may ask this model."""
        return self.key is None or self.key.allows(model)

    def refused_control(self, controls: Iterable[str]) -> str | None:
        """Return the first of these cache controls that they may not use, or None."""
        allowed = None if self.key is None else self.key.allowed_cache_controls
        return None if allowed is None else next((name for name in controls if name not in allowed), None)


def admit(config: Config, ring: KeyRing | None, scope: Mapping[str, Any], headers: Headers) -> Caller:
    """Return who asks: who has the master key, or one of the ring's.

    Raises:
        AuthenticationError: the key is wrong, or missing.
        PermissionDeniedError: without a master key, whoever is not a program on this machine.
        ServiceUnavailableError: the keys cannot be read.
    """
    if config.master_key is None:
        _require_local_program(scope, headers)
    else:
        given = key_of(headers)
        if not given:
            raise AuthenticationError("no API key; send it as 'Authorization: Bearer …' or 'x-api-key: …'")
        if not hmac.compare_digest(given, config.master_key.encode()):
            try:
                key = None if ring is None else ring.find(given.decode("latin-1"))
            except StoreError:  # the log says why: it is no stranger's
                raise ServiceUnavailableError("the keys of this gateway cannot be read at the moment") from None
            if key is None:
                raise AuthenticationError("this API key is not known here", code="invalid_api_key")
            return Caller(key.scope, admin=False, credentials=config.allow_client_credentials, key=key)
    return Caller(credentials=config.allow_client_credentials)


def key_of(headers: Headers) -> bytes:
    """Return the key that a request carries, empty where it carries none."""
    kind, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    if bearer and kind.lower() == b"bearer":
        return bearer.strip()
    return next((headers[name].strip() for name in _KEYS if name in headers), b"")


def _require_local_program(scope: Mapping[str, Any], headers: Headers) -> None:
    """Refuse who is not on this machine, and web pages in a browser that is.

    A page may reach loopback under a name of its own (Host tells) or from an origin of its own (Origin and
    Sec-Fetch-Site tell).
    """
    client = scope.get("client")
    if client is not None and not _is_loopback(client[0]):
        raise PermissionDeniedError("without a master key only programs on this machine are served")
    host = headers.get(b"host", b"").decode("latin-1")
    if not _is_loopback(_name_of(host)):
        raise PermissionDeniedError("without a master key only requests to localhost are served")
    origin = headers.get(b"origin")
    same = origin is None or origin.decode("latin-1") == f"{scope.get('scheme', 'http')}://{host}"
    if not same or headers.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
        raise PermissionDeniedError("without a master key no web pages are served")


def _name_of(host: str) -> str:
    """Return a host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    if name.lower() in {"localhost", "localhost."}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
