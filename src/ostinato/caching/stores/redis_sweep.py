"""Walking over the keys of one server: SCAN with a pattern, never KEYS, never FLUSHALL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import MEANINGS, code_of, refusal
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_node import Node
    from ostinato.caching.stores.redis_servers import Servers
    from ostinato.caching.stores.redis_settings import Settings

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


def refuse_part(node: Node, timeout_s: float) -> None:
    """Refuse a server that has only a part of the keys, being one of several of a cluster.

    Raises: StoreError: it is that, or did not answer within `timeout_s`.
    """
    told = node.ask(pack("CLUSTER", "INFO"), monotonic() + timeout_s)
    # An error says that it is no cluster, or nothing to who may not ask.
    size = re.search(rb"cluster_size:(\d+)", told) if isinstance(told, bytes) else None
    if size is not None and int(size[1]) > 1:
        raise StoreError(f"Redis refuses: {MEANINGS['MOVED']}", code="MOVED")


def scan_node(servers: Servers, node: Node, prefix: bytes, scope: bytes, settings: Settings) -> Iterator[Item]:
    """Yield each key after its `prefix`, with its value, once; with an empty one where that is too large to be read.

    Raises: StoreError: a step was not answered within `timeout_s`.
    """
    seen: set[bytes] = set()
    timeout_s, most = settings.timeout_s, settings.max_value_bytes
    for found in keys_of(node, prefix + scope, timeout_s):
        new = [key for key in dict.fromkeys(found) if key not in seen]
        seen.update(new)
        sizes = _ask_each(servers, node, "STRLEN", new, timeout_s)
        # Who may not ask for a length reads the value.
        large = {key for key, size in zip(new, sizes, strict=True) if isinstance(size, int) and size > most}
        for key in large:
            yield key[len(prefix) :], b""
        new = [key for key in new if key not in large]
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
