"""Leases in a Redis: a script for each operation, so that what it compares and what it changes are one step."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from ostinato.caching.stores.leases import DROP_S, LINGER_S, Claimed, Heard, Lead, Live, News, Report, Seen
from ostinato.caching.stores.redis_ear import Ear
from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import code_of, refusal
from ostinato.caching.stores.redis_writes import MOST_S, SLOWEST_BYTES_S, Writes
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from ostinato.caching.stores.redis_near import Near
    from ostinato.caching.stores.redis_node import Node
    from ostinato.caching.stores.redis_servers import Servers
    from ostinato.caching.stores.redis_settings import Settings

DROP_MS = int(DROP_S * 1000)
LIVE_BYTES = 16 * 2**20
FORBIDDEN = frozenset({"NOPERM", "ERR"})
"""Codes of a server that does not run scripts: it has no leases, and is not asked for one again."""

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "

# Keys: the entry, the lease, the live stream. Arguments: whether an entry counts, a new token, the lease in
# milliseconds, those after which all is forgotten, and whether a stream that is over is joined.
CLAIM = (
    """
if ARGV[1] == '1' then
  local value = redis.call('GET', KEYS[1])
  if value then return value end
end
"""
    + _NOW
    + """
local lease = redis.call('HMGET', KEYS[2], 'token', 'state', 'until', 'frames', 'followed')
if lease[1] == ARGV[2] then return 0 end
if (lease[2] == 'leading' and now < tonumber(lease[3])) or (lease[2] == 'over' and ARGV[5] == '1') then
  redis.call('HSET', KEYS[2], 'followed', now + ARGV[3])
  local frames = redis.call('LRANGE', KEYS[3], 0, -1)
  if #frames < tonumber(lease[4]) then return false end
  return {lease[1], frames}
end
local inherits = lease[1] and lease[2] ~= 'over' and lease[5] ~= '0'
local followed = inherits and now + ARGV[3] or 0
redis.call('DEL', KEYS[2], KEYS[3])
-- Who may not tell must not lead, and leaves nothing behind.
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('RPUSH', KEYS[3], redis.call('LLEN', KEYS[3]))
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'state', 'leading', 'until', now + ARGV[3])
redis.call('HSET', KEYS[2], 'frames', 0, 'followed', followed)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return lease[2] == 'broken' and 1 or 0
"""
)

# Arguments: the token, the position, how the lease ends or nothing, the lease in milliseconds, those after which all
# is forgotten, the entry or nothing, its milliseconds to live, what to do with it, and the frames.
TELL = (
    _NOW
    + """
local lease = redis.call('HMGET', KEYS[2], 'token', 'state', 'followed', 'frames')
if lease[1] ~= ARGV[1] or lease[2] ~= 'leading' then return 2 end
if ARGV[8] == 'none' then redis.call('UNLINK', KEYS[1])
elseif ARGV[8] == 'new' then
  if ARGV[7] == '' then redis.call('SET', KEYS[1], ARGV[6])
  else redis.call('SET', KEYS[1], ARGV[6], 'PX', ARGV[7]) end
end
local followed, told, state = tonumber(lease[3]), tonumber(lease[4]), 'leading'
local heard = now < followed and 1 or 0
local ends = ARGV[3]
if ends == 'dropped' or (ends == 'released' and heard == 0) or (ends ~= '' and followed == 0) then
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.pcall('PUBLISH', KEYS[3], '')
  return 0
end
-- Where the server has evicted a part, the rest is of no use.
local whole = redis.call('LLEN', KEYS[3]) == told and told >= tonumber(ARGV[2])
for index = 9 + math.max(0, told - ARGV[2]), #ARGV do
  if whole then redis.call('RPUSH', KEYS[3], ARGV[index]) end
  told = told + 1
end
if ends == 'broken' then state = 'broken' elseif ends ~= '' and ends ~= 'released' then state = 'over' end
redis.call('HSET', KEYS[2], 'state', state, 'until', now + ARGV[4], 'frames', told)
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[5])
if told > tonumber(lease[4]) or state ~= 'leading' then redis.pcall('PUBLISH', KEYS[3], '') end
return heard
"""
)

# Arguments: the token, the position, the lease in milliseconds.
FOLLOW = (
    _NOW
    + """
local lease = redis.call('HMGET', KEYS[2], 'token', 'state', 'until', 'frames')
if lease[1] ~= ARGV[1] or redis.call('LLEN', KEYS[3]) < tonumber(lease[4]) then return {1, {}} end
redis.call('HSET', KEYS[2], 'followed', now + ARGV[3])
local gone = lease[2] == 'broken' or (lease[2] == 'leading' and tonumber(lease[3]) < now)
return {gone and 1 or 0, redis.call('LRANGE', KEYS[3], ARGV[2], -1)}
"""
)
HEARD: tuple[Heard, ...] = ("alone", "followed", "fenced")


class RedisLeases:
    """The leases of one store, judged by the clock of its server. News are pushed to those who follow.

    A lease and its live stream are two keys that begin with the store's prefix; in a cluster they are in the slot of
    the entry. The news of a stream are published on a channel that is called as its key.
    """

    gather_s, alone_s = 0.005, 0.05

    def __init__(
        self, servers: Servers, settings: Settings, near: Near | None, writes: Writes, *, lease_s: float
    ) -> None:
        self.lease_s = lease_s
        self.landing: dict[bytes, bytes] = {}
        self.live_bytes = min(LIVE_BYTES, settings.max_value_bytes) // 2
        self._servers = servers
        self._near = near
        self._writes = writes
        self._timeout_s = settings.timeout_s
        self._prefix = settings.prefix
        self._most_bytes = settings.max_value_bytes
        self._tagged = settings.kind == "cluster"
        self._lease_ms = max(1, int(lease_s * 1000))
        self._forbidden = False
        self.ear = Ear(servers, settings)

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        if self._forbidden:
            return None
        token, names = os.urandom(16), self._names(key)
        packed = self._claim(names, token, over=over, again=again)
        return self._claimed(key, token, self._servers.ask(names[0], packed, monotonic() + self._timeout_s))

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        if self._forbidden:
            return None
        token, names = os.urandom(16), self._names(key)
        packed = self._claim(names, token, over=over, again=again)
        return self._claimed(key, token, await self._servers.aask(names[0], packed, monotonic() + self._timeout_s))

    def tell(self, reports: Sequence[Report]) -> list[Heard | StoreError]:
        asked = [(report.key, self._tell(report)) for report in reports]
        replies = self._ask_all(asked)
        if self._near is not None:
            for report in reports:
                if report.value is not None:
                    self._near.forget(report.key)
        return [HEARD[reply] if isinstance(reply, int) else self._refusal(reply) for reply in replies]

    def follow(self, seen: Sequence[Seen]) -> list[News | StoreError]:
        asked = [(one.key, self._follow(one)) for one in seen]
        return [
            News(reply[1], gone=reply[0] == 1) if isinstance(reply, list) and len(reply) == 2 else self._refusal(reply)
            for reply in self._ask_all(asked)
        ]

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        rung = self.ear.wait({self._names(key)[2]: key for key in keys}, seconds)
        return keys if rung is None else rung

    def interrupt(self) -> None:
        self.ear.interrupt()

    def _ask_all(self, asked: list[tuple[bytes, bytes]]) -> list[Any]:
        """Return the reply to each packed command, asked of the server of its key, in a round trip for each server.

        For a server that did not answer it is a `StoreError`.
        """
        parts: dict[Node, list[int]] = {}
        for index, (key, _) in enumerate(asked):
            parts.setdefault(self._servers.node_of(self._prefix + key), []).append(index)
        replies: list[Any] = [None] * len(asked)
        for node, indices in parts.items():
            packed = b"".join(asked[index][1] for index in indices)
            deadline = monotonic() + self._timeout_s + len(packed) / SLOWEST_BYTES_S
            try:
                found = node.ask_all(packed, len(indices), deadline)
            except StoreError as exc:
                found = [exc] * len(indices)
            for index, reply in zip(indices, found, strict=True):
                moved = self._servers.redirected(reply)
                replies[index] = self._ask_again(*asked[index], deadline) if moved else reply
        return replies

    def _ask_again(self, key: bytes, command: bytes, deadline: float) -> Any:
        """Return the reply of the server that has the key by now."""
        try:
            return self._servers.ask(self._prefix + key, command, deadline)
        except StoreError as exc:
            return exc

    def _claim(self, names: tuple[bytes, bytes, bytes], token: bytes, *, over: bool, again: bool) -> bytes:
        return pack("EVAL", CLAIM, 3, *names, int(not over), token, self._lease_ms, DROP_MS, int(again))

    def _claimed(self, key: bytes, token: bytes, reply: Any) -> Claimed:
        if isinstance(reply, bytes) or reply is None:
            return reply
        if isinstance(reply, int):
            return Lead(key, token, last=reply == 1)
        if isinstance(reply, list) and len(reply) == 2:
            return Live(key, reply[0], reply[1])
        raise self._refusal(reply)

    def _refusal(self, reply: Any) -> StoreError:
        """Return a reply that is not what was asked for as an error."""
        if isinstance(reply, StoreError):
            return reply
        if isinstance(reply, hiredis.ReplyError) and code_of(reply) in FORBIDDEN:
            self._forbidden = True
        return refusal(reply)

    def _tell(self, report: Report) -> bytes:
        value, ttl_ms, entry = report.value, b"", b"old" if report.value is None else b"new"
        if value is not None and len(value) > self._most_bytes:
            self._writes.refuse(len(value))
            # What it would have replaced must not answer in its place.
            value, entry = None, b"none"
        if report.ttl_s is not None and report.ttl_s <= MOST_S:
            ttl_ms = b"%d" % max(1, int(report.ttl_s * 1000))
        over = report.end not in {None, "released"}
        kept_ms = int(LINGER_S * 1000) if over else DROP_MS
        names = self._names(report.key)
        lease = (report.token, report.position, report.end or b"", self._lease_ms, kept_ms)
        return pack("EVAL", TELL, 3, *names, *lease, value or b"", ttl_ms, entry, *report.frames)

    def _follow(self, one: Seen) -> bytes:
        return pack("EVAL", FOLLOW, 3, *self._names(one.key), one.token, one.position, self._lease_ms)

    def _names(self, key: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the names of an entry, its lease and its live stream: in one slot, and beginning with the prefix."""
        prefix, entry = self._prefix, self._prefix + key
        if not self._tagged or re.search(rb"\{[^}]+\}", prefix):
            return entry, prefix + b"~lease:" + key, prefix + b"~live:" + key
        tag = _tag_of(entry)
        return entry, prefix + b"{" + tag + b"}lease:" + key, prefix + b"{" + tag + b"}live:" + key


def _tag_of(entry: bytes) -> bytes:
    """Return two bytes that a cluster puts into the same slot as `entry`.

    A slot is the CRC-16 (XMODEM) of a key or its tag, modulo 16384; over two bytes the CRC can be run backwards.
    Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/ (read 2026-11-22).
    """
    from ostinato.caching.stores.redis_cluster import SLOTS, slot_of

    slot = slot_of(entry)
    for crc in range(slot, 1 << 16, SLOTS):
        register = crc
        for _ in range(16):
            register = (register ^ 0x11021 if register & 1 else register) >> 1
        tag = register.to_bytes(2, "big")
        if b"}" not in tag:
            return tag
    raise AssertionError("of four tags at most two have a brace")
