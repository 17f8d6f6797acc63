"""What can go wrong, and what is said of it."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest

from ostinato import (
    APIResponseError,
    AuthenticationError,
    BadRequestError,
    Cache,
    ConfigurationError,
    RateLimitError,
    UnsupportedParamsError,
    completion,
    embedding,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, MODEL


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "messages"),
        ("hello", "messages"),
        (None, "messages"),
        ([{"content": "no role"}], "role"),
        (["hello"], "messages"),
        ([{"role": "user", "content": 5}], "content"),
        ([{"role": "user", "content": b"bytes"}], "content"),
        ([{"role": "user", "content": {"a", "set"}}], "content"),
        ([{"role": "user", "content": "\ud800"}], "content"),
    ],
)
def test_message_that_no_request_can_carry_is_refused_before_it_is_sent(
    messages: Any, complaint: str, ask: Callable[..., Any], emulator: Emulator
) -> None:
    for cache in (None, Cache.memory()):
        with pytest.raises(BadRequestError, match=complaint):
            ask(MODEL, messages, cache=cache)
    assert not emulator.calls


def recursive() -> dict[str, Any]:
    message: dict[str, Any] = {"role": "user", "content": "x"}
    message["again"] = message
    return message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {1}, object()], ids=repr)
def test_parameter_that_no_json_holds_is_refused(value: Any, ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory(), pytest.raises(BadRequestError):
        ask(MODEL, HELLO, temperature=value)
    assert not emulator.calls


def test_message_that_holds_itself_is_refused(ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory(), pytest.raises(BadRequestError):
        ask(MODEL, [recursive()])
    assert not emulator.calls


@pytest.mark.parametrize("model", ["nobody/gpt-4o", "llama", "", None, 5, "opnai/gpt-4o"])
def test_unknown_provider_is_an_error_that_lists_them(model: Any, ask: Callable[..., Any]) -> None:
    with Cache.memory(), pytest.raises(ConfigurationError, match=r"openai|non-empty string"):
        ask(model, HELLO)


def test_missing_key_is_an_error_that_names_the_variable(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        ask(MODEL, HELLO)


def test_hit_needs_no_key(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with Cache.memory():
        ask(MODEL, HELLO)
        monkeypatch.delenv("OPENAI_API_KEY")
        assert ask(MODEL, HELLO).cache_hit


@pytest.mark.parametrize("api_base", ["nonsense", "ftp://a", "http://", 5])
def test_wrong_base_url_is_an_error(api_base: Any, ask: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="api_base"):
        ask(MODEL, HELLO, api_base=api_base)


@pytest.mark.parametrize("stream", [False, True])
def test_error_of_the_vendor_has_its_class_and_its_facts(
    stream: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.script(Reply(status=429, headers={"retry-after": "7", "x-request-id": "req_1"}), times=None)
    with Cache.memory() as cache, pytest.raises(RateLimitError) as caught:
        ask(MODEL, HELLO, stream=stream, num_retries=0)

    error = caught.value
    assert (error.status_code, error.retry_after, error.request_id, error.provider) == (429, 7.0, "req_1", "openai")
    assert cache.stats()["stored"] == 0


def test_passing_error_is_retried_and_the_answer_stored(ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=503, headers={"retry-after": "0.001"}), times=2)
    with Cache.memory():
        ask(MODEL, HELLO)
        assert ask(MODEL, HELLO).cache_hit
    assert len(emulator.calls) == 3


def test_chance_in_waits_and_ttls_leaves_the_program_s_own_alone(ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=500, headers={"retry-after-ms": "0"}))
    before = random.getstate()
    ask(MODEL, HELLO, cache=Cache.memory(ttl=100, ttl_jitter=0.5))

    assert random.getstate() == before


def test_final_error_is_not_retried(ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=400), times=None)
    with pytest.raises(BadRequestError):
        ask(MODEL, HELLO)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'"text"', b'{"id": "x"}', b"\xff\xfe{}", b'{"choices": 5}'])
def test_answer_that_is_none_is_a_clear_error_and_not_stored(
    body: bytes, ask: Callable[..., Any], emulator: Emulator, *, stream: bool
) -> None:
    emulator.script(Reply(raw_body=body, headers={"content-type": "application/json"}), times=None)
    with Cache.memory() as cache, pytest.raises(APIResponseError):
        ask(MODEL, HELLO, num_retries=0, stream=stream)

    assert cache.stats()["stored"] == 0


@pytest.mark.parametrize("model", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "openai/responses/gpt-4o"])
@pytest.mark.parametrize("stream", [False, True])
def test_answer_with_members_of_no_known_type_is_an_error_of_the_vendors(
    model: str, stream: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    body: dict[str, Any] = {"type": [1], "stop_reason": [1], "status": [1], "finish_reason": [1], "index": [1]}
    body |= {"choices": [{"delta": [1], "message": [1]}], "content": [], "output": []}
    emulator.script(Reply(raw_events=(json.dumps(body),)) if stream else Reply(raw_body=json.dumps(body)))
    settings = {"api_base": emulator.anthropic_url, "api_key": "k"} if model.startswith("anthropic") else {}
    with Cache.memory() as cache:
        try:
            answer = ask(model, HELLO, stream=stream, num_retries=0, **settings)
            told = [choice.finish_reason for chunk in answer for choice in chunk.choices] if stream else answer.choices
        except APIResponseError as error:
            told = error.provider

    assert told
    assert cache.stats()["stored"] == 0


@pytest.mark.parametrize("timeout", [-1, 0, float("nan"), "5"])
def test_wrong_timeout_is_an_error(timeout: Any, ask: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError):
        ask(MODEL, HELLO, timeout=timeout)


@pytest.mark.parametrize("num_retries", [-1, 1.5, True, "2"])
def test_wrong_number_of_retries_is_an_error(num_retries: Any, ask: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError):
        ask(MODEL, HELLO, num_retries=num_retries)


@pytest.mark.parametrize("sample_index", [-1, 1.5, True, "2"])
def test_wrong_sample_index_is_an_error(sample_index: Any, ask: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError):
        ask(MODEL, HELLO, sample_index=sample_index)


def test_unknown_parameter_of_the_vendor_itself_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(UnsupportedParamsError, match=r"top_k.*extra_body"):
        completion(MODEL, HELLO, top_k=5)


@pytest.mark.parametrize("name", ["base_url", "custom_llm_provider", "request_timeout", "max_retries", "ttl"])
def test_a_setting_by_another_librarys_name_is_never_sent(
    name: str, ask: Callable[..., Any], emulator: Emulator
) -> None:
    for call in (ask, lambda *args, **kwargs: embedding("openai/text-embedding-3-small", "x", **kwargs)):
        with pytest.raises(ConfigurationError, match=f"{name} is no parameter of a model; here it is"):
            call(MODEL, HELLO, **{name: "http://127.0.0.1:9"})
    assert not emulator.calls
    ask(MODEL, HELLO, **{name: None})


def test_unknown_parameter_is_sent_to_a_server_of_ones_own(emulator: Emulator) -> None:
    completion(MODEL, HELLO, min_p=0.1, extra_body={"top_a": 0.2})

    assert (emulator.calls[0].body["min_p"], emulator.calls[0].body["top_a"]) == (0.1, 0.2)


def test_extra_headers_and_query_are_sent_and_count(emulator: Emulator) -> None:
    with Cache.memory():
        completion(MODEL, HELLO, extra_headers={"x-feature": "a"}, extra_query={"version": "1"})
        assert not completion(MODEL, HELLO, extra_headers={"x-feature": "b"}, extra_query={"version": "1"}).cache_hit
        assert not completion(MODEL, HELLO, extra_headers={"x-feature": "a"}, extra_query={"version": "2"}).cache_hit
        assert completion(MODEL, HELLO, extra_headers={"x-feature": "a"}, extra_query={"version": "1"}).cache_hit
    assert emulator.calls[0].headers["x-feature"] == "a"
    assert emulator.calls[0].query == "version=1"


def test_prompt_of_ten_megabytes_is_cached(ask: Callable[..., Any]) -> None:
    messages = [{"role": "user", "content": "0123456789" * 1_000_000}]
    with Cache.memory():
        first = ask(MODEL, messages)
        assert ask(MODEL, [dict(messages[0])]) == first


class FailingStore:
    """A store that is down."""

    instant = True
    process_local = False

    def __init__(self) -> None:
        self.asked = 0

    def _fail(self, *_: Any, **__: Any) -> Any:
        from ostinato import StoreError

        self.asked += 1
        raise StoreError("down")

    get = set = delete = clear = flush = scan = _fail

    async def _afail(self, *_: Any, **__: Any) -> Any:
        self._fail()

    aget = aset = adelete = aclear = aclose = _afail

    def stats(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


@pytest.mark.parametrize("instant", [True, False])
def test_store_that_fails_is_a_miss_logged_once_and_counted(
    instant: bool, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore()
    store.instant = instant
    cache = Cache(store=store)
    with caplog.at_level(logging.WARNING, "ostinato"):
        for _ in range(3):
            assert not ask(MODEL, HELLO, cache=cache).cache_hit

    assert len([r for r in caplog.records if "is failing" in r.message]) == 1
    assert cache.stats()["store_errors"] >= 6
