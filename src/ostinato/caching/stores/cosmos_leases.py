"""Leases in a container of Cosmos DB: items beside the entry, changed in one transaction, and polled by who follows."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from ostinato.caching.stores import cosmos_live
from ostinato.caching.stores.cosmos_items import Item, fits, id_of, item_of, partition_of, value_of
from ostinato.caching.stores.cosmos_lanes import side_by_side
from ostinato.caching.stores.leases import DROP_S, LINGER_S, Claimed, Heard, Lead, Live, News, Report, Seen
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from azure.cosmos import ContainerProxy

    from ostinato.caching.stores.cosmos_container import Container, Options

Operations = list[tuple[Any, ...]]

LEADING, BROKEN, OVER, GONE = "leading", "broken", "over", "gone"
"""What a lease's `state` says; the last, that a call is over of which nothing was told."""
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


class Leading(msgspec.Struct):
    """A lease of this process, as the container has it."""

    etag: str
    frames: int
    unmarked: str
    """The etag of the followers' mark while nobody has followed; empty: not known."""
    mark: str = ""
    """The same as last seen, and since when; empty: nobody has followed."""
    marked_at: float = -math.inf
    held: list[bytes] = []
    """Frames that were told while nobody had followed, and are not in the container."""

    @property
    def is_alone(self) -> bool:
        """Whether nobody has ever followed, as far as this process knows."""
        return bool(self.unmarked) and math.isinf(self.marked_at)

    def hold(self, report: Report) -> None:
        """Take the frames of a report that are new."""
        self.held = [*self.held, *report.frames[self.frames + len(self.held) - report.position :]]


class CosmosLeases:
    """The leases of one store. Who follows polls every 100 to 250 ms.

    A lease is an item beside its entry; who holds it knows its etag, which each of its changes is conditional on. Who
    follows puts a mark into a second. Each report that is told after that is an item of its own; what nobody has asked
    for is held by the leader, since it would cost. A leader is taken for dead by whoever has seen its lease unchanged
    for `lease_s`, by a clock of his own: no two clocks are compared.

    A claim looks for an entry only where a lease stands, which is for ten seconds after an answer was stored: whoever
    claims has looked for it before.
    """

    live_bytes = 8 * 2**20
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
                if standing["state"] in {LEADING, BROKEN}:
                    self._leading[token].marked_at = self._clock()
                return lead
        raise _contended()

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        import asyncio  # the caller's loop has loaded it; a program without one never does

        return await asyncio.to_thread(partial(self.claim, key, over=over, again=again))

    def tell(self, reports: Sequence[Report]) -> list[Heard | StoreError]:
        return side_by_side(self._tell, reports)

    def follow(self, seen: Sequence[Seen]) -> list[News | StoreError]:
        news = side_by_side(self._news, seen)
        is_new = any(isinstance(new, News) and new.frames for new in news)
        self._poll_s = POLL_S if is_new else min(self._poll_s * 1.2, SLOW_POLL_S)
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
        leading.hold(report)
        if report.end in {"released", "dropped"}:
            if self._give_back(report, leading):
                return "alone"
            report = replace(report, end=None)
        if not self._told(report, leading):
            del self._leading[report.token]
            return "fenced"
        if report.end is not None:
            del self._leading[report.token]
            if report.value is not None and not fits(report.value):
                self._container.refuse(report.key, len(report.value))
        elif leading.held and not leading.is_alone:
            # Somebody has begun to follow, and waits for what was held.
            self._write(report, leading)
        return "followed" if self._is_followed(leading) else "alone"

    def _told(self, report: Report, leading: Leading) -> bool:
        """Do what a report says. Return False where the lease is another's."""
        marks = False
        for _ in range(TRIES):
            if self._write(report, leading, marks=marks):
                return True
            standing = self._read(report.key, "lease")
            if standing is None or standing["token"] != report.token.hex():
                return False
            # It is ours after all: our last change was done and its answer lost, or the mark is another, or gone.
            leading.held = leading.held[standing["frames"] - leading.frames :]
            leading.etag, leading.frames = standing["_etag"], standing["frames"]
            if standing["state"] != LEADING:
                return True
            mark = self._read(report.key, MARK)
            marks = mark is None
            if mark is not None:
                self._see_mark(leading, mark["_etag"])
        raise _contended()

    def _write(self, report: Report, leading: Leading, *, marks: bool = False) -> bool:
        """Renew or end a lease, with what is to be told, and look at the followers' mark; with `marks`, write it.

        Return False when the lease, or the mark of a call that ends without followers, is not as this process knows
        it: nothing was done.
        """
        key, etag, value = report.key, leading.etag, report.value
        alone, ends = leading.is_alone and not marks, report.end is not None
        told = [] if alone else leading.held
        state = LEADING if report.end is None else GONE if alone else STATES[report.end]
        lease = self._lease(key, report.token, state, leading.frames + len(told))
        more: Operations = []
        if value is not None and not fits(value):
            value = None
        if told:
            item = self._item(key, _live(report.token, leading.frames), lease["ttl"])
            item = cosmos_live.write(self._container, item, told, beside=len(value or b""))
            more.append(("upsert", (item,)))
        if value is not None:
            now = self._clock()
            expires_at = None if report.ttl_s is None else now + max(0.0, report.ttl_s)
            more.append(("upsert", (item_of(key, value, expires_at, now),)))
        mark = self._item(key, MARK, MARK_S)
        if marks:
            look: tuple[Any, ...] = ("upsert", (mark,))
        elif alone and ends:
            look = ("delete", (mark["id"],), {"if_match_etag": leading.unmarked})
        else:
            look = ("read", (mark["id"],))
        done = self._transact(
            key, lambda: [("replace", (lease["id"], lease), {"if_match_etag": etag}), *more, _copy(look)]
        )
        if done is None:
            return False
        leading.etag = done[0]["eTag"]
        self._observe(key, leading.etag)
        leading.frames, leading.held = leading.frames + len(told), leading.held[len(told) :]
        if marks:
            leading.unmarked = done[-1]["eTag"]
        elif not (alone and ends):
            self._see_mark(leading, done[-1]["eTag"])
        return True

    def _give_back(self, report: Report, leading: Leading) -> bool:
        """Remove a lease; to release it, only while nobody follows. Return whether it is gone."""
        key, etag = report.key, leading.etag
        if report.end == "released" and self._is_followed_now(key, leading):
            return False
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
        gone = standing["state"] in {BROKEN, GONE} or (
            standing["state"] == LEADING and self._is_stale(one.key, standing)
        )
        return News(frames or [], gone=gone or frames is None)

    def _frames(self, key: bytes, token: bytes, position: int, count: int) -> list[bytes] | None:
        """Return the frames from `position`, where a report began, up to `count`; None where some are missing."""
        found: list[bytes] = []
        while position + len(found) < count:
            name = self._item(key, _live(token, position + len(found)), 0)["id"]
            new = cosmos_live.read(self._container, name, partition_of(key))
            if not new:
                return None
            found += new
        return found

    def _mark(self, key: bytes, token: bytes) -> None:
        self._container.put(self._item(key, MARK, MARK_S))
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
        return self._container.item(self._item(key, name, 0)["id"], partition_of(key))

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


def _contended() -> StoreError:
    return StoreError("others changed a lease in Cosmos DB again and again", retryable=True)


def _live(token: bytes, position: int) -> str:
    return f"live-{token.hex()}-{position}"


def _copy(operation: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, arguments, *conditions = operation
    return (kind, arguments, *(dict(condition) for condition in conditions))
