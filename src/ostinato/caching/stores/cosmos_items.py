"""An entry as Cosmos DB keeps it: one JSON item, in the partition of its scope."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

Item = dict[str, Any]

PARTITION_PATH = "/partitionKey"
"""Where AutoGen's containers are partitioned, too."""
SCOPE_BYTES = 8
FORMAT = 1
LARGEST_BYTES = 2 * 2**20 - 2**10
"""Of an item, which may have 2 MB of JSON with what the service adds.

Source: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb, 413 (read 2026-11-24)."""
FRAME_BYTES = 300
"""What an item takes beside its data, at most."""
MOST_TTL_S = 2**31 - 1

CONTAINER: Item = {
    "default_ttl": -1,
    # What is asked for is indexed, and nothing else: each indexed path is paid at every write.
    "indexing_policy": {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": "/partitionKey/?"}, {"path": "/ostinato/?"}],
        "excludedPaths": [{"path": "/*"}],
    },
}
"""How a container is made: its items may have a time to live, and have none unless they say so."""

_OURS = "c.ostinato = 1"
KEYS = f"SELECT c.id, c.expires_at FROM c WHERE {_OURS} AND STARTSWITH(c.id, @prefix)"  # noqa: S608 (a constant)
ENTRIES = f"SELECT * FROM c WHERE {_OURS} AND STARTSWITH(c.id, @prefix)"  # noqa: S608 (a constant)
NEXT_PARTITION = (
    f"SELECT TOP 1 VALUE c.partitionKey FROM c WHERE {_OURS}"  # noqa: S608 (a constant)
    " AND STARTSWITH(c.partitionKey, @prefix) AND c.partitionKey > @last ORDER BY c.partitionKey"
)


def partition_of(key: bytes) -> str:
    """Return the partition of `key`: its scope, so that a scope is cleared and scanned in one partition."""
    return key[:SCOPE_BYTES].hex()


def id_of(key: bytes) -> str:
    """Return the id of `key` in its partition: hex digits, since ids take no slashes and no `?` or `#`."""
    return key[SCOPE_BYTES:].hex()


def key_of(item: Item) -> bytes | None:
    """Return the key whose item this is, or None when it is none of ours."""
    try:
        return bytes.fromhex(item["partitionKey"]) + bytes.fromhex(item["id"])
    except ValueError:
        return None


def fits(value: bytes) -> bool:
    """Return whether `value` fits into an item."""
    return (len(value) + 2) // 3 * 4 + FRAME_BYTES <= LARGEST_BYTES


def item_of(key: bytes, value: bytes, expires_at: float | None, now: float) -> Item:
    """Return the item that keeps `value`.

    The service counts whole seconds by its own clock, and is told to keep the item a little too long; the
    exact end stands in the item.
    """
    item: Item = {
        "id": id_of(key),
        "partitionKey": partition_of(key),
        "ostinato": FORMAT,
        "data": base64.b64encode(value).decode("ascii"),
    }
    if expires_at is not None and not math.isinf(expires_at):
        item["expires_at"] = expires_at
        item["ttl"] = min(math.ceil(max(expires_at - now, 0.0)) + 1, MOST_TTL_S)
    return item


def value_of(item: Item, now: float) -> bytes | None:
    """Return the value in `item`, or None when it has expired or is none of ours."""
    data = item.get("data")
    if item.get("ostinato") != FORMAT or not isinstance(data, str) or not is_live(item, now):
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def is_live(item: Item, now: float) -> bool:
    """Return whether `item` has not expired at `now`."""
    expires_at = item.get("expires_at")
    return expires_at is None or (isinstance(expires_at, int | float) and now < expires_at)
