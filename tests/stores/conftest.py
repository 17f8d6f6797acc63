from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores.cosmos_emulator import CosmosEmulator


@pytest.fixture(scope="session")
def cosmos_server() -> Iterator[CosmosEmulator]:
    """Start the emulator, once for all tests."""
    with CosmosEmulator() as running:
        yield running


@pytest.fixture
def cosmos(cosmos_server: CosmosEmulator) -> Iterator[CosmosEmulator]:
    """The emulator, without faults, and with nothing asked so far."""
    cosmos_server.fault(times=0)
    cosmos_server.requests()
    yield cosmos_server
    cosmos_server.fault(times=0)
