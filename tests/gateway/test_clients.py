"""The official clients against the gateway, each vendor behind each dialect; `make matrix` prints it as a table."""

from __future__ import annotations

import pytest

from ostinato.testing.emulator import Emulator
from tests.gateway.clients import INSTALLED_BESIDE, WAYS, MissingClientError
from tests.gateway.serving import VENDORS, Serving


@pytest.mark.parametrize("name", [name for name in WAYS if name not in INSTALLED_BESIDE])
def test_every_vendor_answers_and_its_hit_is_the_same(name: str, gateway: Serving, emulator: Emulator) -> None:
    for vendor in VENDORS:
        try:
            first = WAYS[name](gateway.url, vendor)
        except MissingClientError as missing:
            pytest.skip(str(missing))
        paid = len(emulator.paid_calls)
        second = WAYS[name](gateway.url, vendor)

        assert second == first, vendor
        assert len(emulator.paid_calls) == paid, vendor
