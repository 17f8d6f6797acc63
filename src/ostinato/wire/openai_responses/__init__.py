"""OpenAI's Responses API, and all who speak like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from ostinato.errors import APIError
from ostinato.records import Completion
from ostinato.wire.contract import Built, Call, Cuts, Event, Json
from ostinato.wire.openai_responses import failure, request, response, usage
from ostinato.wire.openai_responses.chunks import ResponsesTranslator
from ostinato.wire.openai_responses.fold import ResponsesFold
from ostinato.wire.openai_responses.unfold import unfold

if TYPE_CHECKING:
    from ostinato.providers import Provider
    from ostinato.wire.tokens import Tokens


class OpenAIResponses:
    """The wire `openai_responses`."""

    name = "openai_responses"
    framing: Literal["sse", "eventstream"] = "sse"

    def build(self, call: Call, provider: Provider) -> Built:
        return request.build(call, provider)

    def streaming(self, built: Built) -> Built:
        return request.streaming(built)

    def keyed_body(self, body: Json) -> Json:
        return request.keyed_body(body)

    def bypass(self, body: Json) -> str | None:
        return request.bypass(body)

    def parse(self, body: Json, headers: Mapping[str, str] | None = None) -> Completion:
        return response.parse(body, headers)

    def tokens(self, body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
        return usage.tokens(body)

    def fold(self) -> ResponsesFold:
        return ResponsesFold()

    def translator(self) -> ResponsesTranslator:
        return ResponsesTranslator()

    def unfold(self, body: Json, cuts: Cuts | None) -> Iterator[Event]:
        return unfold(body, cuts)

    def incomplete(self, body: Json) -> str | None:
        return response.incomplete(body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> APIError:
        return failure.error(status, headers, body)

    def event_error(self, event: Event) -> APIError | None:
        return failure.event_error(event)


WIRE = OpenAIResponses()
