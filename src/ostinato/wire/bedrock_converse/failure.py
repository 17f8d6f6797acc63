"""What an error of Bedrock's means: AWS names it, and the name stands for a status.

The name is in the header `x-amzn-errortype` in front of the first colon, in the body's `__type`, or in a frame of
the event stream; a proxy may take the header away, and then the status is all there is. From there on the
classes are the same as everywhere.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
(read 2026-11-22), and the recorded traffic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ostinato.errors import APIError, RateLimitError, ServiceUnavailableError
from ostinato.wire.contract import Event, Json
from ostinato.wire.mending import read
from ostinato.wire.openai_chat import failure as shared

STATUS = {
    "accessdenied": 403,
    "conflict": 409,
    "expiredtoken": 401,
    "incompletesignature": 401,
    "internalfailure": 500,
    "internalserver": 500,
    "internalservererror": 500,
    "invalidclienttokenid": 401,
    "invalidsignature": 401,
    "missingauthenticationtoken": 401,
    "modelerror": 500,
    "modelnotready": 429,
    "modelstreamerror": 500,
    "modeltimeout": 408,
    "notauthorized": 401,
    "requestentitytoolarge": 413,
    "resourcenotfound": 404,
    "servicequotaexceeded": 402,
    "serviceunavailable": 503,
    "signaturedoesnotmatch": 401,
    "throttling": 429,
    "toomanyrequests": 429,
    "unrecognizedclient": 401,
    "validation": 400,
}
"""The status that each name means, by the name in lower case without its `Exception`. `ServiceQuotaExceeded` is
402: the account's limit, which no waiting raises."""

_CREDENTIALS = re.compile(r"security token|signature|api key is valid|authentication failed", re.IGNORECASE)
_THROTTLED = re.compile(r"throttl|too many requests", re.IGNORECASE)


def error(status: int, headers: Mapping[str, str], body: bytes) -> APIError:
    """Return the error that an unsuccessful answer means; see `Wire.error`."""
    said = _decoded(body)
    code = _code(headers.get("x-amzn-errortype"), said)
    words = said.get("message") or said.get("Message") if said is not None else None
    if isinstance(words, str) and said is not None and "message" not in said:
        body = msgspec.json.encode({**said, "message": words})
    meant = _meant(code, said or {}, status)
    if meant == 403 and code is None and isinstance(words, str) and _CREDENTIALS.search(words):
        meant = 401
    failure = _throttling(shared.error(meant, headers, body))
    failure.status_code = status
    failure.code = code
    return failure


def event_error(event: Event) -> APIError | None:
    """Return the error that a frame, or a body inside a 200, carries, or None."""
    said = event.get("exception")
    if isinstance(said, dict):
        code = said.get("type")
    elif "__type" in event or (isinstance(event.get("Output"), dict) and "__type" in event["Output"]):
        said = event if "__type" in event else event["Output"]
        code = _code(None, said)
    else:
        return None
    code = code if isinstance(code, str) else None
    meant = _meant(code, said, 500)
    words = next((said[name] for name in ("message", "Message", "originalMessage") if said.get(name)), None)
    message = words or f"the stream broke off: {code}"
    failure = _throttling(shared.error(meant, {}, msgspec.json.encode({"message": message})))
    failure.status_code = meant
    failure.code = code
    return failure


def _meant(code: str | None, said: Json, status: int) -> int:
    """Return the status that a name stands for; a model's own failure says which it had."""
    name = code.lower().removesuffix("exception") if code else ""
    if name in {"modelerror", "modelstreamerror"}:
        original = said.get("originalStatusCode")
        return original if type(original) is int and 400 <= original < 600 else 500
    return STATUS.get(name, 500 if status == 424 else status)


def _throttling(failure: APIError) -> APIError:
    """Return the failure as a rate limit, where Bedrock throttles under the name of being unavailable."""
    if type(failure) is not ServiceUnavailableError or not _THROTTLED.search(failure.message):
        return failure
    limited = RateLimitError(failure.message, body=failure.body, request_id=failure.request_id)
    limited.retry_after = failure.retry_after
    return limited


def _decoded(body: bytes) -> Json | None:
    try:
        said: Any = read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _code(header: str | None, said: Json | None) -> str | None:
    """Return AWS's name for an error, without the address behind it and the namespace in front."""
    named: Any = header or (said or {}).get("__type")
    if not isinstance(named, str):
        return None
    return named.partition(":")[0].rpartition("#")[2].strip() or None
