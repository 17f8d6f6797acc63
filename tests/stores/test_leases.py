"""The leases of every store, held to one suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("ostinato.testing.lease_suite")

from ostinato.caching.stores.disk import DiskStore  # noqa: E402
from ostinato.testing.lease_suite import LeaseSuite, LeasingStore  # noqa: E402
from tests.caching.shared_store import SharedStore  # noqa: E402


class TestSharedLeases(LeaseSuite):
    """The stand-in that other tests rely on."""

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        return SharedStore(lease_s=self.lease_s, clock=clock)


class TestDiskLeases(LeaseSuite):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "cache"

    def make_store(self, clock: Callable[[], float]) -> LeasingStore:
        return DiskStore(self.folder, lease_s=self.lease_s, clock=clock)  # type: ignore[return-value]  # it has leases
