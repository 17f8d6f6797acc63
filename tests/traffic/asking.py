"""The public call, made for a record in either world."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

import ostinato
from ostinato import Cache, OstinatoError, api
from ostinato.providers import PROVIDERS
from tests.traffic.replay import RECORD_HEADER
from tests.traffic.told import Json

HELLO = [{"role": "user", "content": "hello"}]
_CHATS = {"chat": "", "responses": "responses/", "embeddings": ""}
_PATIENCE_S = 30


def vendor_of(record: Json) -> str:
    """Return who answered: the corpus's provider, or the vendor's own name among those that speak OpenAI's chat."""
    named = next((tag.removeprefix("vendor:") for tag in record["tags"] if tag.startswith("vendor:")), None)
    return named or str(record["provider"])


def provider_of(record: Json) -> str:
    """Return the name of the row that is to answer."""
    provider = str(record["provider"])
    if provider.startswith("bedrock-"):
        return "bedrock"
    vendor = vendor_of(record)
    if provider == "other-openai-compatible":
        return vendor if vendor in PROVIDERS else "openai_compatible"
    return provider


def model_of(record: Json) -> str:
    """Return the model as a caller writes it."""
    row, api = provider_of(record), record["api"]
    asked = record["request"]["json"]
    named = asked.get("model") if isinstance(asked, dict) else None
    if row == "bedrock":
        return "bedrock/converse/us.amazon.nova-lite-v1:0" if api.startswith("conv") else "bedrock/invoke/anthropic.claude-3-haiku"
    return f"{row}/{_CHATS.get(api, '')}{named or 'a-model'}"


@dataclass
class Heard:
    """What came of a call."""

    whole: Any = None
    chunks: list[Any] = field(default_factory=list)
    error: OstinatoError | None = None
    stream: Any = None


class Caller:
    """Makes calls by waiting, and by awaiting on an event loop in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._await(api._async_client.aclose())
        api._client.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _await(self, making: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(making, self._loop).result(_PATIENCE_S)

    def settings(self, record: Json) -> Json:
        """Return what every call for a record has."""
        return {
            "api_base": self._url,
            "api_key": "planted",
            "num_retries": 0,
            "extra_headers": {RECORD_HEADER: record["id"]},
        }

    def ask(self, record: Json, *, stream: bool, cache: Cache | None = None) -> Heard:
        """Ask with a minimal request of our own."""
        call = {"model": model_of(record), "messages": HELLO, "cache": cache, **self.settings(record)}
        if stream:
            call["stream_options"] = {"include_usage": True}
        return self._call(record, stream, call)

    def ask_recorded(self, record: Json) -> Heard:
        """Ask with the recorded request, whatever it holds."""
        request = {**record["request"]["json"], "model": model_of(record)}
        stream = bool(request.pop("stream", False))
        return self._call(record, stream, {**request, **self.settings(record)})

    def embed(self, record: Json, *, cache: Cache | None = None) -> Heard:
        """Ask for embeddings with the recorded request."""
        request = {**record["request"]["json"], "model": model_of(record)}
        call = {**request, "cache": cache, **self.settings(record)}
        heard = Heard()
        try:
            heard.whole = (
                self._await(ostinato.aembedding(**call))
                if self.awaits(record)
                else ostinato.embedding(**call)
            )
        except OstinatoError as error:
            heard.error = error
        return heard

    @staticmethod
    def awaits(record: Json) -> bool:
        """Return whether this record is asked for by awaiting: every third is."""
        return hashlib.sha256(record["id"].encode()).digest()[0] % 3 == 0

    def _call(self, record: Json, stream: bool, call: Json) -> Heard:
        heard = Heard()
        try:
            if self.awaits(record):
                self._await(self._awaited(heard, stream, call))
            else:
                self._waited(heard, stream, call)
        except OstinatoError as error:
            heard.error = error
        return heard

    def _waited(self, heard: Heard, stream: bool, call: Json) -> None:
        answer = ostinato.completion(**call, stream=stream)
        if not stream:
            heard.whole = answer
            return
        heard.stream = answer
        for chunk in answer:
            heard.chunks.append(chunk)

    async def _awaited(self, heard: Heard, stream: bool, call: Json) -> None:
        answer = await ostinato.acompletion(**call, stream=stream)
        if not stream:
            heard.whole = answer
            return
        heard.stream = answer
        async for chunk in answer:
            heard.chunks.append(chunk)
