"""What is said of an answer beside it. The names with `litellm` are those that clients of its proxy read."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ostinato.gateway.admin import decimal
from ostinato.wire.openai_chat.failure import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ostinato.client.ask import Told
    from ostinato.errors import OstinatoError

_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
_PLAIN = re.compile("[ -~]{1,256}")
_IDS = ("x-request-id", "request-id")
"""What the clients of OpenAI and of Anthropic read."""

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
    told_of = _lasting if told.cache == "hit" else _once
    pairs += told_of(told.cache, told.key, told.paid_pico, told.saved_pico, told.miss, told.deployment, told.model)
    if told.said:
        pairs += _passed(told.said)
    if told.age_s is not None:
        pairs.append((b"age", b"%d" % told.age_s))
        if told.ttl_s is not None:
            pairs.append((b"x-ostinato-cache-ttl", b"%d" % math.ceil(told.ttl_s)))
    return pairs


def _passed(said: Mapping[str, str]) -> Pairs:
    """Return what a vendor said of its limits and of the call: as it is, and as clients of LiteLLM's proxy read it.

    Nothing else of it is passed on: a cookie or a connection is between the vendor and the gateway.
    """
    kept = {name: value for name, value in said.items() if name.startswith(_LIMITS) and _PLAIN.fullmatch(value)}
    answer_id = request_id(said)
    if answer_id is not None and _PLAIN.fullmatch(answer_id):
        kept |= dict.fromkeys(_IDS, answer_id)
    plain = [(name.encode(), value.encode()) for name, value in kept.items()]
    return plain + [(b"llm_provider-" + name, value) for name, value in plain]


def _once(
    cache: str, key: str, paid_pico: int | None, saved_pico: int | None, miss: str, deployment: str, model: str
) -> Pairs:
    """Return what is the same each time that an entry answers."""
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


_lasting = lru_cache(1024)(_once)
"""The same, remembered for hits: an entry that answers again makes them once."""


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
    if error.request_id is not None and _PLAIN.fullmatch(error.request_id):
        pairs += [(name.encode(), error.request_id.encode()) for name in _IDS]
    if error.retry_after is not None:
        pairs.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
    allowed = getattr(error, "allowed", None)
    if allowed:
        pairs.append((b"allow", ", ".join(allowed).encode()))
    return pairs
