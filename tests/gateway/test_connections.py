"""Whole answers on one connection: each in one write, in their order, with the connection kept or closed as asked."""

from __future__ import annotations

import gc
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from ostinato.caching.flight import Flight
from ostinato.caching.flow import Ride
from ostinato.client.ask import Told
from ostinato.client.passage import Passage
from ostinato.gateway.exchange import Exchange
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import until
from tests.gateway.serving import CACHE, Serving, config_for
from tests.stores.redis_server import RedisServer, binaries

OF_A_REQUEST = (Exchange, Passage, Ride, Flight, Told)
ASK = "GET /health/liveness HTTP/{version}\r\nhost: localhost\r\n{more}\r\n"


def said(gateway: Serving, *asks: str) -> str:
    """Return all that comes after these requests, sent together, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        client.sendall("".join(asks).encode())
        with client.makefile("rb") as answers:
            return answers.read().decode()


def test_requests_that_come_together_are_answered_in_their_order(gateway: Serving) -> None:
    body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "hello"}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    asked = f"{head}content-type: application/json\r\n\r\n{body}"
    alive = ASK.format(version="1.1", more="")
    told = said(gateway, asked, alive, asked, ASK.format(version="1.1", more="connection: close\r\n"))

    answers = told.split("HTTP/1.1 200 OK\r\n")[1:]

    assert ["chat.completion" in answer for answer in answers] == [True, False, True, False]
    assert "x-ostinato-cache: miss" in answers[0]
    assert "x-ostinato-cache: hit" in answers[2]
    assert ["connection: close" in answer for answer in answers] == [False, False, False, True]


@pytest.mark.parametrize(
    "ask", [ASK.format(version="1.0", more=""), ASK.format(version="1.1", more="connection: close\r\n")]
)
def test_a_connection_ends_with_its_answer_when_its_client_wants_that(gateway: Serving, ask: str) -> None:
    head, _, body = said(gateway, ask).partition("\r\n\r\n")

    assert "connection: close" in head.splitlines()
    assert f"content-length: {len(body)}" in head.splitlines()


def test_a_head_says_how_long_the_answer_would_be_and_ends(gateway: Serving, http: httpx2.Client) -> None:
    ask = ASK.format(version="1.1", more="connection: close\r\n").replace("GET", "HEAD")
    head, _, body = said(gateway, ask).partition("\r\n\r\n")

    assert body == ""
    assert f"content-length: {len(http.get('/health/liveness').content)}" in head.splitlines()


def test_a_models_name_cannot_add_a_header(emulator: Emulator) -> None:
    params = f"{{model: 'openai/*', api_base: '{emulator.base_url}', api_key: k}}"
    wild = f"  - {{model_name: 'any/*', litellm_params: {params}}}\n"
    with Serving(config_for(emulator, wild + CACHE)) as serving, httpx2.Client(base_url=serving.url) as http:
        asked = {"model": "any/x\r\nx-made-up: 1", "messages": [{"role": "user", "content": "hello"}]}
        answer = http.post("/v1/chat/completions", json=asked)

    assert answer.status_code == 200
    assert "x-made-up" not in answer.headers
    assert answer.headers["x-litellm-model-group"] == r"any/x\r\nx-made-up: 1"


def test_a_hit_that_waits_for_its_redis_keeps_nobody_else_waiting(emulator: Emulator) -> None:
    body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "hello"}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    asked = f"{head}content-type: application/json\r\n\r\n{body}".encode()
    with RedisServer(binaries()[0]) as redis:
        params = json.dumps({"type": "redis", **redis.settings, "timeout_ms": 20_000})
        cached = f"litellm_settings: {{cache: true, cache_params: {params}}}\n"
        with Serving(config_for(emulator, cached)) as serving, httpx2.Client(base_url=serving.url) as http:
            plain = {"content-type": "application/json"}
            seen = [http.post("/v1/chat/completions", content=body, headers=plain) for _ in range(3)]
            with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as client:
                redis.freeze()
                client.sendall(asked)
                alive = {http.get("/health/liveness").status_code for _ in range(3)}
                client.setblocking(False)
                with pytest.raises(BlockingIOError):
                    client.recv(1)
                redis.thaw()
                client.setblocking(True)
                answer = client.recv(4096)

    assert [each.headers["x-ostinato-cache"] for each in seen] == ["miss", "hit", "hit"]
    assert alive == {200}
    assert b"x-ostinato-cache: hit" in answer


@contextmanager
def uncollected() -> Iterator[set[str]]:
    """Give the kinds of objects of a request that only the garbage collector could free, known at the end."""
    kinds: set[str] = set()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield kinds
        gc.collect()
        kinds |= {type(each).__name__ for each in gc.garbage if isinstance(each, OF_A_REQUEST)}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_leaves_nothing_for_the_garbage_collector(http: httpx2.Client, stream: bool) -> None:
    def ask(words: str) -> str:
        asked = {"model": "gpt", "messages": [{"role": "user", "content": words}], "stream": stream}
        return str(http.post("/v1/chat/completions", json=asked).headers["x-ostinato-cache"])

    ask("first")
    with uncollected() as left:
        told = [ask("why"), ask("why"), ask("and then")]

    assert told == ["miss", "hit", "miss"]
    assert left == set()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", "{", 400),
        ("/v1/chat/completions", '{"model": "nobody"}', 404),
        ("/v1/nowhere", "{}", 404),
    ],
    ids=["no JSON", "no model", "no path"],
)
def test_neither_does_one_that_is_refused(path: str, body: str, status: int, http: httpx2.Client) -> None:
    headers = {"content-type": "application/json"}
    with uncollected() as left:
        told = {http.post(path, content=body, headers=headers).status_code for _ in range(3)}

    assert told == {status}
    assert left == set()


def test_nor_does_one_whose_client_leaves(gateway: Serving, emulator: Emulator) -> None:
    emulator.script(Reply(text="one two three", stall_after_events=0), times=None)
    body = json.dumps({"model": "gpt", "messages": [{"role": "user", "content": "hello"}], "stream": True})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    with uncollected() as left:
        for number in range(1, 4):
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
                client.sendall(f"{head}content-type: application/json\r\n\r\n{body}".encode())
                until(lambda number=number: len(emulator.calls) == number)  # type: ignore[misc]
            assert emulator.calls[-1].disconnected.wait(30)

    assert left == set()
