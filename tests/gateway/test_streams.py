"""Streams on their way: clients that leave, that join, that take nothing, and many at once."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

import httpx2
import pytest

from ostinato.client.ask import Ask
from ostinato.gateway.config import read
from ostinato.gateway.service import Service
from ostinato.testing.emulator import Emulator, Reply
from ostinato.wire.dialects import find_dialect
from tests.gateway.serving import Serving, config_for

HELLO = [{"role": "user", "content": "hello"}]
STREAMED = {"model": "gpt", "messages": HELLO, "stream": True}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": STREAMED,
    "/v1/messages": {**STREAMED, "model": "claude", "max_tokens": 99},
    "/v1/responses": {"model": "deepseek", "input": "hello", "stream": True},
}
LONG_S = 30


def until(true: Any) -> None:
    never = threading.Event()
    for _ in range(LONG_S * 1000):
        if true():
            return
        never.wait(0.001)
    raise AssertionError("it never came to be")


@pytest.mark.parametrize("path", PATHS)
def test_events_come_as_the_vendor_sends_them(path: str, http: httpx2.Client, emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(text="one two three four five six seven", gates={6: gate}))
    with http.stream("POST", path, json=PATHS[path]) as answer:
        pieces = answer.iter_text()
        first = ""
        while "one" not in first:
            first += next(pieces)
        gate.set()
        rest = "".join(pieces)

    assert "one" in first
    assert "seven" not in first
    assert "seven" in rest


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b'{"id": "x"}', b"[1]", b"no JSON"])
def test_a_vendor_that_answers_a_stream_with_something_else_is_a_plain_error(
    body: bytes, path: str, emulator: Emulator
) -> None:
    emulator.script(Reply(raw_body=body, headers={"content-type": "application/json"}), times=None)
    config = config_for(emulator, "router_settings: {num_retries: 0}")
    with Serving(config) as gateway, httpx2.Client(base_url=gateway.url) as http:
        streamed = http.post(path, json=PATHS[path])
        whole = http.post(path, json={**PATHS[path], "stream": False})

    assert (streamed.status_code, streamed.headers["content-type"]) == (502, "application/json")
    assert (whole.status_code, whole.json()["error"].keys()) == (502, streamed.json()["error"].keys())


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_of_events_that_are_of_no_wire_ends_with_an_error(path: str, emulator: Emulator) -> None:
    odd = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": [1]}], "type": [2], "index": {}}
    emulator.script(Reply(raw_events=(json.dumps(odd),) * 2), times=None)
    config = config_for(emulator, "router_settings: {num_retries: 0}")
    with Serving(config) as gateway, httpx2.Client(base_url=gateway.url) as http:
        answer = http.post(path, json=PATHS[path])

    assert "error" in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_a_stream_frees_its_upstream_call(
    path: str, http: httpx2.Client, emulator: Emulator
) -> None:
    emulator.script(Reply(text="one two three", stall_after_events=2))
    with http.stream("POST", path, json=PATHS[path]) as answer:
        next(answer.iter_raw())
    (call,) = emulator.calls

    assert call.disconnected.wait(LONG_S)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_first_byte_frees_it_too(
    stream: bool, gateway: Serving, emulator: Emulator
) -> None:
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    body = json.dumps({**STREAMED, "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        client.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body)
        until(lambda: emulator.calls)
    (call,) = emulator.calls
    freed = call.disconnected.wait(LONG_S)
    gate.set()

    assert freed


def test_who_reads_on_is_not_disturbed_by_one_who_leaves(gateway: Serving, emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(text="one two three four five six", gates={4: gate}))
    url = f"{gateway.url}/v1/chat/completions"
    cache = gateway.service.cache
    assert cache is not None
    with httpx2.stream("POST", url, json=STREAMED) as staying, httpx2.Client(timeout=LONG_S) as other:
        pieces = staying.iter_text()
        first = next(pieces)
        with other.stream("POST", url, json=STREAMED) as leaving:
            assert leaving.headers["x-ostinato-cache"] == "shared"
            next(leaving.iter_raw())
        gate.set()
        text = first + "".join(pieces)

    assert "six" in text
    assert text.endswith("data: [DONE]\n\n")
    assert len(emulator.calls) == 1


def test_a_client_that_takes_nothing_is_hung_up_on(emulator: Emulator) -> None:
    with Serving(config_for(emulator, "limits: {write_timeout_s: 0.2}")) as serving:
        emulator.script(Reply(text="word " * 150_000))
        body = json.dumps(STREAMED).encode()
        with socket.create_connection(("127.0.0.1", serving.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
            client.sendall(head.encode() + b"content-type: application/json\r\n\r\n" + body)
            until(lambda: emulator.calls)
            (call,) = emulator.calls

            assert call.disconnected.wait(LONG_S)


def test_a_stream_that_is_closed_unread_frees_its_upstream_call(emulator: Emulator) -> None:
    emulator.script(Reply(text="one two three", stall_after_events=2))
    service = Service(read(config_for(emulator)))
    alias = service.config.models.find("gpt")

    async def ask_and_leave() -> bool:
        told = await service.relay.answer(
            Ask(find_dialect("openai_chat"), STREAMED, alias), service.router.plan(alias, None)
        )
        assert told.events is not None
        await told.events.aclose()
        (call,) = emulator.calls
        return await asyncio.to_thread(call.disconnected.wait, LONG_S)

    assert asyncio.run(ask_and_leave())


async def read_streams(url: str, count: int) -> list[str]:
    """Read so many different streams at once, each to its end."""
    started = asyncio.Semaphore(200)

    async def read(number: int) -> str:
        asked = {**STREAMED, "messages": [{"role": "user", "content": f"hello {number}"}]}
        async with started:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        body = json.dumps(asked).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\nconnection: close\r\n\r\n" + body)
        text = (await reader.read(-1)).decode()
        writer.close()
        return text

    return await asyncio.gather(*map(read, range(count)))


def check_many(count: int, emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(text="one two three four five six", gates={3: gate}), times=None)
    with Serving(config_for(emulator)) as serving:
        cache = serving.service.cache
        assert cache is not None

        def open_the_gate() -> None:
            until(lambda: len(cache.flights) == count)
            gate.set()

        opener = threading.Thread(target=open_the_gate)
        opener.start()
        texts = asyncio.run(read_streams(serving.url, count))
        opener.join()
        in_flight = len(cache.flights)

    assert len(texts) == count
    assert all(" 200 " in text and "[DONE]" in text and "six" in text for text in texts)
    assert in_flight == 0
    assert len(emulator.calls) == count


def test_a_hundred_clients_stream_at_once(emulator: Emulator) -> None:
    check_many(100, emulator)


@pytest.mark.soak
def test_a_thousand_clients_stream_at_once(emulator: Emulator) -> None:
    check_many(1000, emulator)
