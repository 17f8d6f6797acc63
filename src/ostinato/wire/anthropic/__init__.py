"""Anthropic's messages."""

from __future__ import annotations

from ostinato.wire.anthropic import failure, marks, request, response
from ostinato.wire.anthropic.chunks import AnthropicTranslator
from ostinato.wire.anthropic.fold import AnthropicFold
from ostinato.wire.anthropic.unfold import unfold
from ostinato.wire.contract import Wire

WIRE = Wire(
    name="anthropic",
    framing="sse",
    build=request.build,
    streaming=request.streaming,
    keyed_body=marks.keyed_body,
    bypass=request.bypass,
    parse=response.parse,
    tokens=response.tokens,
    fold=AnthropicFold,
    translator=AnthropicTranslator,
    unfold=unfold,
    incomplete=response.incomplete,
    error=failure.error,
    event_error=failure.event_error,
)
