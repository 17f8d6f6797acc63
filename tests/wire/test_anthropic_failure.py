from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ostinato.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ContextWindowExceededError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTooLargeError,
    ServiceUnavailableError,
    Timeout,
)
from ostinato.wire.anthropic import WIRE


def error(status: int, kind: str, message: str = "m", **headers: str) -> APIError:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_body"}
    return WIRE.error(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, msgspec.json.encode(body)
    )


@pytest.mark.parametrize(
    ("status", "kind", "message", "cls", "retryable"),
    [
        (400, "invalid_request_error", "bad", BadRequestError, False),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", ContextWindowExceededError, False),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9 + 9 > 8",
            ContextWindowExceededError,
            False,
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", BudgetExceededError, False),
        (401, "authentication_error", "bad key", AuthenticationError, False),
        (402, "billing_error", "pay", BudgetExceededError, False),
        (403, "permission_error", "no", PermissionDeniedError, False),
        (404, "not_found_error", "model: x", NotFoundError, False),
        (413, "request_too_large", "Request exceeds the maximum size", RequestTooLargeError, False),
        (429, "rate_limit_error", "slow down", RateLimitError, True),
        (500, "api_error", "oops", InternalServerError, True),
        (504, "timeout_error", "slow", Timeout, True),
        (529, "overloaded_error", "Overloaded", ServiceUnavailableError, True),
    ],
)
def test_an_answer_is_an_error_of_its_class(status: int, kind: str, message: str, cls: type, retryable: bool) -> None:
    failure = error(status, kind, message)

    assert type(failure) is cls
    assert failure.status_code == status
    assert failure.code == kind
    assert failure.message == message
    assert failure.retryable is retryable
    assert failure.request_id == "req_body"


def test_headers_say_when_to_come_back_and_which_request_it_was() -> None:
    failure = error(529, "overloaded_error", request_id="req_header", retry_after="7", x_should_retry="false")

    assert failure.request_id == "req_header"
    assert failure.retry_after == 7.0
    assert failure.retryable is False


def test_a_failure_of_the_edge_is_no_json_and_still_an_error() -> None:
    failure = WIRE.error(503, {"content-type": "text/plain"}, b"upstream connect error")

    assert type(failure) is ServiceUnavailableError
    assert failure.message == "upstream connect error"


def test_no_key_is_in_a_message() -> None:
    assert (
        "sk-ant-api03-secret" not in error(401, "authentication_error", "invalid x-api-key sk-ant-api03-secret").message
    )


@pytest.mark.parametrize(
    ("event", "cls"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ServiceUnavailableError),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, RateLimitError),
        ({"type": "error", "error": {"type": "api_error", "message": "x"}}, InternalServerError),
        ({"type": "error", "error": {"type": "timeout_error", "message": "x"}}, Timeout),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long"}},
            ContextWindowExceededError,
        ),
        ({"type": "error"}, InternalServerError),
        ({"type": "ping"}, type(None)),
        ({"type": "message", "content": []}, type(None)),
    ],
)
def test_an_event_is_an_error_or_none(event: dict[str, Any], cls: type) -> None:
    assert type(WIRE.event_error(event)) is cls
