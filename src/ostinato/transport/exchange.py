"""What goes to a provider and what comes back, as values without a connection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from ostinato.errors import ConfigurationError

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""The longest body that is read of a successful answer, after content decoding."""
ERROR_LIMIT_BYTES = 16 * 1024 * 1024
"""The longest body that is read of an answer with status 400 or above."""


class Timeouts(msgspec.Struct, frozen=True):
    """How long to wait for the network, in seconds. Positive and finite."""

    connect_s: float = 10.0
    """For a connection; TCP and TLS are timed one after the other."""
    read_s: float = 600.0
    """Without a byte moving in either direction. An answer that keeps coming may take longer."""

    def __post_init__(self) -> None:
        for name in ("connect_s", "read_s"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(
                    f"timeout must be a positive, finite number of seconds, or Timeouts; {name} is {value!r}"
                )

    @classmethod
    def of(cls, timeout: float | Timeouts | None) -> Timeouts:
        """Return `timeout` as Timeouts: a number is the time without a byte, and at most that for connecting.

        Raises: ConfigurationError: neither a positive, finite number of seconds, nor Timeouts, nor None.
        """
        if timeout is None:
            return _DEFAULT
        if isinstance(timeout, Timeouts):
            return timeout
        within = cls(read_s=timeout)
        return replace(within, connect_s=min(within.connect_s, timeout))


_DEFAULT = Timeouts()


class Outgoing(msgspec.Struct, frozen=True):
    """A request, ready to be sent: authenticated, and with its body encoded."""

    method: str
    url: str
    """Whole, with scheme, host and query. It is sent as it is written."""
    headers: dict[str, str]
    """Sent beside the transport's own (host, user-agent, accept-encoding), over which they win."""
    body: bytes
    timeouts: Timeouts
    stream: bool
    """Whether a stream is asked for."""


class Answered(msgspec.Struct, frozen=True):
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; values of a repeated name joined by a comma."""
    body: bytes
    """After content decoding."""


def as_headers(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return header fields as text, names in lower case, values of a repeated name joined by a comma."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def body_limit(status: int) -> int:
    """Return how many bytes to read at most of an answer with this status."""
    return ERROR_LIMIT_BYTES if status >= 400 else ANSWER_LIMIT_BYTES
