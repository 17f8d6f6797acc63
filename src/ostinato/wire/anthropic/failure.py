"""What an error of Anthropic's means: the common classes, and the words that only this vendor uses.

Sources: https://platform.claude.com/docs/en/api/errors (read 2026-11-22), and the recorded traffic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ostinato.errors import APIError, BadRequestError, BudgetExceededError, ContextWindowExceededError, Timeout
from ostinato.wire.contract import Event
from ostinato.wire.openai_chat import failure as common
from ostinato.wire.openai_chat.failure import request_id

__all__ = ["error", "event_error", "refine", "request_id"]

_UNPAID = re.compile(r"credit balance is too low", re.IGNORECASE)
_CONTEXT = re.compile(r"exceeds? (?:the )?(?:model )?context|prompt is too long", re.IGNORECASE)


def error(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """Return the error that an unsuccessful answer means; see `Wire.error`."""
    return refine(common.error(status, headers, body))


def event_error(event: Event) -> APIError | None:
    """Return the error that an event, or a body inside a 200, carries, or None."""
    if event.get("type") != "error":
        return None
    if not event.get("error"):
        event = {**event, "error": {"type": "api_error", "message": event.get("message") or "no message"}}
    failure = common.event_error(event)
    return None if failure is None else refine(failure)


def refine(failure: APIError) -> APIError:
    """Return the error with the vendor's type as its code, and of the class that its words call for."""
    body = failure.body
    inner = body.get("error") if isinstance(body, dict) else None
    kind = inner.get("type") if isinstance(inner, dict) else None
    if isinstance(kind, str):
        failure.code = kind
    if isinstance(body, dict) and failure.request_id is None and isinstance(body.get("request_id"), str):
        failure.request_id = body["request_id"]
    cls = _finer(failure, kind)
    if cls is None:
        return failure
    finer = cls(failure.message, status_code=failure.status_code, body=body)
    finer.code, finer.request_id, finer.retry_after = failure.code, failure.request_id, failure.retry_after
    return finer


def _finer(failure: APIError, kind: object) -> type[APIError] | None:
    if kind == "billing_error" or (isinstance(failure, BadRequestError) and _UNPAID.search(failure.message)):
        return BudgetExceededError
    if type(failure) is BadRequestError and _CONTEXT.search(failure.message):
        return ContextWindowExceededError
    if kind == "timeout_error":
        return Timeout
    return None
