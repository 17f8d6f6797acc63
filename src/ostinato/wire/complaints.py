"""What a vendor's error says beside what every error says, for a client that speaks as the vendor does.

Groq's `failed_generation`, OpenRouter's `metadata`, Anthropic's `details`: they are in no list, so whatever stands
there is passed on as it came, without secrets and up to a size.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.wire.contract import Json

if TYPE_CHECKING:
    from ostinato.errors import OstinatoError

MAX_BYTES = 256 * 1024
"""What is passed on beside an error's message. A member that has no room any more is left out."""

_FLAT = frozenset({"code", "detail", "object", "param", "type"})
"""What an error object of OpenAI's kind is known by where it is the whole body: Mistral's, Cerebras', FastAPI's."""

_encode = msgspec.json.Encoder().encode


def openai_body(body: Any) -> tuple[Json, Json]:
    """Return an error body's own members, and those of its error object; none where it is not of OpenAI's kind."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict) or body.get("type") == "error":
        return {}, {}
    said = body.get("error")
    if said is None and "__type" not in body and _FLAT & body.keys():
        return {}, body
    return body, said if isinstance(said, dict) else {}


def anthropic_body(body: Any) -> tuple[Json, Json]:
    """Return an error body's own members, and those of its error object; none where it is not Anthropic's."""
    said = body.get("error") if isinstance(body, dict) and body.get("type") == "error" else None
    return (body, said) if isinstance(said, dict) else ({}, {})


def beside(members: Json, known: Container[str]) -> Json:
    """Return the members that are not known, as far as there is room."""
    kept: Json = {}
    room = MAX_BYTES
    for name, value in members.items():
        if name not in known and (size := len(_encode(value)) + len(name)) <= room:
            kept[name] = value
            room -= size
    return kept


def message_of(error: OstinatoError, members: Json) -> str:
    """Return an error's message, in the vendor's spacing and length where it is the vendor's."""
    said, tidied = members.get("message"), error.message.removesuffix("…")
    if isinstance(said, str) and len(said) <= MAX_BYTES and tidied and " ".join(said.split()).startswith(tidied):
        return said
    return error.message
