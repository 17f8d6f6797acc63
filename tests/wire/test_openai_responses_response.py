"""From a response to a Completion, its tokens, its errors, and whether it may be kept."""

from __future__ import annotations

from typing import Any

import pytest

from ostinato.errors import (
    APIError,
    APIResponseError,
    BadRequestError,
    ContentPolicyViolationError,
    ContextWindowExceededError,
    InternalServerError,
    RateLimitError,
)
from ostinato.wire.openai_responses import WIRE
from tests.wire.openai_responses_calls import answer, called, said, thought

SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
REFUSED = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "refusal", "refusal": "no"}],
}


def test_an_answer_reads_as_a_completion() -> None:
    completion = WIRE.parse(answer(thought("first"), said("Hello"), called()))
    choice = completion.choices[0]

    assert (completion.object, completion.created, completion.model) == ("chat.completion", 7, "gpt-5.1")
    assert choice.message.content == "Hello"
    assert choice.message.reasoning_content == "first"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0] == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Bern"}'},
    }
    assert choice.finish_reason == "tool_calls"
    assert choice.native_finish_reason == "completed"
    assert choice.message["reasoning_items"] == [thought("first")]
    assert completion.status == "completed"


def test_items_without_a_place_in_chat_survive_as_they_came() -> None:
    message = WIRE.parse(answer(SEARCH, said("Hello"))).choices[0].message

    assert message["output_items"] == [SEARCH, said("Hello")]


def test_a_refusal_and_a_custom_call_have_their_places() -> None:
    custom = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c", "name": "math", "input": "1+1"}
    message = WIRE.parse(answer(REFUSED, custom)).choices[0].message

    assert (message.content, message.refusal) == (None, "no")
    assert message.tool_calls == [{"id": "c", "type": "custom", "custom": {"name": "math", "input": "1+1"}}]


def test_a_citation_points_into_the_whole_content() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2}
    message = WIRE.parse(answer(said("four"), said("five", annotations=[cited]))).choices[0].message

    place = {"url": "u", "title": "t", "start_index": 5, "end_index": 6}
    assert message.annotations == [{"type": "url_citation", "url_citation": place}]
    # What came is not moved.
    assert message["output_items"][1]["content"][0]["annotations"] == [cited]


def test_log_probabilities_stand_on_the_choice() -> None:
    chances = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    choice = WIRE.parse(answer(said("a", logprobs=chances))).choices[0]

    assert choice.logprobs == {"content": chances, "refusal": None}


@pytest.mark.parametrize(
    ("members", "finish", "native"),
    [
        ({}, "stop", "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            "content_filter",
        ),
        ({"status": "incomplete"}, "length", "incomplete"),
        ({"status": "queued"}, None, "queued"),
        ({"status": "in_progress"}, None, "in_progress"),
        ({"status": "cancelled"}, None, "cancelled"),
    ],
)
def test_the_status_says_how_an_answer_ended(members: Any, finish: str | None, native: str) -> None:
    choice = WIRE.parse(answer(said("x"), **members)).choices[0]

    assert (choice.finish_reason, choice.native_finish_reason) == (finish, native)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (answer(said("x")), None),
        (answer(called()), None),
        (answer(called("")), None),
        (answer(SEARCH), None),
        (answer(REFUSED), None),
        (answer(said("x"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), None),
        (answer(thought(), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), None),
        (answer(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), None),
        (answer(said("x"), status="incomplete", incomplete_details={"reason": "content_filter"}), "filter"),
        (answer(said("x"), status="incomplete"), "broke off"),
        (answer(said("x"), status="failed"), "failed"),
        (answer(said("x"), status="queued"), "queued"),
        (answer(said("x"), status="in_progress"), "in_progress"),
        (answer(said("x"), status="cancelled"), "cancelled"),
        (answer(said("x"), error={"code": "server_error", "message": "m"}), "status"),
        (answer(said("x"), background=True), "background"),
        (answer(), "empty"),
        (answer(thought()), "empty"),
        (answer(said("")), "empty"),
        (answer(called('{"city":')), "no JSON"),
        (answer(called("{}", status="incomplete"), incomplete_details={"reason": "max_output_tokens"}), "cut"),
        (answer({"type": "function_call"}), "none"),
        ({"id": "x"}, "no list"),
        ({"output": [said("x")], "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}, "all zeros"),
    ],
)
def test_only_whole_answers_may_be_kept(body: Any, reason: str | None) -> None:
    told = WIRE.incomplete(body)

    assert (told is None) if reason is None else (told is not None and reason in told)


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"cached_tokens": 0, "cache_write_tokens": 0}, {}),
        ({"cached_tokens": 300, "cache_write_tokens": 600}, {"": 600}),
        (
            {
                "cached_tokens": 300,
                "cache_write_tokens": 600,
                "cache_write_tokens_details": {"ttl_30m_tokens": 400, "ttl_12h_tokens": 200},
            },
            {"30m": 400, "12h": 200},
        ),
        (
            {"cache_write_tokens": 600, "cache_write_tokens_details": {"ttl_30m_tokens": 400, "ttl_12h_tokens": 0}},
            {"30m": 400, "": 200},
        ),
    ],
)
def test_what_was_written_is_split_by_how_long_it_is_kept(details: Any, written: dict[str, int]) -> None:
    usage = {"input_tokens": 1000, "input_tokens_details": details, "output_tokens": 5, "total_tokens": 1005}
    body = answer(said("x"), usage=usage)
    (run,) = WIRE.tokens(body) or []
    completion = WIRE.parse(body)

    assert run.written == written
    assert run.uncached + run.read + sum(written.values()) == 1000
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 1000
    assert completion.usage.cache_read_input_tokens == run.read
    assert completion.usage.cache_creation_input_tokens == sum(written.values())
    assert completion.usage.raw == usage


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}, (9, 0, 5, 0)),
        ({"input_tokens": 9, "output_tokens": 5, "total_tokens": 34}, (9, 0, 25, 0)),
        ({"input_tokens": 9, "input_tokens_details": None, "output_tokens": None}, (9, 0, 0, 0)),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 5}, (0, 9, 5, 0)),
        (
            {"input_tokens": 9, "input_tokens_details": {"cached_tokens": -2}, "output_tokens": 5, "total_tokens": 14},
            (9, 0, 5, 0),
        ),
        (
            {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2.0}, "output_tokens": 5, "total_tokens": 14},
            (7, 2, 5, 0),
        ),
        (
            {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 6},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 9},
                "total_tokens": 14,
            },
            (0, 3, 5, 5),
        ),
        (
            {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 4}, "extra": 1},
            (9, 0, 5, 4),
        ),
    ],
)
def test_odd_counts_still_add_up(usage: Any, counts: tuple[int, ...]) -> None:
    body = answer(said("x"), usage=usage)
    (run,) = WIRE.tokens(body) or []
    record = WIRE.parse(body).usage

    assert (run.uncached, run.read, run.output, run.reasoning) == counts
    assert record is not None
    assert record.total_tokens == record.prompt_tokens + record.completion_tokens == run.prompt + run.output


@pytest.mark.parametrize("usage", [None, {}, {"cost": 1}])
def test_an_answer_without_counts_has_no_usage(usage: Any) -> None:
    body = answer(said("x"), usage=usage)

    assert WIRE.tokens(body) is None
    assert WIRE.parse(body).get("usage") == usage


def test_the_tier_is_told_where_it_is_not_the_standard_one() -> None:
    tiers = [(WIRE.tokens(answer(said("x"), service_tier=tier)) or [])[0].service_tier for tier in ("default", "flex")]

    assert tiers == [None, "flex"]


@pytest.mark.parametrize(
    "body", [[], "x", None, {}, {"output": {}}, {"output": ["x"]}, answer({"type": "message", "role": "assistant"})]
)
def test_what_is_no_response_is_an_error(body: Any) -> None:
    with pytest.raises(APIResponseError):
        WIRE.parse(body)


@pytest.mark.parametrize(
    ("event", "kind", "retryable"),
    [
        ({"type": "error", "code": "server_error", "message": "m", "param": None}, InternalServerError, True),
        (
            {"type": "error", "error": {"type": "requests", "code": "rate_limit_exceeded", "message": "m"}},
            RateLimitError,
            True,
        ),
        (
            {"type": "error", "error": {"code": "context_length_exceeded", "message": "m"}},
            ContextWindowExceededError,
            False,
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "m"}}},
            InternalServerError,
            True,
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "m"}}},
            RateLimitError,
            True,
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "invalid_image_url", "message": "m"}}},
            BadRequestError,
            False,
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "bio_policy", "message": "m"}}},
            ContentPolicyViolationError,
            False,
        ),
        ({"type": "response.failed", "response": {"error": None}}, InternalServerError, True),
        (answer(status="failed", error={"code": "server_error", "message": "m"}), InternalServerError, True),
        ({"error": {"message": "m", "type": "server_error"}}, InternalServerError, True),
    ],
)
def test_an_error_inside_a_stream_or_a_200_is_of_its_class(event: Any, kind: type[APIError], retryable: bool) -> None:
    error = WIRE.event_error(event)

    assert type(error) is kind
    assert error.retryable is retryable


def test_a_failed_response_is_raised_with_the_id_of_its_request() -> None:
    body = answer(status="failed", error={"code": "server_error", "message": "sk-abcdefgh12345 broke"})
    with pytest.raises(InternalServerError) as caught:
        WIRE.parse(body, {"x-request-id": "req_1"})

    assert caught.value.request_id == "req_1"
    assert "abcdefgh" not in str(caught.value)


@pytest.mark.parametrize(
    "event", [{"type": "keepalive", "sequence_number": 3}, answer(said("x")), {"type": "response.created"}]
)
def test_what_is_no_error_is_none(event: Any) -> None:
    assert WIRE.event_error(event) is None
