"""What a recorded error must become: its class by the vendor's documents, and the facts it carries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.traffic.told import Json

BY_STATUS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "BudgetExceededError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "Timeout",
    409: "ConflictError",
    413: "RequestTooLargeError",
    422: "BadRequestError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
    529: "ServiceUnavailableError",
}
BY_CODE = {
    "model_not_found": "NotFoundError",
    "insufficient_quota": "BudgetExceededError",
    "context_length_exceeded": "ContextWindowExceededError",
    "content_filter": "ContentPolicyViolationError",
    "invalid_api_key": "AuthenticationError",
}
BY_TYPE = {
    "overloaded_error": "ServiceUnavailableError",
    "rate_limit_error": "RateLimitError",
    "invalid_request_error": "BadRequestError",
    "authentication_error": "AuthenticationError",
}
AWS = {
    "AccessDeniedException": "PermissionDeniedError",
    "ExpiredTokenException": "AuthenticationError",
    "InvalidSignatureException": "AuthenticationError",
    "ResourceNotFoundException": "NotFoundError",
    "ServiceUnavailableException": "ServiceUnavailableError",
    "ThrottlingException": "RateLimitError",
    "TooManyRequestsException": "RateLimitError",
    "UnrecognizedClientException": "AuthenticationError",
    "ValidationException": "BadRequestError",
}
SDK = {
    "BadRequestError": {"BadRequestError", "ContextWindowExceededError", "ContentPolicyViolationError", "NotFoundError"},
    "UnprocessableEntityError": {"BadRequestError"},
    "AuthenticationError": {"AuthenticationError"},
    "PermissionDeniedError": {"PermissionDeniedError", "ContentPolicyViolationError", "AuthenticationError"},
    "NotFoundError": {"NotFoundError"},
    "RateLimitError": {"RateLimitError", "BudgetExceededError", "RequestTooLargeError"},
    "InternalServerError": {"InternalServerError", "ServiceUnavailableError"},
    "OverloadedError": {"ServiceUnavailableError"},
}
"""Which of our classes stand for a class of the official clients: the same, or a finer one."""

_CONTEXT = re.compile(
    r"context (?:length|window|size)|(?:prompt|input) is too long|too many (?:prompt |input )?tokens"
    r"|maximum (?:prompt|context) length|length of all messages|reduce the length",
    re.IGNORECASE,
)
_POLICY = re.compile(r"content management policy|usage guidelines|content filter|safety", re.IGNORECASE)
_THROTTLED = re.compile(r"throttl|too many requests", re.IGNORECASE)
_CREDENTIALS = re.compile(r"security token|signature|api key", re.IGNORECASE)


@dataclass
class Expected:
    """What the error is to be."""

    classes: set[str]
    status: int | None
    code: str | None
    request_id: str | None
    retry_after: float | None
    message: str
    """Words that must be in the message."""


def expected(response: Json, inside: Json | None = None) -> Expected:
    """Return what an answer with an error status must become, or the error `inside` a 200."""
    headers = response["headers"]
    body: Any = inside if inside is not None else response.get("json", response.get("text"))
    error = _error_of(body)
    status = response["status"] if inside is None else _status_in(error)
    aws = (headers.get("x-amzn-errortype") or error.get("__type") or "").partition(":")[0].rpartition("#")[2]
    anthropic = isinstance(body, dict) and body.get("type") == "error"
    code = aws or (error.get("type") if anthropic else error.get("code"))
    message = _message(error)
    bedrock = "x-amzn-requestid" in headers
    found = _class(status, error, message, aws=aws, bedrock=bedrock)
    own = body.get("request_id") if isinstance(body, dict) else None
    return Expected(
        {found},
        status,
        None if code in {None, ""} else str(code),
        _request_id(headers) or (own if isinstance(own, str) else None),
        _retry_after(headers) if inside is None else None,
        message,
    )


def _error_of(body: Any) -> Json:
    """Return the part of an error body that says what is wrong."""
    if isinstance(body, list):
        body = body[0]
    if not isinstance(body, dict):
        return {"message": body}
    if isinstance(body.get("response"), dict):
        body = body["response"]
    inner = body.get("error") or body.get("errors")
    if isinstance(inner, list):
        inner = inner[0]
    if isinstance(inner, str):
        return {**body, "message": inner}
    return inner if isinstance(inner, dict) else body


def _message(error: Json) -> str:
    said = next((error[name] for name in ("message", "Message", "detail") if error.get(name)), "")
    return " ".join((said if isinstance(said, str) else json.dumps(said, separators=(",", ":"))).split())


def _status_in(error: Json) -> int | None:
    numbers = (error.get(name) for name in ("status_code", "status", "code"))
    return next((number for number in numbers if isinstance(number, int) and 400 <= number < 600), None)


def _class(status: int | None, error: Json, message: str, *, aws: str, bedrock: bool) -> str:
    code, kind = str(error.get("code") or ""), str(error.get("type") or "")
    found = next((BY_CODE[name] for name in (code, kind) if name in BY_CODE), None)
    if found is None and aws in AWS:
        found = AWS[aws]
    if found is None and status is None:
        found = BY_TYPE.get(kind) or BY_TYPE.get(code, "InternalServerError")
    if found is None:
        found = BY_STATUS.get(status or 500, "InternalServerError" if (status or 500) >= 500 else "BadRequestError")
    return _by_words(found, message, named=bool(aws), bedrock=bedrock)


def _by_words(found: str, message: str, *, named: bool, bedrock: bool) -> str:
    """Return a finer class where only the words tell."""
    if bedrock and found == "ServiceUnavailableError" and _THROTTLED.search(message):
        return "RateLimitError"
    if bedrock and found == "PermissionDeniedError" and not named and _CREDENTIALS.search(message):
        return "AuthenticationError"
    if found == "BadRequestError" and _CONTEXT.search(message):
        return "ContextWindowExceededError"
    if found in {"BadRequestError", "PermissionDeniedError"} and _POLICY.search(message):
        return "ContentPolicyViolationError"
    if found == "RateLimitError" and "too large" in message:
        return "RequestTooLargeError"
    return found


def _request_id(headers: Json) -> str | None:
    names = ("x-request-id", "request-id", "x-amzn-requestid", "x-ds-trace-id", "apim-request-id")
    return next((headers[name] for name in names if headers.get(name)), None)


def _retry_after(headers: Json) -> float | None:
    """Return the wait; Azure sends 0 milliseconds beside whole seconds."""
    milliseconds = float(headers.get("retry-after-ms") or 0)
    if milliseconds:
        return milliseconds / 1000
    seconds = headers.get("retry-after")
    return float(seconds) if seconds else None


def faults(error: Any, want: Expected, provider: str, sdk: str | None) -> list[str]:
    """Return in what an error is not what it must be."""
    name = type(error).__name__
    wrong = []
    if name not in want.classes:
        wrong.append(f"it is {name}, not {' or '.join(sorted(want.classes))}: {want.message[:120]}")
    if sdk in SDK and name not in SDK[sdk]:
        wrong.append(f"it is {name}, and the official client says {sdk}")
    for field, wanted in (("code", want.code), ("request_id", want.request_id), ("retry_after", want.retry_after)):
        if getattr(error, field) != wanted:
            wrong.append(f"{field} is {getattr(error, field)!r}, not {wanted!r}")
    if want.status is not None and error.status_code != want.status:
        wrong.append(f"status_code is {error.status_code!r}, not {want.status!r}")
    if error.provider != provider:
        wrong.append(f"provider is {error.provider!r}, not {provider!r}")
    words = want.message[:80]
    if not error.message or ("REDACTED" not in words and "sk-" not in words and words not in error.message):
        wrong.append(f"message is {error.message[:100]!r}, without {words!r}")
    return wrong
