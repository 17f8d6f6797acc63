"""The functions most users call: the methods of one client a process, and of its asynchronous twin."""

from __future__ import annotations

from ostinato.client.aio import AsyncClient
from ostinato.client.sync import Client

_client = Client()
_async_client = AsyncClient()

completion = _client.completion
embedding = _client.embedding
acompletion = _async_client.acompletion
aembedding = _async_client.aembedding
