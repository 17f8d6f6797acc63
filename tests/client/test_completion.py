"""The path of a call through the public functions, against a real server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ostinato
from ostinato import (
    APIConnectionError,
    APIResponseError,
    AuthenticationError,
    BadRequestError,
    Cache,
    ConfigurationError,
    RateLimitError,
    UnsupportedParamsError,
    acompletion,
    completion,
)
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator, Reply

MODEL = "openai/gpt-4o"
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def openai(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key")
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)


def ask_sync(*args: Any, **kwargs: Any) -> Any:
    answer = completion(*args, **kwargs)
    return list(answer) if kwargs.get("stream") else answer


def ask_async(*args: Any, **kwargs: Any) -> Any:
    async def run() -> Any:
        answer = await acompletion(*args, **kwargs)
        return [chunk async for chunk in answer] if kwargs.get("stream") else answer

    return asyncio.run(run())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# Miss, hit, equality.


def test_same_call_is_paid_once(ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory():
        first, second = ask(MODEL, HELLO), ask(MODEL, HELLO)

    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert first == second
    assert first._hidden_params["cache_key"] == second._hidden_params["cache_key"]
    assert len(emulator.calls) == 1


def test_without_a_cache_every_call_is_paid(ask: Callable[..., Any], emulator: Emulator) -> None:
    ask(MODEL, HELLO)
    ask(MODEL, HELLO)

    assert len(emulator.calls) == 2


def test_caller_who_changes_a_hit_changes_nothing_else(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        first = ask(MODEL, HELLO)
        spoilt = ask(MODEL, HELLO)
        spoilt.choices[0].message.content = "spoilt"
        spoilt.usage.prompt_tokens = 10**9
        third = ask(MODEL, HELLO)

    assert third == first


def test_message_of_ours_goes_back_as_it_is(ask: Callable[..., Any], emulator: Emulator) -> None:
    messages: list[Any] = [*HELLO]
    messages.append(ask(MODEL, messages).choices[0].message)
    messages.append({"role": "user", "content": "and?"})
    ask(MODEL, messages)

    assert emulator.calls[1].body["messages"][1] == messages[1].model_dump()


def test_message_from_a_hit_makes_the_same_key_as_from_the_miss(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        conversations = []
        for _ in range(2):
            answer = ask(MODEL, HELLO)
            conversations.append([*HELLO, answer.choices[0].message, {"role": "user", "content": "and?"}])
        ask(MODEL, conversations[0])

        assert ask(MODEL, conversations[1]).cache_hit


# Streams.


@pytest.mark.parametrize("first_streams", [True, False])
def test_one_entry_serves_streamed_and_unstreamed(
    first_streams: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    ]
    call = {"n": 2, "tools": tools, "stream_options": {"include_usage": True}}
    with Cache.memory():
        if first_streams:
            chunks = ask(MODEL, HELLO, stream=True, **call)
            whole = ask(MODEL, HELLO, **call)
            assert whole.cache_hit
        else:
            whole = ask(MODEL, HELLO, **call)
            chunks = ask(MODEL, HELLO, stream=True, **call)
            assert all(chunk.cache_hit for chunk in chunks)

    called = {}
    for chunk in chunks:
        for choice in chunk.choices:
            for part in choice.delta.tool_calls or []:
                called.setdefault((choice.index, part.index), []).append(part.function.arguments or "")
    assert len(emulator.calls) == 1
    assert {place: "".join(parts) for place, parts in called.items()} == {
        (choice.index, index): tool_call.function.arguments
        for choice in whole.choices
        for index, tool_call in enumerate(choice.message.tool_calls)
    }
    assert chunks[-1].usage == whole.usage
    assert len(called) == 2


def test_replayed_stream_is_cut_like_the_live_one(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        live = ask(MODEL, HELLO, stream=True)
        replay = ask(MODEL, HELLO, stream=True)

    assert len(live) > 3
    assert [c.choices[0].delta.content for c in live] == [c.choices[0].delta.content for c in replay]


def test_usage_chunk_comes_only_when_asked_for_and_is_known_anyhow(emulator: Emulator) -> None:
    stream = completion(MODEL, HELLO, stream=True)
    chunks = list(stream)

    assert all(chunk.choices for chunk in chunks)
    assert stream.usage is not None
    assert stream.usage.total_tokens > 0
    assert emulator.calls[0].body["stream_options"]["include_usage"] is True


def test_stream_that_is_cut_raises_and_is_not_stored(ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(cut_after_events=3))
    with Cache.memory() as cache:
        with pytest.raises(APIConnectionError):
            ask(MODEL, HELLO, stream=True)

        assert cache.stats()["stored"] == 0
        assert not ask(MODEL, HELLO).cache_hit


def test_first_chunk_does_not_wait_for_the_second(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=("one", "two"), gates={2: gate}))
    with completion(MODEL, HELLO, stream=True) as stream:
        role, first = next(stream), next(stream)
        gate.set()

        assert role.choices[0].delta.role == "assistant"
        assert first.choices[0].delta.content == "one"
        assert text_of(list(stream)) == "two"


def test_leaving_a_stream_hangs_up_on_the_vendor(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=("one", "two"), gates={2: gate}))
    with Cache.memory() as cache:
        with completion(MODEL, HELLO, stream=True) as stream:
            next(stream)

        assert emulator.calls[0].disconnected.wait(10)
        assert cache.stats()["stored"] == 0
        assert cache.stats()["in_flight"] == 0


@pytest.mark.parametrize("how", ["never read", "half read", "closed"])
def test_dropped_stream_hangs_up_on_the_vendor(how: str, emulator: Emulator) -> None:
    emulator.script(Reply(pieces=("one", "two"), gates={2: threading.Event()}))
    with Cache.memory() as cache:
        stream = completion(MODEL, HELLO, stream=True)
        if how != "never read":
            next(stream)
        if how == "closed":
            stream.close()
        del stream

        assert emulator.calls[0].disconnected.wait(10)
        assert cache.stats()["in_flight"] == 0


def test_dropped_async_stream_hangs_up_on_the_vendor(emulator: Emulator) -> None:
    emulator.script(Reply(pieces=("one", "two"), gates={2: threading.Event()}))

    async def run() -> bool:
        with Cache.memory():
            stream = await acompletion(MODEL, HELLO, stream=True)
            await anext(stream)
            await stream.aclose()
            return await asyncio.to_thread(emulator.calls[0].disconnected.wait, 10)

    assert asyncio.run(run())


def test_server_that_answers_a_stream_with_json_is_read_all_the_same(
    ask: Callable[..., Any], emulator: Emulator
) -> None:
    whole = completion(MODEL, HELLO)
    emulator.script(Reply(raw_body=whole.model_dump_json(), headers={"content-type": "application/json"}))

    assert text_of(ask(MODEL, HELLO, stream=True)) == whole.choices[0].message.content


# Which cache.


def test_precedence_is_call_then_block_then_process(ask: Callable[..., Any]) -> None:
    own, block, process = Cache.memory(), Cache.memory(), Cache.memory()
    ostinato.cache = process
    ask(MODEL, HELLO)
    with block:
        ask(MODEL, HELLO)
        ask(MODEL, HELLO, cache=own)

    assert [cache.stats()["stored"] for cache in (own, block, process)] == [1, 1, 1]


def test_block_ends_also_after_an_exception_and_the_outer_one_is_back() -> None:
    outer, inner = Cache.memory(), Cache.memory()
    with outer:
        with pytest.raises(RuntimeError), inner:
            raise RuntimeError
        completion(MODEL, HELLO)
    completion(MODEL, [{"role": "user", "content": "outside"}])

    assert outer.stats()["stored"] == 1
    assert inner.stats()["stored"] == 0


def test_same_cache_can_be_entered_twice() -> None:
    cache = Cache.memory()
    with cache:
        with cache:
            completion(MODEL, HELLO)
        assert completion(MODEL, HELLO).cache_hit
    assert not completion(MODEL, HELLO).cache_hit


def test_tasks_each_see_their_own_block(emulator: Emulator) -> None:
    async def one(cache: Cache, ready: asyncio.Barrier) -> None:
        with cache:
            await ready.wait()
            await acompletion(MODEL, HELLO)
            await ready.wait()

    async def run(caches: list[Cache]) -> None:
        ready = asyncio.Barrier(len(caches))
        await asyncio.gather(*(one(cache, ready) for cache in caches))

    caches = [Cache.memory() for _ in range(5)]
    asyncio.run(run(caches))

    assert [cache.stats()["stored"] for cache in caches] == [1] * 5


def test_threads_do_not_inherit_a_block_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    from ostinato.client.sync import Client

    client = Client()
    with client, Cache.memory() as cache, ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "ostinato"):
        for _ in range(2):
            pool.submit(client.completion, MODEL, HELLO, caching=True).result()

    assert cache.stats()["stored"] == 0
    assert len([r for r in caplog.records if "there is no cache" in r.message]) == 1


def test_thread_started_with_the_context_inherits_the_block() -> None:
    async def run() -> Any:
        return await asyncio.to_thread(completion, MODEL, HELLO)

    with Cache.memory() as cache:
        asyncio.run(run())

    assert cache.stats()["stored"] == 1


def test_stream_read_after_its_block_ended_is_stored_where_it_was_called() -> None:
    with Cache.memory() as cache:
        stream = completion(MODEL, HELLO, stream=True)
    with Cache.memory() as other:
        list(stream)

    assert cache.stats()["stored"] == 1
    assert other.stats()["stored"] == 0


def test_stream_read_in_another_thread_is_stored_where_it_was_called() -> None:
    with Cache.memory() as cache:
        stream = completion(MODEL, HELLO, stream=True)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(list, stream).result()

    assert cache.stats()["stored"] == 1


def test_block_left_in_another_context_neither_raises_nor_stays(emulator: Emulator) -> None:
    async def blocks(cache: Cache) -> Any:
        with cache:
            yield 1
            yield 2

    async def run(cache: Cache) -> None:
        generator = blocks(cache)
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())
        await acompletion(MODEL, HELLO)

    cache = Cache.memory()
    asyncio.run(run(cache))

    assert cache.stats()["stored"] == 0


def test_task_that_outlives_its_block_does_not_see_it() -> None:
    async def later(ended: asyncio.Event) -> None:
        await ended.wait()
        await acompletion(MODEL, HELLO)

    async def run(cache: Cache) -> None:
        ended = asyncio.Event()
        with cache:
            task = asyncio.create_task(later(ended))
        ended.set()
        await task

    cache = Cache.memory()
    asyncio.run(run(cache))

    assert cache.stats()["stored"] == 0


# Controls.


def test_caching_false_neither_reads_nor_stores(ask: Callable[..., Any], emulator: Emulator) -> None:
    with Cache.memory() as cache:
        ask(MODEL, HELLO, caching=False)
        assert cache.stats()["stored"] == 0
        ask(MODEL, HELLO)
        assert not ask(MODEL, HELLO, caching=False).cache_hit
    assert len(emulator.calls) == 3


def test_no_cache_skips_the_read_and_stores(ask: Callable[..., Any]) -> None:
    with Cache.memory():
        first = ask(MODEL, HELLO)
        second = ask(MODEL, HELLO, cache={"no-cache": True})
        third = ask(MODEL, HELLO)

    assert not second.cache_hit
    assert second != first
    assert third == second


def test_no_store_reads_and_does_not_store(ask: Callable[..., Any]) -> None:
    with Cache.memory() as cache:
        ask(MODEL, HELLO, cache={"no-store": True})
        assert cache.stats()["stored"] == 0
        ask(MODEL, HELLO)
        assert ask(MODEL, HELLO, cache={"no-store": True}).cache_hit


def test_ttl_of_the_call_goes_before_the_caches(ask: Callable[..., Any]) -> None:
    clock = ManualClock()
    with Cache.memory(ttl=100, clock=clock):
        ask(MODEL, HELLO, cache={"ttl": 10})
        clock.advance(9)
        assert ask(MODEL, HELLO).cache_hit
        clock.advance(2)
        assert not ask(MODEL, HELLO).cache_hit
        clock.advance(99)
        assert ask(MODEL, HELLO).cache_hit
        clock.advance(2)
        assert not ask(MODEL, HELLO).cache_hit


def test_s_maxage_takes_only_young_entries(ask: Callable[..., Any]) -> None:
    clock = ManualClock()
    with Cache.memory(clock=clock):
        ask(MODEL, HELLO)
        clock.advance(5)
        assert ask(MODEL, HELLO, cache={"s-maxage": 5}).cache_hit
        assert not ask(MODEL, HELLO, cache={"s-maxage": 4}).cache_hit
        assert ask(MODEL, HELLO, cache={"s-maxage": 0}).cache_hit


def test_default_off_is_opted_in(ask: Callable[..., Any]) -> None:
    with Cache.memory(mode="default_off"):
        assert not ask(MODEL, HELLO).cache_hit
        assert not ask(MODEL, HELLO, cache={"use-cache": True}).cache_hit
        assert not ask(MODEL, HELLO).cache_hit
        assert ask(MODEL, HELLO, cache={"use-cache": True}).cache_hit


def test_namespaces_are_apart(ask: Callable[..., Any]) -> None:
    with Cache.memory(namespace="a"):
        ask(MODEL, HELLO)
        assert not ask(MODEL, HELLO, cache={"namespace": "b"}).cache_hit
        assert ask(MODEL, HELLO, cache={"namespace": "a"}).cache_hit


@pytest.mark.parametrize(
    ("controls", "complaint"),
    [
        ({"ttl": -1}, "'ttl'"),
        ({"ttl": 0}, "'ttl'"),
        ({"ttl": "5"}, "'ttl'"),
        ({"ttl": True}, "'ttl'"),
        ({"ttl": float("nan")}, "'ttl'"),
        ({"s-maxage": -1}, "'s-maxage'"),
        ({"no-cache": "yes"}, "'no-cache'"),
        ({"namespace": 5}, "'namespace'"),
        ({"no_cache": True}, "did you mean 'no-cache'"),
        ([1], "a Cache or a dict"),
        ("redis", "a Cache or a dict"),
    ],
)
def test_wrong_control_is_an_error_that_says_so(controls: Any, complaint: str, emulator: Emulator) -> None:
    with Cache.memory(), pytest.raises(ConfigurationError, match=complaint):
        completion(MODEL, HELLO, cache=controls)
    assert not emulator.calls


@pytest.mark.parametrize(
    "settings",
    [{"ttl": -1}, {"ttl": 0}, {"max_bytes": 0}, {"max_bytes": -5}, {"mode": "sometimes"}, {"supported_call_types": ["x"]}],
    ids=str,
)
def test_wrong_setting_is_an_error(settings: Any) -> None:
    with pytest.raises(ConfigurationError):
        Cache.memory(**settings)


def test_unknown_cache_type_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="memory, disk"):
        Cache(type="floppy")


def test_supported_call_types_limit_what_is_cached() -> None:
    with Cache.memory(supported_call_types=["embedding"]) as cache:
        completion(MODEL, HELLO)

    assert cache.stats()["stored"] == 0


def test_custom_key_sees_the_calls_own_arguments_and_is_used(ask: Callable[..., Any]) -> None:
    seen: list[dict[str, Any]] = []

    def key(*args: Any, **kwargs: Any) -> str:
        seen.append(kwargs)
        return str(kwargs["model"]) + str(kwargs.get("temperature", ""))

    cache = Cache.memory()
    cache.get_cache_key = key
    with cache:
        ask(MODEL, HELLO, temperature=0.5)
        hit = ask(MODEL, [{"role": "user", "content": "something else"}], temperature=0.5)
        other = ask(MODEL, HELLO, temperature=0.6)

    assert hit.cache_hit
    assert not other.cache_hit
    assert seen[0] == {"model": MODEL, "messages": HELLO, "temperature": 0.5}


def test_custom_key_stays_within_the_namespace() -> None:
    cache = Cache.memory()
    cache.get_cache_key = lambda **_: "one"
    with cache:
        completion(MODEL, HELLO)
        assert not completion(MODEL, HELLO, cache={"namespace": "other"}).cache_hit
        assert completion(MODEL, HELLO).cache_hit


def test_custom_key_that_is_no_string_is_an_error() -> None:
    cache = Cache.memory()
    cache.get_cache_key = lambda **_: 5  # type: ignore[assignment,return-value]
    with pytest.raises(ConfigurationError, match="must return a string"):
        completion(MODEL, HELLO, cache=cache)


def test_hosted_tools_bypass_the_cache_unless_the_call_asks() -> None:
    search = "openai/gpt-4o-search-preview"
    with Cache.memory() as cache:
        completion(search, HELLO)
        completion(search, HELLO)
        assert cache.stats()["stored"] == 0
        completion(search, HELLO, cache={"ttl": 60})
        assert completion(search, HELLO, cache={"ttl": 60}).cache_hit
        assert not completion(search, HELLO).cache_hit


# Errors.


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


def test_final_error_is_not_retried(ask: Callable[..., Any], emulator: Emulator) -> None:
    emulator.script(Reply(status=400), times=None)
    with pytest.raises(BadRequestError):
        ask(MODEL, HELLO)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'"text"', b'{"id": "x"}', b"\xff\xfe{}", b'{"choices": 5}'])
def test_answer_that_is_none_is_a_clear_error_and_not_stored(
    body: bytes, ask: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.script(Reply(raw_body=body, headers={"content-type": "application/json"}), times=None)
    with Cache.memory() as cache, pytest.raises(APIResponseError):
        ask(MODEL, HELLO, num_retries=0)

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

    get = set = delete = clear = flush = _fail

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


@pytest.fixture
def disk_cache(tmp_path: Any) -> Iterator[Cache]:
    cache = Cache.disk(cache_path_root=tmp_path)
    yield cache
    cache.close()


def test_disk_answers_another_cache_on_the_same_folder(
    ask: Callable[..., Any], disk_cache: Cache, tmp_path: Any
) -> None:
    first = ask(MODEL, HELLO, cache=disk_cache)
    disk_cache.close()
    with Cache.disk(cache_path_root=tmp_path):
        again = ask(MODEL, HELLO)

    assert again.cache_hit
    assert again == first


def test_values_of_ones_own_can_be_kept_beside(disk_cache: Cache) -> None:
    disk_cache.set("a", {"b": [1, None]})
    disk_cache.set("c", 5, ttl=100)

    assert disk_cache.get("a") == {"b": [1, None]}
    assert disk_cache.get("missing", 7) == 7
    assert disk_cache.delete("a")
    assert disk_cache.get("a") is None
    assert disk_cache.clear() == 1


def test_entry_can_be_deleted_by_its_key() -> None:
    with Cache.memory() as cache:
        key = completion(MODEL, HELLO)._hidden_params["cache_key"]
        assert cache.delete(key)
        assert not completion(MODEL, HELLO).cache_hit
