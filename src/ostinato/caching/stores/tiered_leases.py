"""The leases of two stores as one: those of the shared one, whose new entries are kept in the fast one, too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ostinato.caching.stores.leases import Claimed, Heard, Leases, News, Report, Seen
from ostinato.errors import StoreError


class TieredLeases:
    """The shared store's leases. `settled` is called with each entry that they stored: key, value, seconds to live."""

    def __init__(self, shared: Leases, settled: Callable[[bytes, bytes, float | None], None]) -> None:
        self.lease_s = shared.lease_s
        self.landing = shared.landing
        self.gather_s = shared.gather_s
        self.alone_s = shared.alone_s
        self.live_bytes = shared.live_bytes
        self._shared = shared
        self._settled = settled

    def claim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        return self._shared.claim(key, over=over, again=again)

    async def aclaim(self, key: bytes, *, over: bool = False, again: bool = False) -> Claimed:
        return await self._shared.aclaim(key, over=over, again=again)

    def tell(self, reports: Sequence[Report]) -> Sequence[Heard | StoreError]:
        heard = self._shared.tell(reports)
        for report, word in zip(reports, heard, strict=True):
            if report.value is not None and word in {"alone", "followed"}:
                self._settled(report.key, report.value, report.ttl_s)
        return heard

    def follow(self, seen: Sequence[Seen]) -> Sequence[News | StoreError]:
        return self._shared.follow(seen)

    def wait(self, keys: Collection[bytes], seconds: float) -> Collection[bytes]:
        return self._shared.wait(keys, seconds)

    def interrupt(self) -> None:
        self._shared.interrupt()
