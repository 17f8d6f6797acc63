from __future__ import annotations

import json
from typing import Any

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
    ServiceUnavailableError,
    Timeout,
)
from ostinato.wire.bedrock_converse import WIRE
from ostinato.wire.eventstream import Decoder, encode_exception
from tests.wire.bedrock import failed

AT = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


def fail(status: int, code: str | None, message: str, **body: Any) -> APIError:
    headers = {"x-amzn-requestid": "r-1"} | ({"x-amzn-errortype": code} if code else {})
    return WIRE.error(status, headers, json.dumps({"message": message, **body}).encode())


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "retryable"),
    [
        (429, "ThrottlingException" + AT, "Too many requests", RateLimitError, True),
        (429, None, "Too many requests", RateLimitError, True),
        (429, "ModelNotReadyException", "Loading", RateLimitError, True),
        (503, "ServiceUnavailableException" + AT, "Model is getting throttled. Try again.", RateLimitError, True),
        (503, "ServiceUnavailableException" + AT, "Service capacity limit", ServiceUnavailableError, True),
        (503, None, "Service capacity limit has been reached.", ServiceUnavailableError, True),
        (500, "InternalServerException", "Oops", InternalServerError, True),
        (408, "ModelTimeoutException", "Too slow", Timeout, True),
        (424, "ModelErrorException", "The model failed", InternalServerError, True),
        (424, None, "The model failed", InternalServerError, True),
        (403, "AccessDeniedException" + AT, "You don't have access to the model", PermissionDeniedError, False),
        (403, "ExpiredTokenException" + AT, "The security token is expired", AuthenticationError, False),
        (403, "UnrecognizedClientException", "The security token is invalid.", AuthenticationError, False),
        (403, "InvalidSignatureException", "Signature expired", AuthenticationError, False),
        (403, None, "The security token included in the request is expired", AuthenticationError, False),
        (403, None, "Authentication failed: Please make sure your API Key is valid.", AuthenticationError, False),
        (400, "ServiceQuotaExceededException", "Quota", BudgetExceededError, False),
        (404, "ResourceNotFoundException" + AT, "End of its life", NotFoundError, False),
        (400, "ValidationException" + AT, "The provided model identifier is invalid.", BadRequestError, False),
        (400, "ValidationException", "Input is too long for requested model.", ContextWindowExceededError, False),
        (400, "com.amazon.bedrock#ValidationException", "Bad", BadRequestError, False),
    ],
)
def test_what_aws_names_becomes_the_class_that_it_means(
    status: int, code: str | None, message: str, kind: type[APIError], retryable: bool
) -> None:
    failure = fail(status, code, message)

    assert type(failure) is kind
    assert failure.retryable is retryable
    assert failure.status_code == status
    assert failure.code == (code.removesuffix(AT).rpartition("#")[2] if code else None)
    assert failure.request_id == "r-1"
    assert failure.message == message


def test_a_models_own_failure_counts_as_what_it_was() -> None:
    assert type(fail(424, "ModelErrorException", "no", originalStatusCode=400)) is BadRequestError
    assert type(fail(424, "ModelErrorException", "no", originalStatusCode=429)) is RateLimitError


def test_a_name_in_the_body_counts_where_the_header_is_gone() -> None:
    failure = WIRE.error(400, {}, b'{"__type":"com.amazon.bedrock#ThrottlingException","Message":"slow down"}')

    assert (type(failure), failure.code, failure.message) == (RateLimitError, "ThrottlingException", "slow down")


@pytest.mark.parametrize("body", [b"", b"upstream connect error", b"[]", b"\xff\xfe"])
def test_a_body_that_is_no_json_is_still_an_error_of_its_status(body: bytes) -> None:
    assert type(WIRE.error(503, {}, body)) is ServiceUnavailableError


EXPECTED = {
    "ThrottlingException": RateLimitError,
    "ExpiredTokenException": AuthenticationError,
    "UnrecognizedClientException": AuthenticationError,
    "InvalidSignatureException": AuthenticationError,
    "AccessDeniedException": PermissionDeniedError,
    "ResourceNotFoundException": NotFoundError,
}


def test_every_recorded_error_lands_in_its_class() -> None:
    records = failed()
    for record in records:
        response = record["response"]
        body = json.dumps(response["json"]).encode() if "json" in response else response["text"].encode()
        code = response["headers"].get("x-amzn-errortype", "").partition(":")[0]
        kind = EXPECTED.get(code, BadRequestError if response["status"] == 400 else ServiceUnavailableError)
        if "throttled" in str(response.get("json")):
            kind = RateLimitError

        failure = WIRE.error(response["status"], response["headers"], body)

        assert type(failure) is kind or (kind is BadRequestError and isinstance(failure, kind)), record["id"]
        assert ("context-length" in record["tags"]) == isinstance(failure, ContextWindowExceededError), record["id"]
        assert failure.request_id == response["headers"].get("x-amzn-requestid")
        assert failure.message

    assert len(records) >= 20


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("throttlingException", {"message": "slow down"}, RateLimitError),
        ("internalServerException", {"message": "oops"}, InternalServerError),
        ("serviceUnavailableException", {"message": "busy"}, ServiceUnavailableError),
        ("validationException", {"message": "bad"}, BadRequestError),
        ("modelTimeoutException", {"message": "slow"}, Timeout),
        (
            "modelStreamErrorException",
            {"originalStatusCode": 529, "originalMessage": "Overloaded"},
            ServiceUnavailableError,
        ),
        ("modelStreamErrorException", {"message": "broke"}, InternalServerError),
        ("somethingNewException", {}, InternalServerError),
    ],
)
def test_an_exception_in_a_stream_is_an_error_event(
    kind: str, payload: dict[str, Any], expected: type[APIError]
) -> None:
    (event,) = Decoder().feed(encode_exception(kind, payload))

    failure = WIRE.event_error(json.loads(event))

    assert failure is not None
    assert (type(failure), failure.code) == (expected, kind)
    assert (payload.get("message") or payload.get("originalMessage") or kind) in failure.message


def test_events_and_answers_are_no_errors() -> None:
    assert WIRE.event_error({"messageStop": {"stopReason": "end_turn"}}) is None
    assert (
        WIRE.event_error({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"})
        is None
    )
