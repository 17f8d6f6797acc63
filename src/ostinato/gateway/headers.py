"""What is said of an answer beside it. The names with `litellm` are those that clients of its proxy read."""

from __future__ import annotations

import math
from functools import lru_cache
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
    call = call_id.encode()
    pairs = [(b"x-ostinato-call-id", call), (b"x-litellm-call-id", call)]
    pairs += _lasting(told.cache, told.key, told.paid_pico, told.saved_pico, told.miss, told.deployment, told.model)
    if told.age_s is not None:
        pairs.append((b"age", b"%d" % told.age_s))
        if told.ttl_s is not None:
            pairs.append((b"x-ostinato-cache-ttl", b"%d" % math.ceil(told.ttl_s)))
    return pairs


@lru_cache(4096)
def _lasting(
    cache: str, key: str, paid_pico: int | None, saved_pico: int | None, miss: str, deployment: str, model: str
) -> Pairs:
    """Return what is the same each time that an entry answers: a hit makes it once."""
    pairs = [(b"x-ostinato-cache", cache.encode()), (b"x-ostinato-cache-key", key.encode())]
    if paid_pico is not None:
        pairs.append((b"x-litellm-response-cost", decimal(paid_pico).encode()))
    if saved_pico is not None:
        pairs.append((b"x-ostinato-saved-cost", decimal(saved_pico).encode()))
    if cache == "hit":
        pairs.append((b"x-litellm-cache-key", key.encode()))  # there, it is what tells a hit
    elif miss:
        pairs.append((b"x-ostinato-cache-miss", miss.encode()))
    if deployment:
        pairs.append((b"x-litellm-model-id", deployment.encode()))
        pairs.append((b"x-litellm-model-group", model.encode("unicode_escape")))
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
