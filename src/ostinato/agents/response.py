"""An answer as an agent's caller reads it, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, cast

import msgspec

from ostinato.records import Answer, Chunk, Completion
from ostinato.wire.openai_chat.fold import OpenAIFold
from ostinato.wire.openai_chat.response import parse

_KNOWN = [(slot.__get__, slot.__set__) for slot in map(vars(Answer).get, Answer.__slots__) if slot is not None]
"""Reads and writes of what an answer knows of itself, past the detour that a record's attributes take."""


class Response(Completion):
    """An answer, and which entry of the `config_list` it came from."""

    __slots__ = ("_config_id", "_pass_filter")

    @classmethod
    def of(cls, completion: Completion) -> Self:
        """Return `completion` as a response, with all that it knows of itself."""
        response = cls(completion)
        for read, write in _KNOWN:
            try:
                write(response, read(completion))
            except AttributeError:
                continue
        return response

    @property
    def config_id(self) -> int:
        """Which entry of the `config_list` answered, from 0."""
        return getattr(self, "_config_id", 0)

    @property
    def pass_filter(self) -> bool:
        """Whether `filter_func` let the answer pass; only the last entry's answer is returned if it did not."""
        return getattr(self, "_pass_filter", True)

    def message_retrieval_function(self, response: Completion | None = None) -> list[Any]:
        """Return what each choice says: its text, or its message where it calls a tool."""
        return texts_or_messages(self if response is None else response)


def texts_or_messages(response: Any) -> list[Any]:
    """Return what each choice says: its text, or its message where it calls a tool or function."""
    messages = [choice.message for choice in response.choices]
    return [
        message if message.get("tool_calls") or message.get("function_call") else message.content
        for message in messages
    ]


def plain_json(response: Any) -> dict[str, Any] | None:
    """Return what a custom client answered as a JSON object, or None where it is none."""
    try:
        plain = msgspec.json.decode(msgspec.json.encode(response, enc_hook=vars))
    except (TypeError, ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", plain) if isinstance(plain, dict) else None


class Gathering:
    """Puts the chunks of a stream together again."""

    def __init__(self) -> None:
        self._fold = OpenAIFold()

    def take(self, chunk: Chunk) -> Iterable[str]:
        """Take a chunk. Return the texts in it, to be shown."""
        texts = [text for choice in chunk.choices or () if (text := dict.get(choice.delta or {}, "content"))]
        self._fold.feed(chunk.model_dump())
        return texts

    def response(self, stream: Any) -> Response:
        """Return the answer whole, with what its stream knows of it."""
        response = Response(parse(self._fold.body()))
        if stream.usage is not None:
            response["usage"] = stream.usage
        reading = stream._reading
        response._cache_hit = reading.cache_hit
        response._cache_key = reading.cache_key
        response._pricer = reading._pricer
        if reading.counted is not None:
            response._free = getattr(reading.counted, "_free", False)
        return response
