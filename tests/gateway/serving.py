"""A gateway to test against: the real server, on a free port of this machine."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn

from ostinato.gateway.config import Config, read
from ostinato.gateway.endpoints import make_app
from ostinato.gateway.protocol import protocol_class, sweep
from ostinato.gateway.service import Service
from ostinato.testing.emulator import Emulator

VENDORS = ("gpt", "claude", "converse", "invoke", "deepseek", "responses")
"""The models that the gateway of the tests offers, one of each vendor and door."""

KEY = "planted-vendor-key"

_CONFIG = """
model_list:
  - model_name: gpt
    litellm_params: {{model: openai/gpt-4o, api_base: "{openai}", api_key: {key}}}
  - model_name: claude
    litellm_params: {{model: anthropic/claude-sonnet-4-5, api_base: "{anthropic}", api_key: {key}}}
  - model_name: converse
    litellm_params:
      {{model: "bedrock/converse/us.anthropic.claude-sonnet-4-5-20250929-v1:0", api_base: "{bedrock}", api_key: {key}}}
  - model_name: invoke
    litellm_params:
      {{model: "bedrock/invoke/us.anthropic.claude-sonnet-4-5-20250929-v1:0", api_base: "{bedrock}", api_key: {key}}}
  - model_name: deepseek
    litellm_params: {{model: deepseek/deepseek-chat, api_base: "{openai}", api_key: {key}}}
  - model_name: responses
    litellm_params: {{model: openai/responses/gpt-4o, api_base: "{openai}", api_key: {key}}}
  - model_name: embed
    litellm_params: {{model: openai/text-embedding-3-small, api_base: "{openai}", api_key: {key}}}
{more}
"""

CACHE = """
litellm_settings:
  cache: true
  cache_params: {type: local}
"""


def config_for(emulator: Emulator, more: str = CACHE) -> str:
    """Return a configuration with every vendor at the emulator."""
    return _CONFIG.format(
        openai=emulator.base_url, anthropic=emulator.anthropic_url, bedrock=emulator.bedrock_url, key=KEY, more=more
    )


class Serving:
    """A gateway in a thread of its own, until the block ends."""

    def __init__(self, config: Config | str, **service: Any) -> None:
        self.config = read(config) if isinstance(config, str) else config
        self.service = Service(self.config, **service)
        self.app = make_app(self.service)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._socket.getsockname()[1]
        settings = uvicorn.Config(
            self.app,
            http=protocol_class(self.config.limits),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            sweeping = asyncio.ensure_future(sweep(self._server.server_state.connections, self.config.limits))
            await self._server.serve(sockets=[self._socket])
            sweeping.cancel()

        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(serve())

    @property
    def url(self) -> str:
        """Where it listens, without `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        while not self._server.started and self._thread.is_alive():
            waited.wait(0.001)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.should_exit = True
        _ending.append(self._thread)


_ending: list[threading.Thread] = []
"""Servers that were told to end: each takes 0.2 s for it, and nobody has to wait."""


def join_all() -> None:
    """Wait until every server has ended."""
    while _ending:
        _ending.pop().join(10)
