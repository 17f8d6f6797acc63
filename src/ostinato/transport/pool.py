"""How the pools of connections are set up, for both shells alike."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from http.cookiejar import CookieJar

    import httpx2


def has_proxy() -> bool:
    """Return whether the environment (or the system) names a proxy for HTTP."""
    from urllib.request import getproxies

    proxies = getproxies()
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


def direct_options(scheme: str) -> dict[str, Any]:
    """Return the settings of the library's bare transport for one scheme."""
    return {"verify": trust(scheme), "limits": limits(), "socket_options": _keepalive()}


def proxied_options() -> dict[str, Any]:
    """Return the settings of the library's client, which knows proxies and where to go without one."""
    return {"verify": trust("https"), "limits": limits(), "cookies": _no_cookies(), "follow_redirects": False}


def limits() -> httpx2.Limits:
    """Return the pool's size: wide enough that it is the caller who decides how much goes on at once."""
    import httpx2

    return httpx2.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=60.0)


@cache
def trust(scheme: str) -> ssl.SSLContext:
    """Return whom to trust over `scheme`; shared, since reading the certificates takes 50 ms.

    Plain http gets a context that trusts nobody, instead of paying for one that it never uses.
    """
    if scheme == "https":
        import httpx2

        return httpx2.create_ssl_context()
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _keepalive() -> list[tuple[int, int, int]]:
    """Probe a silent peer once a minute.

    A model may think for minutes without a byte, and gateways on the way drop connections that are quiet for
    longer than theirs allow: 350 seconds at AWS.
    Source: https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
    """
    import socket

    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _no_cookies() -> CookieJar:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def is_encoded(headers: dict[str, str]) -> bool:
    """Return whether the body must be decoded before it can be read."""
    return headers.get("content-encoding", "identity") != "identity"


def hang_up(response: httpx2.Response) -> None:
    """Shut the socket under `response`, from any thread: a reader blocked on it wakes at once."""
    import socket

    mine = response.extensions["network_stream"].get_extra_info("socket")
    with suppress(OSError):
        if isinstance(mine, socket.socket):
            # Not the method of a TLS socket, which pulls the session away from under the reader.
            socket.socket.shutdown(mine, socket.SHUT_RDWR)
        else:
            # Event loops hand out stand-ins, some of which cannot be shut down.
            with socket.socket(fileno=os.dup(mine.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
