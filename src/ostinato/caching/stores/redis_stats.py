"""What the servers say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import refusal
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_node import Node
    from ostinato.caching.stores.redis_servers import Servers

QUESTIONS = pack("DBSIZE") + pack("INFO", "memory") + pack("INFO", "stats")


def read_stats(servers: Servers, deadline: float) -> dict[str, Any]:
    """Return what the servers hold in all, of whomever, and the state of the connections. Never raises.

    `entries` are the keys of the database; `bytes` what these take, `max_bytes` the memory that may be used (None:
    unbounded); `evictions` and `expirations` counts since the servers started.
    """
    counts = {"entries": 0, "bytes": 0, "max_bytes": 0, "evictions": 0, "expirations": 0}
    problem: str | None = None
    try:
        for node in servers.nodes(deadline):
            for name, number in _ask(node, deadline).items():
                counts[name] += number
    except StoreError as exc:
        problem = str(exc)
    state = servers.stats()
    return {**counts, **state, "max_bytes": counts["max_bytes"] or None, "problem": problem or state["problem"]}


def _ask(node: Node, deadline: float) -> dict[str, int]:
    size, memory, totals = node.ask_all(QUESTIONS, 3, deadline)
    if not isinstance(size, int):
        raise refusal(size)
    for reply in (memory, totals):
        if not isinstance(reply, bytes):
            raise refusal(reply)
    told = dict(line.split(b":", 1) for line in (memory + totals).splitlines() if b":" in line)
    return {
        "entries": size,
        "bytes": int(told.get(b"used_memory_dataset", 0)),
        "max_bytes": int(told.get(b"maxmemory", 0)),
        "evictions": int(told.get(b"evicted_keys", 0)),
        "expirations": int(told.get(b"expired_keys", 0)),
    }
