"""How connections are made, for both shells alike: by which way, trusting whom, and how many."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ostinato.errors import ConfigurationError, MissingDependencyError

if TYPE_CHECKING:
    import ssl

    import httpx2

    from ostinato.transport.request import Target

T = TypeVar("T", "httpx2.HTTPTransport", "httpx2.AsyncHTTPTransport")

MAX_CONNECTIONS = 1000
"""In one pool. A request beyond waits for one of the others to end."""
KEPT_S = 60.0
"""How long a connection that nobody uses is kept."""


def proxy_for(target: Target) -> str | None:
    """Return the URL of the proxy that the environment (or the system) names for `target`, or None.

    `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` name it; `NO_PROXY` lists hosts, domains and networks to reach
    without one.
    """
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(target.url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(target.host) or _is_within(target.url.host, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_within(host: str, networks: str) -> bool:
    """Return whether `host` is an address in one of the `networks`, which commas separate."""
    from ipaddress import ip_address, ip_network

    with suppress(ValueError):
        address = ip_address(host)
        for text in networks.split(","):
            with suppress(ValueError):
                if address in ip_network(text.strip(), strict=False):
                    return True
    return False


def open_transport(kind: type[T], scheme: str, proxy: str | None) -> T:
    """Return one of the library's transports, with connections for more than any caller does at once.

    Raises: ConfigurationError: the proxy's URL is unusable.
    """
    import httpx2

    error: ConfigurationError

    limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100, keepalive_expiry=KEPT_S)
    options = keepalive()
    try:
        return kind(verify=trust(scheme), limits=limits, socket_options=options, proxy=proxy)
    except ImportError:
        error = MissingDependencyError("a SOCKS proxy needs one more package: pip install 'httpx2[socks]'")
    except (ValueError, httpx2.InvalidURL):
        error = ConfigurationError("the environment names a proxy that is no http, https or socks5 URL")
    # Raised here, without the cause: a proxy's URL may hold a password.
    raise error


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


def keepalive() -> list[tuple[int, int, int]]:
    """Return socket options that probe a silent peer once a minute.

    A model may think for minutes without a byte, and routers on the way forget connections that are quiet for
    longer than they allow.
    """
    import socket

    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def hang_up(mine: Any) -> None:
    """Shut a socket, or what an event loop hands out as one, from any thread: a reader blocked on it wakes at once."""
    import socket

    with suppress(OSError):
        if isinstance(mine, socket.socket):
            # Not the method of a TLS socket, which pulls the session away from under the reader.
            socket.socket.shutdown(mine, socket.SHUT_RDWR)
        else:
            # Event loops hand out stand-ins, some of which cannot be shut down.
            with socket.socket(fileno=os.dup(mine.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
