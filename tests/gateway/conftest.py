"""What the tests of the gateway over HTTP share: one gateway before the emulator, and the official clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ostinato.testing.emulator import Emulator
from tests.gateway.places import Place
from tests.gateway.serving import VENDORS, Serving, config_for, join_all
from tests.stores.redis_server import PASSWORD, RedisServer, binaries


@pytest.fixture(scope="session", autouse=True)
def _end_servers() -> Iterator[None]:
    yield
    join_all()


@pytest.fixture
def gateway(emulator: Emulator) -> Iterator[Serving]:
    """Serve every vendor behind the emulator, with a cache in memory."""
    with Serving(config_for(emulator)) as serving:
        yield serving


@pytest.fixture
def http(gateway: Serving) -> Iterator[httpx2.Client]:
    """Ask the gateway byte by byte."""
    with httpx2.Client(base_url=gateway.url, timeout=30) as client:
        yield client


@pytest.fixture
def oai(gateway: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(gateway: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Any:
    """The name of a model, one of each vendor."""
    return request.param


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis for all tests."""
    with RedisServer(binaries()[0], password=PASSWORD) as running:
        yield running


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for the books of a gateway, of every kind."""
    return Place(tmp_path, request.getfixturevalue("redis_server").settings if request.param == "redis" else None)
