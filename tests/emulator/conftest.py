"""Clients that are made once: each has certificates to load that loopback never asks for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator
from tests.client.calls import LONG_S


@pytest.fixture(scope="session")
def http() -> Iterator[httpx2.Client]:
    """A plain HTTP client."""
    with httpx2.Client(timeout=LONG_S) as client:
        yield client


@pytest.fixture(scope="session")
def _openai_client() -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url="http://nowhere.invalid", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def client(emulator: Emulator, _openai_client: openai.OpenAI) -> openai.OpenAI:
    """The official client, pointed at the emulator."""
    return _openai_client.with_options(base_url=emulator.base_url)
