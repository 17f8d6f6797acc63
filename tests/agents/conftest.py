"""What the tests of the agents share: OpenAI at the emulator, an empty folder, and chats in both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import ConversableAgent, OpenAIWrapper
from ostinato.testing.emulator import Emulator


@pytest.fixture(autouse=True)
def openai(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point OpenAI's variables at the emulator."""
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def create_sync(wrapper: OpenAIWrapper, **config: Any) -> Any:
    return wrapper.create(**config)


def create_async(wrapper: OpenAIWrapper, **config: Any) -> Any:
    return asyncio.run(wrapper.acreate(**config))


@pytest.fixture(params=[create_sync, create_async], ids=["sync", "async"])
def create(request: pytest.FixtureRequest) -> Any:
    """Ask through a wrapper, in either world."""
    return request.param


def chat_sync(sender: ConversableAgent, recipient: Any, **settings: Any) -> Any:
    return sender.initiate_chat(recipient, **{"silent": True, **settings})


def chat_async(sender: ConversableAgent, recipient: Any, **settings: Any) -> Any:
    return asyncio.run(sender.a_initiate_chat(recipient, **{"silent": True, **settings}))


@pytest.fixture(params=[chat_sync, chat_async], ids=["sync", "async"])
def chat(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Hold a chat, in either world; silent unless told otherwise."""
    run: Callable[..., Any] = request.param
    return run
