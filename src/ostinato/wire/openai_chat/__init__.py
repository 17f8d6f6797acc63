"""OpenAI's chat completions, and all who speak like them."""

from __future__ import annotations

from ostinato.wire.contract import Wire
from ostinato.wire.openai_chat import failure, request, response
from ostinato.wire.openai_chat.fold import OpenAIFold
from ostinato.wire.openai_chat.unfold import OpenAITranslator, unfold
from ostinato.wire.openai_chat.usage import used_tokens

WIRE = Wire(
    name="openai_chat",
    framing="sse",
    build=request.build,
    streaming=request.streaming,
    keyed_body=request.keyed_body,
    bypass=request.bypass,
    parse=response.parse,
    tokens=used_tokens,
    fold=OpenAIFold,
    translator=OpenAITranslator,
    unfold=unfold,
    incomplete=response.incomplete,
    error=failure.error,
    event_error=failure.event_error,
)
