"""A store that several processes share, without any: what the leases of every store do, on a clock set by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ostinato.caching.stores.leases import LINGER_S, Claimed, Heard, Lead, Live, News, Report, Seen
from ostinato.caching.stores.memory import MemoryStore
from ostinato.errors import StoreError


@dataclass
class Standing:
    token: bytes
    until: float
    state: str = "leading"
    followed: float = 0.0
    frames: list[bytes] = field(default_factory=list)


class SharedStore(MemoryStore):
    """Entries and leases in one dictionary each; `down` makes every operation fail, `lost` every report and stream."""

    process_local = False

    def __init__(self, *, lease_s: float = 5.0, clock: Callable[[], float]) -> None:
        super().__init__(1 << 20, clock=clock)
        self.leases = SharedLeases(self, lease_s, clock)


class SharedLeases:
    live_bytes = 1 << 24
    gather_s, alone_s = 0.005, 0.05

    def __init__(self, store: SharedStore, lease_s: float, clock: Callable[[], float]) -> None:
        self.lease_s = lease_s
        self.landing: dict[bytes, bytes] = {}
        self.down = self.lost = False
        self.claims = 0
        self._store = store
        self._clock = clock
        self._standings: dict[bytes, Standing] = {}

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        self._ask()
        now = self._clock()
        entry = None if over else self._store.get(key)
        if entry is not None:
            return entry
        found = self._standings.get(key)
        if found is not None and (found.state, again) == ("over", True):
            return Live(key, found.token, list(found.frames))
        if found is not None and found.state == "leading" and now < found.until:
            found.followed = now + self.lease_s
            return Live(key, found.token, list(found.frames))
        self.claims += 1
        token = self.claims.to_bytes(16, "big")
        inherits = found is not None and found.state != "over" and found.followed
        self._standings[key] = Standing(token, now + self.lease_s, followed=now + self.lease_s if inherits else 0.0)
        return Lead(key, token, last=found is not None and found.state == "broken")

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        return self.claim(key, over=over, again=again)

    def tell(self, reports: Sequence[Report]) -> list[Heard | StoreError]:
        self._ask()
        if self.lost:
            return [StoreError("the server of this key is lost") for _ in reports]
        return [self._take(report, self._clock()) for report in reports]

    def _take(self, report: Report, now: float) -> Heard:
        found = self._standings.get(report.key)
        if found is None or found.token != report.token or found.state != "leading":
            return "fenced"
        if report.value is not None:
            self._store.set(report.key, report.value, report.ttl_s)
        followed = now < found.followed
        gone = not followed if report.end == "released" else not found.followed
        if report.end == "dropped" or (report.end is not None and gone):
            del self._standings[report.key]
            return "alone"
        found.frames += report.frames[len(found.frames) - report.position :]
        found.until = now + self.lease_s
        if report.end in {"landed", "failed", "broken"}:
            found.state = "broken" if report.end == "broken" else "over"
            found.until = now + LINGER_S
        return "followed" if followed else "alone"

    def follow(self, seen: Sequence[Seen]) -> list[News | StoreError]:
        self._ask()
        if self.lost:
            return [StoreError("the server of this key is lost") for _ in seen]
        return [self._news(one, self._clock()) for one in seen]

    def _news(self, one: Seen, now: float) -> News:
        found = self._standings.get(one.key)
        if found is None or found.token != one.token:
            return News([], gone=True)
        found.followed = now + self.lease_s
        gone = found.state == "broken" or (found.state == "leading" and found.until < now)
        return News(found.frames[one.position :], gone=gone)

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        return keys

    def interrupt(self) -> None:
        """Nobody waits here."""

    def _ask(self) -> None:
        if self.down:
            raise StoreError("the shared store is down")
