"""What an error of the Responses API means: those of chat, and what only an answer of this API carries.

A response that failed carries a code and a message, and so does an `error` event. The codes say whose doing it was.

Source: https://platform.openai.com/docs/api-reference/responses-streaming/error (read 2026-11-22), and
`openai.types.responses.response_error` of openai 3.54.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ostinato.errors import APIError, BadRequestError, ContentPolicyViolationError, InternalServerError
from ostinato.wire.contract import Event, Json
from ostinato.wire.openai_chat import failure as common

_POLICY = re.compile(r"policy")
_REQUEST = re.compile(
    r"invalid|unsupported|too_(?:large|small)|(?:image_)?parse_error|empty_image|failed_to_download|not_found|mismatch"
)


def error(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """Return the error that an unsuccessful answer means; see `Wire.error`."""
    return common.error(status, headers, body)


def event_error(event: Event) -> APIError | None:
    """Return the error that an event, or a body inside a 200, carries, or None."""
    kind = event.get("type")
    if kind == "error":
        inner = event.get("error")
        return _failure(inner if isinstance(inner, dict | str) and inner else event)
    if kind == "response.failed":
        response = event.get("response")
        return _failure(response.get("error"), response) if isinstance(response, dict) else _failure(None)
    if event.get("error") or event.get("status") == "failed":
        return _failure(event.get("error"))
    return None


def _failure(said: Any, response: Json | None = None) -> APIError:
    if isinstance(said, str):
        said = {"message": said}
    members = said if isinstance(said, dict) else {}
    complaint = {name: value for name, value in members.items() if name not in {"type", "sequence_number"}}
    kind = members.get("type")
    if isinstance(kind, str) and kind != "error":
        complaint["type"] = kind
    complaint.setdefault("message", "the response failed, without a reason")
    failure = common.event_error({"error": complaint} | ({} if response is None else {"response": response}))
    if failure is None:
        return InternalServerError("the response failed, without a reason")
    cls = _class(failure.code or "") if type(failure) is InternalServerError else None
    return failure if cls is None else cls(failure.message, code=failure.code, body=failure.body)


def _class(code: str) -> type[APIError] | None:
    """Return the class of an error that the request is to blame for, by its code; None for the vendor's own."""
    if _POLICY.search(code):
        return ContentPolicyViolationError
    return BadRequestError if _REQUEST.search(code) else None
