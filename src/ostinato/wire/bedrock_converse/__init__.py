"""Amazon Bedrock's Converse and ConverseStream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from ostinato.errors import APIError
from ostinato.records import Completion
from ostinato.wire.bedrock_converse import failure, marks, request, response
from ostinato.wire.bedrock_converse.fold import ConverseFold
from ostinato.wire.bedrock_converse.unfold import ConverseTranslator, unfold
from ostinato.wire.contract import Built, Call, Cuts, Event, Json

if TYPE_CHECKING:
    from ostinato.providers import Provider
    from ostinato.wire.tokens import Tokens


class BedrockConverse:
    """The wire `bedrock_converse`. An answer says neither its id, nor when it was made, nor its model."""

    name = "bedrock_converse"
    framing: Literal["sse", "eventstream"] = "eventstream"

    def build(self, call: Call, provider: Provider) -> Built:
        return request.build(call, provider)

    def streaming(self, built: Built) -> Built:
        return request.streaming(built)

    def keyed_body(self, body: Json) -> Json:
        return marks.keyed_body(body)

    def bypass(self, body: Json) -> str | None:
        return request.bypass(body)

    def parse(self, body: Json, headers: Mapping[str, str] | None = None) -> Completion:
        return response.parse(body)

    def tokens(self, body: Json, headers: Mapping[str, str] | None = None) -> list[Tokens] | None:
        return response.tokens(body)

    def fold(self) -> ConverseFold:
        return ConverseFold()

    def translator(self) -> ConverseTranslator:
        return ConverseTranslator()

    def unfold(self, body: Json, cuts: Cuts | None) -> Iterator[Event]:
        return unfold(body, cuts)

    def incomplete(self, body: Json) -> str | None:
        return response.incomplete(body)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> APIError:
        return failure.error(status, headers, body)

    def event_error(self, event: Event) -> APIError | None:
        return failure.event_error(event)


WIRE = BedrockConverse()
