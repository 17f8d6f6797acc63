"""What a Redis answers instead of doing what it was asked, as errors of ours."""

from __future__ import annotations

import hiredis

from ostinato.errors import StoreError

PASSING = frozenset({"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "TRYAGAIN"})
"""Codes of what the same server may do later."""
MEANINGS = {
    "CLUSTERDOWN": "the cluster has lost a part of its slots",
    "LOADING": "the server is loading its data",
    "MASTERDOWN": "the replica has lost its master",
    "MISCONF": "the server cannot save its data and takes no writes",
    "MOVED": "the server is one of a cluster; name that with startup_nodes=, or by redis+cluster://",
    "NOAUTH": "the server wants a password",
    "NOPERM": "the user may not do this; it needs GET, SET, UNLINK and SCAN on the prefix",
    "OOM": "the server is full; give it more maxmemory, or a maxmemory-policy that evicts, such as allkeys-lru",
    "READONLY": "the server is a read-only replica",
    "WRONGTYPE": "the key holds something that is no value of ours",
}
MOST_CHARACTERS = 120


def code_of(reply: hiredis.ReplyError) -> str:
    """Return the first word, by which Redis tells its errors apart."""
    return str(reply).partition(" ")[0]


def is_passing(reply: object) -> bool:
    """Return whether `reply` is an error that a later try may not meet."""
    return isinstance(reply, hiredis.ReplyError) and code_of(reply) in PASSING


def refusal(reply: object) -> StoreError:
    """Return a reply that is not what was asked for as an error.

    Redis repeats the beginning of commands that it does not know; that part is left out, since it holds keys
    and values.
    """
    if not isinstance(reply, hiredis.ReplyError):
        return StoreError(f"Redis answered with {type(reply).__name__}, which the command does not")
    code = code_of(reply)
    text = MEANINGS.get(code) or str(reply).partition(", with args")[0][:MOST_CHARACTERS]
    return StoreError(f"Redis refuses: {text}", code=code, retryable=code in PASSING)
