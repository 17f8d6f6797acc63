"""Amazon Bedrock's Converse and ConverseStream. An answer says neither its id, nor its date, nor its model."""

from __future__ import annotations

from ostinato.wire.bedrock_converse import failure, marks, request, response
from ostinato.wire.bedrock_converse.fold import ConverseFold
from ostinato.wire.bedrock_converse.unfold import ConverseTranslator, unfold
from ostinato.wire.contract import Wire

WIRE = Wire(
    name="bedrock_converse",
    framing="eventstream",
    build=request.build,
    streaming=request.streaming,
    keyed_body=marks.keyed_body,
    bypass=request.bypass,
    parse=response.parse,
    tokens=response.tokens,
    fold=ConverseFold,
    translator=ConverseTranslator,
    unfold=unfold,
    incomplete=response.incomplete,
    error=failure.error,
    event_error=failure.event_error,
)
