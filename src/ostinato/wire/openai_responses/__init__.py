"""OpenAI's Responses API, and all who speak like it."""

from __future__ import annotations

from ostinato.wire.contract import Wire
from ostinato.wire.openai_responses import failure, request, response, usage
from ostinato.wire.openai_responses.chunks import ResponsesTranslator
from ostinato.wire.openai_responses.fold import ResponsesFold
from ostinato.wire.openai_responses.unfold import unfold

WIRE = Wire(
    name="openai_responses",
    framing="sse",
    build=request.build,
    streaming=request.streaming,
    keyed_body=request.keyed_body,
    bypass=request.bypass,
    parse=response.parse,
    tokens=usage.tokens,
    fold=ResponsesFold,
    translator=ResponsesTranslator,
    unfold=unfold,
    incomplete=response.incomplete,
    error=failure.error,
    event_error=failure.event_error,
)
