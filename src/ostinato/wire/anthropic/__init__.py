"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from ostinato.errors import APIError
from ostinato.records import Completion
from ostinato.wire.anthropic import failure, marks, request, response
from ostinato.wire.anthropic.chunks import AnthropicTranslator
from ostinato.wire.anthropic.fold import AnthropicFold
from ostinato.wire.anthropic.unfold import unfold
from ostinato.wire.contract import Built, Call, Cuts, Event, Fold, Json, Translator

if TYPE_CHECKING:
    from ostinato.providers import Provider
    from ostinato.wire.tokens import Tokens


class Anthropic:
    """The wire `anthropic`."""

    name = "anthropic"
    framing: Literal["sse", "eventstream"] = "sse"

    def build(self, call: Call, provider: Provider) -> Built:
        return request.build(call, provider)

    def streaming(self, built: Built) -> Built:
        return request.streaming(built)

    def keyed_body(self, body: Json) -> Json:
        return marks.keyed_body(body)

    def bypass(self, body: Json) -> str | None:
        return request.bypass(body)

    def parse(self, body: Json, headers: Mapping[str, str] | None = None) -> Completion:
        return response.parse(body, headers)

    def tokens(self, body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
        return response.tokens(body)

    def fold(self) -> Fold:
        return AnthropicFold()

    def translator(self) -> Translator:
        return AnthropicTranslator()

    def unfold(self, body: Json, cuts: Cuts | None) -> Iterator[Event]:
        return unfold(body, cuts)

    def incomplete(self, body: Json) -> str | None:
        return response.incomplete(body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> APIError:
        return failure.error(status, headers, body)

    def event_error(self, event: Event) -> APIError | None:
        return failure.event_error(event)


WIRE = Anthropic()
