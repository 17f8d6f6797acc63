"""Streams, live and replayed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ostinato import (
    APIConnectionError,
    Cache,
    acompletion,
    completion,
)
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import HELLO, MODEL, text


@pytest.mark.parametrize("first_streams", [True, False])
def test_one_entry_serves_streamed_and_unstreamed(
    first_streams: bool, ask: Callable[..., Any], emulator: Emulator
) -> None:
    tools = [
        {
            "type": "function",
            "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
        }
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

    called: dict[Any, list[str]] = {}
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


def test_stream_that_is_cut_after_its_finish_is_whole_and_its_usage_unknown(
    ask: Callable[..., Any], emulator: Emulator
) -> None:
    """What was said is there and was paid for; what it took came in the event that was lost."""
    emulator.script(Reply(pieces=("one",), cut_after_events=3))
    with Cache.memory() as cache:
        chunks = ask(MODEL, HELLO, stream=True, stream_options={"include_usage": True})
        hit = ask(MODEL, HELLO)

        assert cache.stats()["stored"] == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert hit.choices[0].message.content == "one"
    assert (hit.cache_hit, hit.usage, hit.cost, hit.saved_cost) == (True, None, 0, None)


def test_first_chunk_does_not_wait_for_the_second(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=("one", "two"), gates={2: gate}))
    with completion(MODEL, HELLO, stream=True) as stream:
        role, first = next(stream), next(stream)
        gate.set()

        assert role.choices[0].delta.role == "assistant"
        assert first.choices[0].delta.content == "one"
        assert text(list(stream)) == "two"


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

    assert text(ask(MODEL, HELLO, stream=True)) == whole.choices[0].message.content
