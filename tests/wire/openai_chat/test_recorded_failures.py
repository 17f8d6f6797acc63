"""Every recorded failure of OpenAI's chat, by its status or inside a 200."""

from __future__ import annotations

import copy
import json
import re

import httpx2
import openai
import pytest

from ostinato import errors
from tests.corpus import open_index, sse_events
from tests.wire.openai_chat.recorded import WIRE, chats

# Finer than the official client, which knows 400, 401, 403, 404, 409, 422, 429 and 5xx alone, by what is said.
FINER: dict[type[errors.APIError], set[type[openai.APIStatusError]]] = {
    errors.BadRequestError: {openai.BadRequestError, openai.UnprocessableEntityError},
    errors.ContextWindowExceededError: {openai.BadRequestError},
    errors.ContentPolicyViolationError: {openai.BadRequestError, openai.PermissionDeniedError},
    errors.AuthenticationError: {openai.AuthenticationError, openai.PermissionDeniedError},
    errors.BudgetExceededError: {openai.APIStatusError, openai.RateLimitError},
    errors.ConflictError: {openai.ConflictError},
    errors.PermissionDeniedError: {openai.PermissionDeniedError},
    errors.NotFoundError: {openai.NotFoundError, openai.BadRequestError},
    errors.RateLimitError: {openai.RateLimitError},
    errors.RequestTooLargeError: {openai.RateLimitError, openai.APIStatusError},
    errors.Timeout: {openai.APIStatusError},
    errors.InternalServerError: {openai.InternalServerError},
    errors.ServiceUnavailableError: {openai.InternalServerError},
}


def test_every_failure_lands_in_the_official_client_s_class_or_a_finer_one() -> None:
    client = openai.OpenAI(api_key="k")
    for record in chats(failed=True):
        response = record["response"]
        body = json.dumps(response["json"]).encode() if "json" in response else response.get("text", "").encode()
        answer = httpx2.Response(response["status"], request=httpx2.Request("POST", "https://x.test"))
        official = type(client._make_status_error("x", body=None, response=answer))

        ours = WIRE.error(response["status"], response["headers"], body)

        assert official in FINER[type(ours)], (record["id"], official, type(ours))
        assert ours.status_code == response["status"]
        assert str(ours)
        assert ours.request_id == (
            response["headers"].get("x-request-id")
            or response["headers"].get("x-ds-trace-id")
            or response["headers"].get("apim-request-id")
        )


EXACT = {
    "oai-chat-070c36016f": (errors.RequestTooLargeError, False, None),
    "oth-chat-1f89b3ca9f": (errors.RateLimitError, True, 2.0),
    "oth-chat-352d952034": (errors.RateLimitError, True, 1.0),
    "oth-chat-bb90255200": (errors.RateLimitError, True, 0.66),
    "dsk-chat-6d315c626f": (errors.ContextWindowExceededError, False, None),
    "oth-chat-09b8212af5": (errors.ContextWindowExceededError, False, None),
    "oth-chat-358422e36a": (errors.ContextWindowExceededError, False, None),
    "oth-chat-4c7329f7e7": (errors.ContextWindowExceededError, False, None),
    "oth-chat-4a293d4698": (errors.ContentPolicyViolationError, False, None),
    "oai-chat-6985344d1b": (errors.ServiceUnavailableError, True, None),
}


def test_what_the_status_does_not_tell_is_told_by_the_words() -> None:
    for record in chats(failed=True):
        if record["id"] in EXACT:
            response = record["response"]
            body = json.dumps(response["json"]).encode() if "json" in response else response["text"].encode()
            error = WIRE.error(response["status"], response["headers"], body)

            assert (type(error), error.retryable, error.retry_after) == EXACT[record["id"]], record["id"]


IN_STREAM = {
    "oth-chat-57f855d32f": errors.BadRequestError,
    "oth-chat-7abbecfbe2": errors.BadRequestError,
    "oth-chat-9eeda412b1": errors.BadRequestError,
    "oth-chat-b0bc276107": errors.InternalServerError,
    "oth-chat-b2540e263c": errors.BadRequestError,
}


def test_errors_inside_a_stream_are_found_where_the_official_client_finds_them() -> None:
    index = open_index()
    for record in chats(stream=True):
        failures = [failure for event in sse_events(record) if (failure := WIRE.event_error(event))]

        assert bool(failures) is (index[record["id"]]["sdk"] == "APIError"), record["id"]
        if record["id"] in IN_STREAM:
            assert [type(failure) for failure in failures] == [IN_STREAM[record["id"]]], record["id"]


def test_an_error_inside_a_200_is_raised() -> None:
    for record in chats(stream=False):
        body = record["response"]["json"]
        if body.get("error"):
            with pytest.raises(errors.APIError, match=re.escape(body["error"]["message"])):
                WIRE.parse(copy.deepcopy(body))
