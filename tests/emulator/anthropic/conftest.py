"""The official client, made once: it has certificates to load that loopback never asks for."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from ostinato.testing.emulator import Emulator


@pytest.fixture(scope="session")
def _anthropic_client() -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url="http://nowhere.invalid", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(emulator: Emulator, _anthropic_client: anthropic.Anthropic) -> anthropic.Anthropic:
    """The official client, pointed at the emulator."""
    return _anthropic_client.with_options(base_url=emulator.anthropic_url)
