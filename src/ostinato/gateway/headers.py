"""What is said of an answer beside it. The names with `litellm` are those that clients of its proxy read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ostinato.gateway.admin import decimal

if TYPE_CHECKING:
    from ostinato.client.ask import Told
    from ostinato.errors import OstinatoError

Pair = tuple[bytes, bytes]
Pairs = list[Pair]

JSON: Pair = (b"content-type", b"application/json")
CLOSE: Pair = (b"connection", b"close")
EVENTS: Pairs = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would gather the events otherwise
]


def told_headers(call_id: str, told: Told) -> Pairs:
    """Return the headers of an answer. What is not known is left out: the cost of a stream that is on its way."""
    call, key = call_id.encode(), told.key.encode()
    pairs = [
        (b"x-ostinato-cache", told.cache.encode()),
        (b"x-ostinato-cache-key", key),
        (b"x-ostinato-call-id", call),
        (b"x-litellm-call-id", call),
    ]
    if told.paid_pico is not None:
        pairs.append((b"x-litellm-response-cost", decimal(told.paid_pico).encode()))
    if told.saved_pico is not None:
        pairs.append((b"x-ostinato-saved-cost", decimal(told.saved_pico).encode()))
    if told.age_s is not None:
        pairs.append((b"x-litellm-cache-key", key))  # there, it is what tells a hit
        pairs.append((b"age", b"%d" % told.age_s))
        if told.ttl_s is not None:
            pairs.append((b"x-ostinato-cache-ttl", b"%d" % math.ceil(told.ttl_s)))
    elif told.miss:
        pairs.append((b"x-ostinato-cache-miss", told.miss.encode()))
    if told.deployment:
        pairs.append((b"x-litellm-model-id", told.deployment.encode()))
        pairs.append((b"x-litellm-model-group", told.model.encode("ascii", "backslashreplace")))
    return pairs


def plain_headers(call_id: str) -> Pairs:
    """Return the headers of an answer that no model gave and no cache."""
    call = call_id.encode()
    return [
        (b"x-ostinato-cache", b"bypass"),
        (b"x-ostinato-cache-key", b""),
        (b"x-ostinato-call-id", call),
        (b"x-litellm-call-id", call),
        (b"x-litellm-response-cost", b"0"),
        (b"x-ostinato-saved-cost", b"0"),
    ]


def error_headers(call_id: str, error: OstinatoError) -> Pairs:
    """Return the headers of an error."""
    pairs = plain_headers(call_id)
    if error.retry_after is not None:
        pairs.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    allowed = getattr(error, "allowed", None)
    if allowed:
        pairs.append((b"allow", ", ".join(allowed).encode()))
    return pairs
