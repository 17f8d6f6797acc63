"""A request as the HTTP library wants it, built by the shortest way through its public names."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx2

    from ostinato.transport.exchange import Outgoing

_OURS = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
"""Headers that say how bytes are framed and packed. A caller's would contradict what the transport does."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Target(NamedTuple):
    """Where a request goes, parsed once."""

    url: httpx2.URL
    origin: str
    """Scheme and host: what a connection can be used again for."""
    host: str
    """Host, and port where it is not the scheme's own. The only part of a URL that a message may show."""


@lru_cache(maxsize=512)
def parse_target(url: str) -> Target:
    """Return `url`, parsed.

    Raises: ConfigurationError: it is no http or https URL with a host, or it carries a user and password.
    """
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        # What was given instead is not shown: it may be a key in the wrong place.
        raise ConfigurationError("the base URL must begin with http:// or https:// and name a host")
    host = parsed.netloc.decode("ascii")
    if parsed.userinfo:
        raise ConfigurationError(
            f"the base URL for {host} holds a user and password; send them as an Authorization header instead"
        )
    return Target(parsed, f"{parsed.scheme}://{host}", host)


def fields_of(out: Outgoing, target: Target) -> dict[str, str]:
    """Return the header fields of `out`, names in lower case, with the transport's own added.

    Raises: ConfigurationError: a header that HTTP cannot carry. The message names it and hides its value.
    """
    fields = {
        "host": target.host,
        "user-agent": user_agent(),
        # Event streams come uncompressed anyway, and a decoder would cost time on each of their slices.
        "accept-encoding": "identity" if out.stream else "gzip",
    }
    for name, value in out.headers.items():
        lowered = name.lower()
        if lowered not in _OURS:
            fields[lowered] = _checked(lowered, value)
    if out.body or out.method != "GET":
        fields["content-length"] = str(len(out.body))
    return fields


def as_request(out: Outgoing, target: Target) -> httpx2.Request:
    """Return the library's request for `out`.

    Raises: ConfigurationError: as `fields_of`.
    """
    import httpx2

    read_s = out.timeouts.read_s
    timeout = {"connect": out.timeouts.connect_s, "read": read_s, "write": read_s, "pool": read_s}
    return httpx2.Request(
        out.method,
        target.url,
        headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in fields_of(out, target).items()],
        stream=httpx2.ByteStream(out.body),
        extensions={"timeout": timeout},
    )


def _checked(name: str, value: str) -> str:
    """Return a header's value without the blanks around it."""
    if not isinstance(value, str):
        raise ConfigurationError(f"header {name!r} must be text, not {type(value).__name__}")
    value = value.strip(" \t")
    if not _NAME.fullmatch(name) or not ((value.isascii() and value.isprintable()) or _VALUE.fullmatch(value)):
        raise ConfigurationError(
            f"header {name!r} holds a character that HTTP does not allow; look for a line break or a quotation mark"
        )
    return value


@cache
def user_agent() -> str:
    """Return what ostinato calls itself: name and version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"ostinato/{version('ostinato')}"
    except PackageNotFoundError:
        return "ostinato"
