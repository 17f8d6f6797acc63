"""Leases in a container of Cosmos DB: items beside the entry, changed in one transaction, and polled by who follows."""

from __future__ import annotations

import base64
import binascii
import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.stores.cosmos_items import Item, fits, id_of, item_of, partition_of, value_of
from ostinato.caching.stores.leases import DROP_S, LINGER_S, Claimed, Heard, Lead, Live, News, Report, Seen
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy

    from ostinato.caching.stores.cosmos_container import Container, Options

Operations = list[tuple[Any, ...]]

LEADING, BROKEN, OVER = "leading", "broken", "over"
POLL_S = 0.1
SLOW_POLL_S = 0.25
"""How often who follows looks for news: at first, and when none has come for a while."""
TRIES = 5
"""How often a claim begins anew when others change the lease under it."""
MOST_OBSERVED = 10_000
MARK = "followed"
MARK_S = 2 * int(DROP_S)
"""Who follows says so in an item that outlives the lease."""
STATES = {"landed": OVER, "failed": OVER, "broken": BROKEN}
NOT_DONE = frozenset({404, 409, 412})
"""An item is missing, is there already, or was changed: nothing of the transaction was done."""

_encode = msgspec.msgpack.Encoder().encode
_frames_of = msgspec.msgpack.Decoder(list[bytes]).decode


class Leading(msgspec.Struct):
    """A lease of this process, as the container has it."""

    etag: str
    frames: int
    unmarked: str
    """The etag of the followers' mark while nobody has followed."""
    mark: str = ""
    """The same as last seen, and since when; empty: nobody has followed."""
    marked_at: float = -math.inf


class CosmosLeases:
    """The leases of one store. Who follows polls every 100 to 250 ms.

    A lease is an item beside its entry; who holds it knows its etag, which each of its changes is conditional on. Each
    report is an item of its own, and who follows puts a mark into a third. A leader is taken for dead by whoever has
    seen its lease unchanged for `lease_s`, by a clock of his own: no two clocks are compared.

    A claim looks for an entry only where a lease stands, which is for ten seconds after an answer was stored: whoever
    claims has looked for it before.
    """

    live_bytes = 2**20
    gather_s = 0.1
    alone_s = 1.0

    def __init__(self, container: Container, *, lease_s: float, clock: Callable[[], float]) -> None:
        self.lease_s = lease_s
        self.landing: dict[bytes, bytes] = {}
        self._container = container
        self._clock = clock
        self._leading: dict[bytes, Leading] = {}
        self._observed: dict[bytes, tuple[str, float]] = {}
        """The etag of each lease that was seen, and since when it has not changed."""
        self._marked_at: dict[bytes, float] = {}
        self._poll_s = POLL_S

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        token = os.urandom(16)
        begin = self._lease(key, token, LEADING, 0)
        last = False
        for _ in range(TRIES):
            lead = self._take(key, token, ("create", (begin,)))
            if lead is not None:
                return lead
            standing = self._read(key, "lease")
            if standing is None:
                continue
            entry = None if over else self._container.read(key)
            value = None if entry is None else value_of(entry, self._clock())
            if value is not None:
                return value
            if standing["state"] == LEADING and not self._is_stale(key, standing):
                if standing["token"] == token.hex():
                    # The answer to an earlier try was lost.
                    return self._led(key, token, standing["_etag"], "", last=last)
                return self._attach(key, standing)
            if standing["state"] == OVER and again:
                return self._attach(key, standing)
            last = standing["state"] == BROKEN
            etag = {"if_match_etag": standing["_etag"]}
            lead = self._take(key, token, ("replace", (begin["id"], begin), etag), last=last)
            if lead is not None:
                if standing["state"] != OVER:
                    self._leading[token].marked_at = self._clock()
                return lead
        raise StoreError("others changed a lease in Cosmos DB again and again", retryable=True)

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        import asyncio  # the caller's loop has loaded it; a program without one never does

        return await asyncio.to_thread(partial(self.claim, key, over=over, again=again))

    def tell(self, reports: Sequence[Report]) -> list[Heard]:
        return [self._tell(report) for report in reports]

    def follow(self, seen: Sequence[Seen]) -> list[News]:
        news = [self._news(one) for one in seen]
        self._poll_s = POLL_S if any(new.frames for new in news) else min(self._poll_s * 1.2, SLOW_POLL_S)
        return news

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        if keys:
            time.sleep(min(seconds, self._poll_s))
        return keys

    def interrupt(self) -> None:
        self._poll_s = POLL_S

    # Leading.

    def _take(self, key: bytes, token: bytes, operation: tuple[Any, ...], *, last: bool = False) -> Lead | None:
        """Write a lease, and a mark that says that nobody follows. Return None where another stands."""
        done = self._transact(key, lambda: [_copy(operation), ("upsert", (self._item(key, MARK, MARK_S),))])
        return None if done is None else self._led(key, token, done[0]["eTag"], done[1]["eTag"], last=last)

    def _led(self, key: bytes, token: bytes, etag: str, unmarked: str, *, last: bool) -> Lead:
        self._leading[token] = Leading(etag, 0, unmarked)
        self._observe(key, etag)
        return Lead(key, token, last=last)

    def _tell(self, report: Report) -> Heard:
        leading = self._leading.get(report.token)
        if leading is None:
            return "fenced"
        end = report.end
        if end == "dropped" or (end == "released" and not self._is_followed_now(report.key, leading)):
            if self._give_back(report, leading):
                return "alone"
            end = None
        state = STATES.get(end or "", LEADING)
        done = self._write(report, leading, state)
        if done is None:
            standing = self._read(report.key, "lease")
            if standing is None or standing["token"] != report.token.hex():
                del self._leading[report.token]
                return "fenced"
            # It is ours after all: our last change was done and its answer lost, or the mark is gone.
            leading.etag, leading.frames = standing["_etag"], standing["frames"]
            if standing["state"] == LEADING:
                marks = self._read(report.key, MARK) is None
                done = self._write(report, leading, state, marks=marks)
                if done is not None and marks:
                    leading.unmarked = done[-1]["eTag"]
        if done is not None:
            leading.etag = done[0]["eTag"]
            leading.frames = max(leading.frames, report.position + len(report.frames))
            self._observe(report.key, leading.etag)
            self._see_mark(leading, done[-1]["eTag"])
        if state != LEADING:
            del self._leading[report.token]
        return "followed" if self._is_followed(leading) else "alone"

    def _write(self, report: Report, leading: Leading, state: str, *, marks: bool = False) -> list[Any] | None:
        """Renew or end a lease, with what was told, and read the followers' mark, or write it where it may be gone.

        Return None when the lease, as this process knows it, is not there any more.
        """
        key = report.key
        new = report.frames[leading.frames - report.position :]
        lease = self._lease(key, report.token, state, leading.frames + len(new))
        more: Operations = []
        if new:
            told = {"data": base64.b64encode(_encode(new)).decode("ascii")}
            more.append(("upsert", ({**self._item(key, _live(report.token, leading.frames), lease["ttl"]), **told},)))
        if report.value is not None and fits(report.value):
            now = self._clock()
            expires_at = None if report.ttl_s is None else now + max(0.0, report.ttl_s)
            more.append(("upsert", (item_of(key, report.value, expires_at, now),)))
        mark = self._item(key, MARK, MARK_S)
        etag = leading.etag
        return self._transact(
            key,
            lambda: [
                ("replace", (lease["id"], lease), {"if_match_etag": etag}),
                *more,
                ("upsert", (mark,)) if marks else ("read", (mark["id"],)),
            ],
        )

    def _give_back(self, report: Report, leading: Leading) -> bool:
        """Remove a lease; to release it, only while nobody has begun to follow. Return whether it is gone."""
        key, etag = report.key, leading.etag
        mark, lease = self._item(key, MARK, 0)["id"], self._item(key, "lease", 0)["id"]
        unfollowed = {} if report.end == "dropped" else {"if_match_etag": leading.mark or leading.unmarked}
        done = self._transact(
            key, lambda: [("delete", (mark,), dict(unfollowed)), ("delete", (lease,), {"if_match_etag": etag})]
        )
        standing = self._read(key, "lease") if done is None else None
        gone = standing is None or standing["token"] != report.token.hex()
        if gone:
            del self._leading[report.token]
        return gone

    def _is_followed_now(self, key: bytes, leading: Leading) -> bool:
        mark = self._read(key, MARK)
        if mark is not None:
            self._see_mark(leading, mark["_etag"])
        return self._is_followed(leading)

    def _see_mark(self, leading: Leading, etag: str) -> None:
        if etag not in {leading.unmarked, leading.mark}:
            if leading.unmarked:
                leading.mark, leading.marked_at = etag, self._clock()
            else:
                leading.unmarked = etag

    def _is_followed(self, leading: Leading) -> bool:
        return self._clock() < leading.marked_at + self.lease_s

    # Following.

    def _attach(self, key: bytes, standing: Item) -> Live | None:
        token = bytes.fromhex(standing["token"])
        self._mark(key, token)
        frames = self._frames(key, token, 0, standing["frames"])
        return None if frames is None else Live(key, token, frames)

    def _news(self, one: Seen) -> News:
        standing = self._read(one.key, "lease")
        if standing is None or standing["token"] != one.token.hex():
            return News([], gone=True)
        if self._clock() >= self._marked_at.get(one.token, -math.inf) + self.lease_s / 2:
            self._mark(one.key, one.token)
        frames = self._frames(one.key, one.token, one.position, standing["frames"])
        gone = standing["state"] == BROKEN or (standing["state"] == LEADING and self._is_stale(one.key, standing))
        return News(frames or [], gone=gone or frames is None)

    def _frames(self, key: bytes, token: bytes, position: int, count: int) -> list[bytes] | None:
        """Return the frames from `position`, where a report began, up to `count`; None where some are missing."""
        found: list[bytes] = []
        while position + len(found) < count:
            item = self._read(key, _live(token, position + len(found)))
            try:
                new = [] if item is None else _frames_of(base64.b64decode(item["data"], validate=True))
            except (KeyError, TypeError, binascii.Error, msgspec.DecodeError):
                new = []
            if not new:
                return None
            found += new
        return found

    def _mark(self, key: bytes, token: bytes) -> None:
        mark = self._item(key, MARK, MARK_S)
        self._container.ask(lambda proxy, options: proxy.upsert_item(mark, no_response=True, **options))
        if len(self._marked_at) >= MOST_OBSERVED:
            self._marked_at.clear()
        self._marked_at[token] = self._clock()

    def _is_stale(self, key: bytes, standing: Item) -> bool:
        """Return whether the lease has not changed for as long as it lasts, as far as this process has seen."""
        etag, since = self._observed.get(key, ("", 0.0))
        if etag != standing["_etag"]:
            self._observe(key, standing["_etag"])
            return False
        return self._clock() >= since + self.lease_s

    def _observe(self, key: bytes, etag: str) -> None:
        if len(self._observed) >= MOST_OBSERVED:
            self._observed.clear()
        self._observed[key] = (etag, self._clock())

    # Items.

    def _lease(self, key: bytes, token: bytes, state: str, frames: int) -> Item:
        lease = self._item(key, "lease", int(DROP_S) if state == LEADING else math.ceil(LINGER_S))
        return {**lease, "token": token.hex(), "state": state, "frames": frames}

    def _item(self, key: bytes, name: str, ttl_s: int) -> Item:
        return {"id": f"{id_of(key)}-{name}", "partitionKey": partition_of(key), "ttl": max(1, ttl_s)}

    def _read(self, key: bytes, name: str) -> Item | None:
        from azure.cosmos.exceptions import CosmosResourceNotFoundError

        item = self._item(key, name, 0)
        charge = self._container.tally.charge

        def question(proxy: ContainerProxy, options: Options) -> Item | None:
            try:
                return proxy.read_item(item["id"], item["partitionKey"], response_hook=charge, **options)
            except CosmosResourceNotFoundError as exc:
                charge(exc.headers or {})
                return None

        return self._container.ask(question)

    def _transact(self, key: bytes, operations: Callable[[], Operations]) -> list[Any] | None:
        """Do all operations or none, in one round trip. Return what each came to; None where a condition fails.

        The SDK takes the conditions out of what it is given, so each try is given anew.
        """
        from azure.cosmos.exceptions import CosmosBatchOperationError

        charge = self._container.tally.charge

        def question(proxy: ContainerProxy, options: Options) -> list[Any] | None:
            try:
                done: Any = proxy.execute_item_batch(operations(), partition_of(key), response_hook=charge, **options)
            except CosmosBatchOperationError as exc:
                if exc.status_code in NOT_DONE:
                    return None
                raise
            return list(done)

        return self._container.ask(question)


def _live(token: bytes, position: int) -> str:
    return f"live-{token.hex()}-{position}"


def _copy(operation: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, arguments, *conditions = operation
    return (kind, arguments, *(dict(condition) for condition in conditions))
