"""The books of a gateway in a Redis, which any number of machines share: one server, a cluster, or by sentinels.

All of it is in one slot, under names that begin with a tag made of the cache's prefix, as `{ostinato:books}keys`:
so that a script can change all of it in one step, and nothing that clears the cache meets it.

| name | holds |
|---|---|
| `keys` | a hash: by id, the digest of the secret and what is said of the key; `#`, the mark |
| `spent:<kind>:<span>` | a hash: by id, what was settled; limits of a minute, a day, a month expire after it |
| `granted:<id>:<kind>:<span>` | a hash: by process, what it has of a limit, and since when; expires |
| `done:<process>` | the number of its last batch; expires after a day |
| `days` | the days of which there are sums |
| `day:<day>` | a hash: by counter and row, a sum; `#` and tenant and key: how many rows these have; expires |
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import hiredis
import msgspec
from msgspec.structs import astuple, fields

from ostinato.caching.stores.redis_line import pack
from ostinato.caching.stores.redis_refusal import refusal
from ostinato.caching.stores.redis_servers import open_servers
from ostinato.caching.stores.redis_settings import Settings
from ostinato.errors import StoreError, warn
from ostinato.gateway.vault import GRANT_LIFE_S, GRANTS, Ask, Batch, Keys
from ostinato.ledger.book import MOST_MODELS, OTHER, Part, checked_parts, grouped
from ostinato.ledger.line import Account, Sum

KEEP_DAYS = 400
"""How long the sums of a day are kept."""
SPANS_S = {0: None, 7: 40 * 86_400, 10: 3 * 86_400, 12: 300}
"""How long what was spent of a limit is kept, by the letters of its span: ever, a month, a day, a minute."""
PATIENT_S = 5.0
STEP = 1000
"""Fields of a hash in one reply, about."""
DIGEST_BYTES = 32
COUNTERS = {name: chr(ord("a") + index) for index, name in enumerate(field.name for field in fields(Sum))}
"""What a field of a day begins with."""

# Arguments: the id, the digest and what is said, a new mark.
ADD = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], '#', ARGV[3])
return 1
"""

# Arguments: the id, what is said, a new mark.
CHANGE = """
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if not kept then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.sub(kept, 1, 32) .. ARGV[2], '#', ARGV[3])
return 1
"""

# `Ask.granted`, where it is one step with what it depends on. Keys: what is spent, what is granted. Arguments: the id,
# the process, the bound, what it owes, what it has, the least that it asks for, the time, that of the oldest grant that
# counts, the milliseconds that one lives, and `GRANTS`.
GRANT = """
local bound, owed, left = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local least, grants = tonumber(ARGV[6]), tonumber(ARGV[10])
local free = bound - owed - tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
local workers, granted = 0, redis.call('HGETALL', KEYS[2])
for index = 1, #granted, 2 do
  local amount, at = string.match(granted[index + 1], '^(%S+) (%S+)$')
  if granted[index] ~= ARGV[2] then
    if tonumber(at) > tonumber(ARGV[8]) then
      free = free - tonumber(amount)
      workers = workers + 1
    else redis.call('HDEL', KEYS[2], granted[index]) end
  end
end
local part = math.floor(bound / math.max(grants, math.floor(grants / 2) * (1 + workers)))
left = math.min(free, math.max(left + part, least))
if left < least then return false end
redis.call('HSET', KEYS[2], ARGV[2], string.format('%.0f', left + owed) .. ' ' .. ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[9])
return string.format('%.0f', left)
"""

# Keys: what is done, the days, and those that the batch names by number. Arguments: the process, the batch's number,
# the time, the milliseconds that a grant lives, the seconds that a day is kept, the most rows of a key, and two lists:
# of what was taken (spent, granted, id, amount, left, seconds), and of sums (day, its name, key, row, other row, and
# counters with amounts). Amounts are text: a number of Lua's holds 53 bits of the 64.
SETTLE = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', 86400)
for _, taken in ipairs(cjson.decode(ARGV[7])) do
  local spent, granted = KEYS[taken[1]], KEYS[taken[2]]
  if taken[4] ~= '0' then
    redis.pcall('HINCRBY', spent, taken[3], taken[4])
    if taken[6] > 0 then redis.call('EXPIRE', spent, taken[6]) end
  end
  if taken[5] == '0' then redis.call('HDEL', granted, ARGV[1])
  else
    redis.call('HSET', granted, ARGV[1], taken[5] .. ' ' .. ARGV[3])
    redis.call('PEXPIRE', granted, ARGV[4])
  end
end
for _, sum in ipairs(cjson.decode(ARGV[8])) do
  local day, row, counts = KEYS[sum[1]], sum[4], sum[6]
  if redis.call('HEXISTS', day, 'a' .. row) == 0 then
    if tonumber(redis.call('HGET', day, '#' .. sum[3]) or 0) >= tonumber(ARGV[6]) then row = sum[5]
    else redis.call('HINCRBY', day, '#' .. sum[3], 1) end
  end
  for index = 1, #counts, 2 do redis.pcall('HINCRBY', day, counts[index] .. row, counts[index + 1]) end
  redis.call('EXPIRE', day, ARGV[5])
  redis.call('SADD', KEYS[2], sum[2])
end
return 1
"""


class RedisVault:
    """A vault in a Redis. Its connections are those of a cache with the same settings; so are its time limits."""

    def __init__(self, settings: Settings) -> None:
        self._servers = open_servers(settings)
        self._servers.holders.add(self)
        self._timeout_s = settings.timeout_s
        self._tag = b"{" + settings.prefix.translate(None, b"{}") + b"books}"
        self.where = f"Redis at {settings.where}"
        self._looked = False

    def keys(self, unless: bytes | None = None) -> Keys | None:
        name = self._name("keys")
        mark = self._ask("HGET", name, "#") or b""
        if unless and not mark:
            raise StoreError(f"{self.where} has lost the keys of this gateway")
        if mark == unless:
            return None
        self._look_once()
        rows = {field: value for field, value in self._fields(name) if field != b"#"}
        return Keys(mark, [(value[:DIGEST_BYTES], value[DIGEST_BYTES:]) for value in rows.values()])

    def add_key(self, key_id: str, digest: bytes, said: bytes) -> bool:
        # Not twice: the second would find the id taken.
        words = ("EVAL", ADD, 1, self._name("keys"), key_id, digest + said, secrets.token_bytes(8))
        return bool(self._ask(*words, again=False))

    def change_key(self, key_id: str, said: bytes) -> bool:
        return bool(self._ask("EVAL", CHANGE, 1, self._name("keys"), key_id, said, secrets.token_bytes(8)))

    def grant(self, ask: Ask) -> int | None:
        names = self._names_of(ask.limit.key_id, ask.limit.kind, ask.limit.span)
        amounts = (ask.bound, ask.owed, ask.left, ask.least)
        times = (repr(ask.at), repr(ask.at - GRANT_LIFE_S), _GRANT_MS)
        left = self._ask("EVAL", GRANT, 2, *names, ask.limit.key_id, ask.worker, *amounts, *times, GRANTS)
        return None if left is None else int(left)

    def settle(self, batch: Batch, *, patient: bool = False) -> None:
        names: dict[bytes, int] = {}

        def number(name: bytes) -> int:
            return names.setdefault(name, len(names) + 1)

        number(self._name("done", batch.worker))
        number(self._name("days"))
        taken = [
            (
                *map(number, self._names_of(part.limit.key_id, part.limit.kind, part.limit.span)),
                part.limit.key_id,
                str(part.spent),
                str(part.left),
                SPANS_S[len(part.limit.span)] or 0,
            )
            for part in batch.taken
        ]
        sums = [
            (
                number(self._name("day", account.day)),
                account.day,
                _text(account.tenant, account.key_id),
                _text(account.tenant, account.key_id, account.model),
                _text(account.tenant, account.key_id, OTHER),
                _counts(total),
            )
            for account, total in batch.sums.items()
        ]
        limits = (_GRANT_MS, KEEP_DAYS * 86_400, MOST_MODELS)
        said = (msgspec.json.encode(taken), msgspec.json.encode(sums))
        words = (batch.worker, batch.number, repr(batch.at), *limits, *said)
        self._ask("EVAL", SETTLE, len(names), *names, *words, timeout_s=PATIENT_S if patient else None)

    def spend(
        self,
        by: Sequence[Part],
        *,
        since: str = "",
        until: str = "~",
        tenant: str | None = None,
        key_id: str | None = None,
    ) -> list[dict[str, Any]]:
        checked_parts(by)
        days = sorted(day.decode() for day in self._ask("SMEMBERS", self._name("days")))
        rows = (row for day in days if since <= day <= until for row in self._rows(day))
        return grouped(
            (
                (account, total)
                for account, total in rows
                if tenant in {None, account.tenant} and key_id in {None, account.key_id}
            ),
            by,
        )

    def close(self) -> None:
        self._servers.holders.discard(self)
        if not self._servers.holders:
            self._servers.close()

    def _rows(self, day: str) -> Iterator[tuple[Account, Sum]]:
        names = {letter.encode(): name for name, letter in COUNTERS.items()}
        sums: dict[bytes, Sum] = {}
        for field, value in self._fields(self._name("day", day)):
            name = names.get(field[:1])
            if name is not None:
                setattr(sums.setdefault(field[1:], Sum()), name, int(value))
        for row, total in sums.items():
            tenant, key_id, model = msgspec.json.decode(row)
            yield Account(day, tenant, key_id, model), total

    def _fields(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the fields of a hash with their values, some at a time; one that moves about may come twice."""
        cursor: Any = b"0"
        while True:
            cursor, found = self._ask("HSCAN", name, cursor, "COUNT", STEP)
            yield from zip(found[::2], found[1::2], strict=True)
            if cursor == b"0":
                return

    def _ask(self, *words: bytes | str | int, again: bool = True, timeout_s: float | None = None) -> Any:
        deadline = monotonic() + (timeout_s or self._timeout_s)
        reply = self._servers.ask(self._tag, pack(*words), deadline, again=again)
        if isinstance(reply, hiredis.ReplyError):
            raise refusal(reply)
        return reply

    def _name(self, *words: str) -> bytes:
        return self._tag + ":".join(words).encode()

    def _names_of(self, key_id: str, kind: str, span: str) -> tuple[bytes, bytes]:
        return self._name("spent", kind, span), self._name("granted", key_id, kind, span)

    def _look_once(self) -> None:
        """Warn of a server that may throw the books away."""
        if self._looked:
            return
        self._looked = True
        node = self._servers.node_of(self._tag)
        told = node.ask(pack("INFO", "memory"), monotonic() + self._timeout_s)
        if isinstance(told, bytes) and b"\nmaxmemory_policy:allkeys" in told and b"\nmaxmemory:0\r" not in told:
            warn(
                "%s evicts whatever it likes (its maxmemory-policy begins with allkeys), keys and budgets among it; "
                "give it a volatile policy, or name another place for the books: general_settings.ledger",
                self.where,
            )


_GRANT_MS = int(GRANT_LIFE_S * 2000)


def _counts(total: Sum) -> list[str]:
    """Return a sum as counters, each with its amount."""
    amounts = zip(COUNTERS.values(), astuple(total), strict=True)
    return [word for letter, amount in amounts if amount for word in (letter, str(amount))]


def _text(*words: str) -> str:
    return msgspec.json.encode(words).decode()
