"""OpenAI's chat completions, and all who speak like them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from ostinato.errors import APIError
from ostinato.records import Completion
from ostinato.wire.contract import Built, Call, Cuts, Event, Json
from ostinato.wire.openai_chat import failure, request, response
from ostinato.wire.openai_chat.fold import OpenAIFold
from ostinato.wire.openai_chat.unfold import OpenAITranslator, unfold
from ostinato.wire.openai_chat.usage import used_tokens

if TYPE_CHECKING:
    from ostinato.providers import Provider
    from ostinato.wire.tokens import Tokens


class OpenAIChat:
    """The wire `openai_chat`."""

    name = "openai_chat"
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
        return used_tokens(body)

    def fold(self) -> OpenAIFold:
        return OpenAIFold()

    def translator(self) -> OpenAITranslator:
        return OpenAITranslator()

    def unfold(self, body: Json, cuts: Cuts | None) -> Iterator[Event]:
        return unfold(body, cuts)

    def incomplete(self, body: Json) -> str | None:
        return response.incomplete(body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> APIError:
        return failure.error(status, headers, body)

    def event_error(self, event: Event) -> APIError | None:
        return failure.event_error(event)


WIRE = OpenAIChat()
