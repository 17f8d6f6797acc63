"""What a vendor's error means: a class, a message without secrets, and whether to try again.

A code in the body decides first, then the status, then the words. The last only make a class finer, they never
contradict the status: vendors have no common code for a full context window or a refused prompt.

Sources: https://platform.openai.com/docs/guides/error-codes, https://api-docs.deepseek.com/quick_start/error_codes,
https://console.groq.com/docs/errors, https://openrouter.ai/docs/api-reference/errors (all read 2026-11-22), and the
recorded traffic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ostinato.errors import (
    APIError,
    APIResponseError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConflictError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.wire import mending
from ostinato.wire.contract import Event, Json

MAX_MESSAGE = 2_000
"""Characters of a message; an HTML page or a quoted prompt is longer."""

_MAX_JSON_BYTES = 1024 * 1024
_MAX_TEXT_BYTES = 16 * 1024

_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: BudgetExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: Timeout,
    409: ConflictError,
    413: RequestTooLargeError,
    422: BadRequestError,
    429: RateLimitError,
    503: ServiceUnavailableError,
    529: ServiceUnavailableError,
}

_BY_CODE: dict[str, type[APIError]] = {
    "context_length_exceeded": ContextWindowExceededError,
    "exceed_context_size_error": ContextWindowExceededError,
    "too_many_prompt_tokens": ContextWindowExceededError,
    "content_filter": ContentPolicyViolationError,
    "content_policy_violation": ContentPolicyViolationError,
    "responsibleaipolicyviolation": ContentPolicyViolationError,
    "insufficient_quota": BudgetExceededError,
    "billing_hard_limit_reached": BudgetExceededError,
    "billing_not_active": BudgetExceededError,
    "invalid_api_key": AuthenticationError,
    "model_not_found": NotFoundError,
}
"""By `code` or `type`, in lower case, whatever the status."""

_BY_TYPE: dict[str, type[APIError]] = {
    "invalid_request_error": BadRequestError,
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "not_found_error": NotFoundError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "requests": RateLimitError,
    "tokens": RateLimitError,
    "overloaded_error": ServiceUnavailableError,
    "service_unavailable": ServiceUnavailableError,
}
"""By `code` or `type` where no status tells: an error inside a stream."""

_CONTEXT = re.compile(
    r"maximum (?:context|prompt) length|context length exceeded|exceeds? the (?:available |model's )?context"
    r"|context window|prompt is too long|too many (?:prompt|input) tokens|input tokens? exceeded"
    r"|input token count .{0,40}exceeds|length of all messages is too long|reduce the length of the messages"
    r"|input is too long",
    re.IGNORECASE,
)
_POLICY = re.compile(
    r"content (?:management )?policy|content[ _]filter|usage (?:guidelines|polic(?:y|ies))|safety system"
    r"|flagged (?:as|by|for|content|input)",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_LIMIT = re.compile(r"limit:? ([\d,]+)[^\d]+requested:? ([\d,]+)", re.IGNORECASE)
_UNPAID = re.compile(r"insufficient (?:balance|credits?|funds|quota)", re.IGNORECASE)

_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|pplx|csk|fw|hf|r8)[-_][\w\-*.]{3,}[\w\-*]|\bAIza[\w-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\beyJ[\w-]{5,}\.[\w.-]+|(?<=bearer )[\w\-.~+/*=]{6,}|(?<=api key provided: )[^\s\"'\\,]*[^\s\"'\\,.]",
    re.IGNORECASE,
)

_REQUEST_ID = ("x-request-id", "x-ds-trace-id", "apim-request-id", "request-id", "x-amzn-requestid", "cf-ray")


class Complaint(msgspec.Struct, frozen=True):
    """What an error body says, whatever its shape."""

    message: str = ""
    code: str | None = None
    kind: str | None = None
    status: int | None = None
    """The status that the body itself names."""


def error(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """Return the error that an unsuccessful answer means; see `Wire.error`."""
    text = masked(body[:_MAX_JSON_BYTES].decode("utf-8", "replace"))
    try:
        decoded = mending.read(text)
        complaint = read(decoded)
    except msgspec.DecodeError:
        # What is cut at the limit is no JSON either.
        decoded = text[:_MAX_TEXT_BYTES]
        complaint = Complaint(_plain_text(text))
    failure = _failure(complaint, status, decoded)
    failure.request_id = request_id(headers)
    failure.retry_after = retry_after(headers)
    said = headers.get("x-should-retry")
    # A request that no waiting makes acceptable is not tried again, whatever a header says.
    if said in {"true", "false"} and not isinstance(failure, RequestTooLargeError | BudgetExceededError):
        failure.retryable = said == "true"
    return failure


def event_error(event: Event) -> APIError | None:
    """Return the error that an event, or a body inside a 200, carries, or None."""
    if not event.get("error") and event.get("object") != "error":
        return None
    clean = msgspec.json.decode(masked(msgspec.json.encode(event).decode()))
    complaint = read(clean)
    return _failure(complaint, complaint.status, clean)


def _failure(complaint: Complaint, status: int | None, body: object) -> APIError:
    cls = _class(complaint, status)
    failure = cls(_message(complaint, status), status_code=status, code=complaint.code, body=body)
    if cls is APIResponseError:
        failure.retryable = False
    return failure


def _message(complaint: Complaint, status: int | None) -> str:
    text = " ".join(complaint.message.split())
    if not text:
        text = f"HTTP {status} without a message" if status else "an error without a message"
        text += f", code {complaint.code!r}" if complaint.code else ""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _class(complaint: Complaint, status: int | None) -> type[APIError]:
    """Return the class: by code, by status, then finer by words."""
    names = [name.lower() for name in (complaint.code, complaint.kind) if name]
    for name in names:
        if name in _BY_CODE:
            return _BY_CODE[name]
    if status is None:
        named = [_BY_TYPE[name] for name in names if name in _BY_TYPE]
        # What broke a stream without giving a reason is the vendor's doing.
        return _finer(named[0] if named else InternalServerError, complaint.message)
    if status in _BY_STATUS:
        return _finer(_BY_STATUS[status], complaint.message)
    if status >= 500:
        return InternalServerError
    return BadRequestError if status >= 400 else APIResponseError


def _finer(cls: type[APIError], message: str) -> type[APIError]:
    if cls is RateLimitError or cls is RequestTooLargeError:
        if _UNPAID.search(message):
            return BudgetExceededError
        return RequestTooLargeError if cls is RequestTooLargeError or _never_fits(message) else cls
    if cls is BadRequestError and _CONTEXT.search(message):
        return ContextWindowExceededError
    if cls in (BadRequestError, PermissionDeniedError) and _POLICY.search(message):
        return ContentPolicyViolationError
    return cls


def _never_fits(message: str) -> bool:
    """Say whether a rate limit is smaller than the one request, so that no wait makes room for it."""
    if _TOO_LARGE.search(message):
        return True
    found = _LIMIT.search(message)
    return found is not None and int(found[2].replace(",", "")) > int(found[1].replace(",", ""))


def read(body: Any) -> Complaint:
    """Return what an error body says. Knows the shapes of OpenAI, Mistral, xAI, Cerebras, Azure and FastAPI."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, str):
        return Complaint(body)
    if not isinstance(body, dict):
        return Complaint()
    inner = body.get("error") or body.get("errors")
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if isinstance(inner, dict):
        return _complaint(inner)
    if isinstance(inner, str) and inner:
        return Complaint(inner, _name(body.get("code")), _name(body.get("type")))
    return _complaint(body)


def _complaint(error: dict[str, Any]) -> Complaint:
    message = next((text for name in ("message", "detail", "msg") if (text := _words(error.get(name)))), "")
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and (raw := _words(metadata.get("raw"))):
        # OpenRouter: what the vendor behind it said, while the message only says that it said something.
        message = f"{message}: {raw}"
    numbers = (error.get(name) for name in ("status_code", "status", "code"))
    status = next((number for number in numbers if type(number) is int and 400 <= number < 600), None)
    return Complaint(message, _name(error.get("code")), _name(error.get("type")), status)


def _words(value: object) -> str:
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _name(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None


def _plain_text(text: str) -> str:
    """Return the words of a body that is no JSON; of a page of HTML its title, or what stands between its tags."""
    text = text[:_MAX_TEXT_BYTES]
    if not re.match(r"\s*<(?:!doctype|html|\?xml)", text, re.IGNORECASE):
        return text
    title = re.search(r"<title[^>]*>([^<]+)</title>", text, re.IGNORECASE)
    return title[1] if title else re.sub(r"<(?:style|script)[^>]*>.*?</[^>]+>|<[^>]*>", " ", text, flags=re.DOTALL)


def masked(text: str) -> str:
    """Return `text` with what looks like a key taken out."""
    return _SECRET.sub("***", text)


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return the vendor's id of the request, under whichever name it gives it."""
    return next((headers[name] for name in _REQUEST_ID if headers.get(name)), None)


def rejection(
    body: Any, headers: Mapping[str, str] | None, event_error: Callable[[Json], APIError | None], otherwise: str
) -> APIError:
    """Return what a body means that is no answer: the error it tells of, or `otherwise`."""
    if not isinstance(body, dict):
        return APIResponseError(f"the answer is a JSON {type(body).__name__}, not an object")
    failure = event_error(body)
    if failure is None:
        return APIResponseError(otherwise)
    failure.request_id = failure.request_id or request_id(headers or {})
    return failure


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the vendor asks to wait, or None. A date counts from the answer's own date."""
    seconds = _seconds(headers.get("retry-after-ms"), 1000.0)
    if seconds is None:
        seconds = _seconds(headers.get("retry-after"), 1.0)
    return seconds if seconds is not None else _until(headers.get("retry-after"), headers.get("date"))


def _seconds(text: str | None, per_second: float) -> float | None:
    """Return a positive number of seconds; Azure sends 0 milliseconds beside a whole second."""
    if not text or not re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", text):
        return None
    return float(text) / per_second or None


def _until(then: str | None, now: str | None) -> float | None:
    if not then or not now:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds())
    except (TypeError, ValueError):
        return None
