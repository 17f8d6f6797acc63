from __future__ import annotations

import json
from typing import Any

import pytest

from ostinato import errors
from ostinato.wire import find_wire

WIRE = find_wire("openai_chat")


def failure(status: int, body: Any = None, **headers: str) -> errors.APIError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WIRE.error(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def said(message: str, code: Any = None, type: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


CLASSES: dict[str, tuple[int, Any, type[errors.APIError]]] = {
    "400": (400, said("no"), errors.BadRequestError),
    "401": (401, said("no", "invalid_api_key", "invalid_request_error"), errors.AuthenticationError),
    "402": (402, said("Insufficient Balance"), errors.BudgetExceededError),
    "403": (403, said("no", None, "invalid_request_error"), errors.PermissionDeniedError),
    "404": (404, said("no", "model_not_found"), errors.NotFoundError),
    "404 as 400": (400, said("no", "model_not_found"), errors.NotFoundError),
    "408": (408, b"upstream request timeout", errors.Timeout),
    "409": (409, said("no"), errors.ConflictError),
    "413": (413, b"length limit exceeded", errors.RequestTooLargeError),
    "418": (418, said("no"), errors.BadRequestError),
    "422": (422, b"Failed to deserialize the JSON body", errors.BadRequestError),
    "429": (429, said("slow down", "rate_limit_exceeded", "requests"), errors.RateLimitError),
    "429 that says it never fits": (
        429,
        said("Request too large for m: Limit 4,000, Requested 2500013.", "rate_limit_exceeded", "tokens"),
        errors.RequestTooLargeError,
    ),
    "429 whose numbers say so": (429, said("TPM: Limit 400, Requested 401"), errors.RequestTooLargeError),
    "429 that fits later": (429, said("TPM: Limit 6000, Used 5455, Requested 709"), errors.RateLimitError),
    "429 without money": (
        429,
        said("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        errors.BudgetExceededError,
    ),
    "429 without money, in words": (429, said("insufficient credits"), errors.BudgetExceededError),
    "429 of Cerebras": (429, {"code": "request_quota_exceeded", "message": "too many"}, errors.RateLimitError),
    "500": (500, said("no", None, "server_error"), errors.InternalServerError),
    "502": (502, b"<html><head><title>502 Bad Gateway</title></head></html>", errors.InternalServerError),
    "503": (503, b"upstream connect error", errors.ServiceUnavailableError),
    "529": (529, b"", errors.ServiceUnavailableError),
    "a redirect": (302, b"", errors.APIResponseError),
    "context, by code": (400, said("long", "context_length_exceeded"), errors.ContextWindowExceededError),
    "context, by type": (400, said("long", 400, "exceed_context_size_error"), errors.ContextWindowExceededError),
    "context, of DeepSeek": (
        400,
        said("This model's maximum context length is 5 tokens.", "invalid_request_error"),
        errors.ContextWindowExceededError,
    ),
    "context, of xAI": (
        400,
        {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 1"},
        errors.ContextWindowExceededError,
    ),
    "context, of llama.cpp": (
        400,
        said("request (9 tokens) exceeds the available context size (5 tokens)"),
        errors.ContextWindowExceededError,
    ),
    "context words under another status": (500, said("maximum context length"), errors.InternalServerError),
    "a limit that is not the context": (
        400,
        said("max_tokens is too large: 9. This model supports at most 5 completion tokens"),
        errors.BadRequestError,
    ),
    "policy, of Azure": (
        400,
        {"error": {"message": "filtered", "code": "content_filter", "innererror": {}}},
        errors.ContentPolicyViolationError,
    ),
    "policy, in words": (403, said("Content violates usage guidelines."), errors.ContentPolicyViolationError),
    "policy words that are a missing route": (404, said("No endpoints match your data policy"), errors.NotFoundError),
}


@pytest.mark.parametrize(("status", "body", "cls"), CLASSES.values(), ids=CLASSES)
def test_an_answer_lands_in_its_class_with_its_status(status: int, body: Any, cls: type[errors.APIError]) -> None:
    error = failure(status, body)

    assert type(error) is cls
    assert error.status_code == status
    assert str(error)


@pytest.mark.parametrize(
    ("status", "body", "retryable"),
    [
        (400, said("x"), False),
        (429, said("x"), True),
        (429, said("Request too large"), False),
        (429, said("x", "insufficient_quota"), False),
        (402, said("x"), False),
        (500, said("x"), True),
        (503, b"x", True),
        (408, b"x", True),
        (409, b"x", True),
        (302, b"x", False),
    ],
)
def test_whether_another_try_may_help(status: int, body: Any, retryable: bool) -> None:
    assert failure(status, body).retryable is retryable


@pytest.mark.parametrize(
    ("status", "body", "header", "retryable"),
    [
        (500, said("x"), "false", False),
        (400, said("x"), "true", True),
        (500, said("x"), "maybe", True),
        (429, said("Request too large"), "true", False),
    ],
)
def test_the_vendor_s_own_word_on_retries_counts(status: int, body: Any, header: str, retryable: bool) -> None:
    assert failure(status, body, x_should_retry=header).retryable is retryable


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "660"}, 0.66),
        ({"retry_after": "9", "retry_after_ms": "250"}, 0.25),
        ({"retry_after": "1", "retry_after_ms": "0"}, 1.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:27:30 GMT", "date": DATE}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30", "date": DATE}, None),
        ({"retry_after": "soon", "date": DATE}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "nan"}, None),
    ],
)
def test_how_long_to_wait_is_read_without_a_clock(headers: dict[str, str], expected: float | None) -> None:
    assert failure(429, said("x"), **headers).retry_after == expected


@pytest.mark.parametrize("name", ["x-request-id", "x-ds-trace-id", "apim-request-id"])
def test_the_request_s_id_is_found_under_the_vendor_s_name(name: str) -> None:
    assert WIRE.error(400, {name: "req_1"}, b"{}").request_id == "req_1"


SHAPES: dict[str, tuple[Any, str, str | None]] = {
    "OpenAI": (said("m", "c", "t"), "m", "c"),
    "a number as code": (said("m", 400), "m", "400"),
    "xAI": ({"code": "c", "error": "m"}, "m", "c"),
    "Mistral": ({"object": "error", "message": "m", "type": "t", "code": "1300"}, "m", "1300"),
    "FastAPI": ({"detail": "m"}, "m", None),
    "FastAPI, a list": ({"detail": [{"msg": "m"}]}, '[{"msg":"m"}]', None),
    "Cloudflare": ({"errors": [{"message": "m", "code": 7}]}, "m", "7"),
    "Gemini": ([said("m", 400)], "m", "400"),
    "OpenRouter": ({"error": {"message": "m", "code": 400, "metadata": {"raw": "why"}}}, "m: why", "400"),
    "a text": ("m", "m", None),
    "no message": ({"error": {"code": "c"}}, "HTTP 400 without a message, code 'c'", "c"),
    "nothing": (b"", "HTTP 400 without a message", None),
    "null": (None, "HTTP 400 without a message", None),
    "an empty object": ({}, "HTTP 400 without a message", None),
    "an empty list": ([], "HTTP 400 without a message", None),
    "plain text": (b"  no\n such  thing ", "no such thing", None),
    "no UTF-8": (b"\xff no", "\ufffd no", None),
    "HTML": (b"<!DOCTYPE html><title>502 Bad</title><p>x", "502 Bad", None),
    "HTML without title": (b"<html><style>p{}</style><p>Bad <b>way</b></p></html>", "Bad way", None),
}


@pytest.mark.parametrize(("body", "message", "code"), SHAPES.values(), ids=SHAPES)
def test_message_and_code_are_read_from_every_shape(body: Any, message: str, code: str | None) -> None:
    error = failure(400, body)

    assert (str(error), error.code) == (message, code)


@pytest.mark.parametrize("body", [b"x" * 3_000_000, said("é" * 5_000), b"<html>" + b"<p>y</p>" * 900_000])
def test_a_message_has_at_most_two_thousand_characters(body: Any) -> None:
    assert 1_000 < len(str(failure(500, body))) <= 2_000


SECRETS = [
    "sk-proj-abcDEF_123-xyz",
    "gsk_abcdefgh12345678",
    "xai-abcdefgh12345678",
    "AIzaSyA1234567890abcdefghijklmnop",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOi.eyJzdWIiOi.abc-DEF",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_key_is_in_no_part_of_an_error(secret: str) -> None:
    shown = [
        failure(401, said(f"Incorrect key {secret}. See the documentation.")),
        failure(401, {"detail": {"headers": {"authorization": f"Bearer {secret}"}}}),
        failure(401, f"bad token {secret}".encode()),
        WIRE.event_error({"error": {"message": f"for {secret}", "x": [secret]}}),
    ]

    for error in shown:
        assert error is not None
        assert secret not in f"{error} {error!r} {vars(error)}"
        assert "***" in str(error)


@pytest.mark.parametrize("text", ["Bearer odd.secret-1", "Incorrect API key provided: odd.secret-1. Find yours"])
def test_a_key_of_no_known_form_is_masked_where_the_words_around_give_it_away(text: str) -> None:
    assert "odd" not in str(failure(401, said(text)))


def test_ordinary_words_are_not_masked() -> None:
    text = "The task-based desk-top model risk-free is missing; see https://x.test/hf and max_tokens."

    assert str(failure(400, said(text))) == text


EVENTS: dict[str, tuple[dict[str, Any], type[errors.APIError], int | None]] = {
    "OpenAI's own failure": (said("The server had an error", None, "server_error"), errors.InternalServerError, 500),
    "a status of its own": ({"error": {"message": "m", "status_code": 400}}, errors.BadRequestError, 400),
    "a code that is a status": ({"error": {"message": "m", "code": 502}}, errors.InternalServerError, 502),
    "with choices beside it": (
        {"error": {"message": "Token limit reached", "code": 400}, "choices": [{"index": 0, "delta": {}}]},
        errors.BadRequestError,
        400,
    ),
    "by type": (said("m", None, "rate_limit_error"), errors.RateLimitError, 429),
    "overloaded": (said("m", None, "overloaded_error"), errors.ServiceUnavailableError, 503),
    "filtered": (
        {"error": {"message": "m", "code": "content_filter", "status": 400}},
        errors.ContentPolicyViolationError,
        400,
    ),
    "Mistral's": ({"object": "error", "message": "m"}, errors.InternalServerError, 500),
    "a text": ({"error": "m"}, errors.InternalServerError, 500),
}


@pytest.mark.parametrize(("event", "cls", "status"), EVENTS.values(), ids=EVENTS)
def test_an_error_inside_a_200_has_the_class_it_would_have_had(
    event: dict[str, Any], cls: type[errors.APIError], status: int
) -> None:
    error = WIRE.event_error(event)

    assert type(error) is cls
    assert error.status_code == status


@pytest.mark.parametrize("event", [{}, {"choices": []}, {"error": None}, {"error": {}}, {"error": ""}], ids=str)
def test_an_event_without_an_error_is_none(event: dict[str, Any]) -> None:
    assert WIRE.event_error(event) is None
