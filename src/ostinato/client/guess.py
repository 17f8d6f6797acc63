"""What a call takes, about, where no vendor has counted it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.records import Completion, Usage
from ostinato.wire.tokens import Tokens

if TYPE_CHECKING:
    from ostinato.wire.contract import Json, Wire

_decode = msgspec.json.Decoder().decode

CHARACTERS_PER_TOKEN = 4
"""Of English, in the tokenizers of the vendors: https://help.openai.com/en/articles/4936856 (read 2026-11-24)."""
PER_BLOCK = 4
"""Tokens around each message, tool or block."""
IMAGE = 1600
"""The most that one image costs: https://platform.claude.com/docs/en/build-with-claude/vision (read 2026-11-24)."""
_DATA = ("image", "document", "file", "image_url", "input_image", "input_file", "input_audio")
_PROMPT = ("system", "instructions", "tools", "functions", "messages", "input", "prompt")
_NO_WORDS = frozenset({"type", "role", "cache_control", "id", "tool_use_id"})


def guessed(body: Json, model: str, wire: Wire, came: Sequence[bytes]) -> Completion:
    """Return what came of an answer that broke off, with about the tokens of its prompt and of what was said."""
    translator = wire.translator()
    deltas = [
        choice.get("delta")
        for raw in came
        for chunk in translator.feed(_decode(raw))
        for choice in chunk.get("choices") or ()
    ]
    said = sum(map(_characters, deltas))
    prompt, output = estimate(body), -(-said // CHARACTERS_PER_TOKEN)
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    guess = Completion({"model": model, "usage": Usage(usage)})
    guess._runs = [Tokens(uncached=prompt, output=output)]
    return guess


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_characters(item) for name, item in value.items() if name not in _NO_WORDS)
    return sum(map(_characters, value)) if isinstance(value, list) else 0


def estimate(body: dict[str, Any]) -> int:
    """Return about how many tokens a request's prompt has."""
    return max(1, sum(_weights([body.get(name) for name in _PROMPT])))


def _weights(value: Any) -> Iterator[int]:
    """Yield tokens of texts and of what is around them. What is nested deeper than JSON can be is not there."""
    if isinstance(value, str):
        yield -(-len(value) // CHARACTERS_PER_TOKEN)
    elif isinstance(value, dict):
        if value.get("type") in _DATA:
            yield IMAGE
            return
        yield PER_BLOCK
        for name, item in value.items():
            if name not in _NO_WORDS:
                yield from _weights(item)
    elif isinstance(value, list):
        for item in value:
            yield from _weights(item)
    elif value is not None:
        yield 1
