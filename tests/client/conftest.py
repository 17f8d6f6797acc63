"""What the tests of the public calls share: OpenAI at the emulator, and a call by waiting and by awaiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ostinato import acompletion, completion
from ostinato.testing.emulator import Emulator


@pytest.fixture(autouse=True)
def openai(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point OpenAI's variables at the emulator."""
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)


def ask_sync(*args: Any, **kwargs: Any) -> Any:
    answer = completion(*args, **kwargs)
    return list(answer) if kwargs.get("stream") else answer


def ask_async(*args: Any, **kwargs: Any) -> Any:
    async def run() -> Any:
        answer = await acompletion(*args, **kwargs)
        return [chunk async for chunk in answer] if kwargs.get("stream") else answer

    return asyncio.run(run())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Make a call and read its answer to the end, in either world."""
    return request.param


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hold the vendor's answer back until it is set; always set in the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Run calls in threads."""
    with ThreadPoolExecutor(120) as executor:
        yield executor
