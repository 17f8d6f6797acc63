"""Walking over the keys of one server: SCAN with a pattern, never KEYS, never FLUSHALL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import code_of, refusal

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_node import Node
    from ostinato.caching.stores.redis_servers import Servers

Item = tuple[bytes, bytes]
"""A key and its value."""

STEP = 500
"""How many keys the server looks at in one go; it answers nobody else meanwhile."""
VALUES = 16
"""How many values are fetched at once: what a walk keeps in memory."""

_SPECIAL = re.compile(rb"[*?\[\]\\^-]")


def pattern_of(prefix: bytes) -> bytes:
    """Return the pattern of all keys that begin with these bytes, whatever they are."""
    return _SPECIAL.sub(rb"\\\g<0>", prefix) + b"*"


def keys_of(node: Node, prefix: bytes, timeout_s: float) -> Iterator[list[bytes]]:
    """Yield the keys that begin with `prefix`, some at a time; what moves about meanwhile may come twice.

    Raises: StoreError: a step was not answered within `timeout_s`.
    """
    cursor: Any = b"0"
    pattern = pattern_of(prefix)
    while True:
        reply = node.ask(pack("SCAN", cursor, "MATCH", pattern, "COUNT", STEP), monotonic() + timeout_s)
        if not isinstance(reply, list) or len(reply) != 2:
            raise refusal(reply)
        cursor, found = reply
        yield [key for key in found if key.startswith(prefix)]
        if cursor == b"0":
            return


def scan_node(servers: Servers, node: Node, prefix: bytes, scope: bytes, timeout_s: float) -> Iterator[Item]:
    """Yield each key after its `prefix`, with its value, once.

    Raises: StoreError: a step was not answered within `timeout_s`.
    """
    seen: set[bytes] = set()
    for found in keys_of(node, prefix + scope, timeout_s):
        new = [key for key in dict.fromkeys(found) if key not in seen]
        seen.update(new)
        for start in range(0, len(new), VALUES):
            part = new[start : start + VALUES]
            for key, value in zip(part, _ask_each(servers, node, "GET", part, timeout_s), strict=True):
                if isinstance(value, bytes):
                    yield key[len(prefix) :], value
                elif isinstance(value, hiredis.ReplyError) and code_of(value) != "WRONGTYPE":
                    # A key of another type is nobody's entry; who may not read has to hear of it.
                    raise refusal(value)


def clear_node(servers: Servers, node: Node, prefix: bytes, scope: bytes, timeout_s: float) -> int:
    """Remove every key that begins with `prefix` and `scope`. Return how many there were.

    Raises: StoreError: a step was not answered within `timeout_s`, or refused.
    """
    count = 0
    for found in keys_of(node, prefix + scope, timeout_s):
        for reply in _ask_each(servers, node, "UNLINK", found, timeout_s):
            if not isinstance(reply, int):
                raise refusal(reply)
            count += reply
    return count


def _ask_each(servers: Servers, node: Node, command: str, keys: list[bytes], timeout_s: float) -> list[Any]:
    """Return the replies to one command for each key, those that have moved since from where they are."""
    if not keys:
        return []
    packed = [pack(command, key) for key in keys]
    replies = node.ask_all(b"".join(packed), len(keys), monotonic() + timeout_s)
    return [
        servers.ask(key, one, monotonic() + timeout_s) if servers.redirected(reply) else reply
        for key, one, reply in zip(keys, packed, replies, strict=True)
    ]
