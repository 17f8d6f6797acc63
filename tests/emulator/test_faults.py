"""Delays, gates, cuts and stalls, seen from the client's side of the socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import LONG_S

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def request_bytes(**more: Any) -> bytes:
    body = json.dumps({**BODY, **more}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@contextmanager
def asked(emulator: Emulator, **more: Any) -> Iterator[socket.socket]:
    """Yield a socket over which one request has gone out."""
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=LONG_S) as sock:
        sock.sendall(request_bytes(**more))
        yield sock


def everything(sock: socket.socket) -> bytes:
    """Return what comes until the server hangs up."""
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def until(sock: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received:
        data = sock.recv(65536)
        assert data, received
        received += data
    return received


def test_a_gate_holds_the_head_back(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    with asked(emulator) as sock:
        (call,) = emulator.wait_for_calls(1, LONG_S)
        assert (emulator.in_flight, call.outcome.status, call.finished.is_set()) == (1, None, False)
        gate.set()
        until(sock, b"\r\n\r\n")

    assert call.finished.wait(LONG_S)


def test_a_gate_holds_one_event_back_and_lets_those_before_it_out(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(pieces=("one", "two"), gates={2: gate}))
    with asked(emulator, stream=True) as sock:
        before = until(sock, b'"one"')
        assert emulator.calls[0].outcome.events_sent == 2
        gate.set()
        after = until(sock, b"0\r\n\r\n")

    assert b'"two"' not in before
    assert b'"two"' in after


@pytest.mark.parametrize(
    ("reply", "there", "events"),
    [
        (Reply(delay_s=3600), b"", 0),
        (Reply(first_byte_delay_s=3600), b"\r\n\r\n", 0),
        (Reply(chunk_delay_s=3600), b'"role"', 1),
    ],
    ids=["head", "first event", "further events"],
)
def test_a_delay_holds_back_what_comes_after_it(emulator: Emulator, reply: Reply, there: bytes, events: int) -> None:
    emulator.script(reply)
    with asked(emulator, stream=True) as sock:
        (call,) = emulator.wait_for_calls(1, LONG_S)
        until(sock, there)
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.recv(1)

        assert (call.outcome.events_sent, call.outcome.status) == (events, 200 if there else None)


def test_a_delayed_answer_comes(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(pieces=("a",), delay_s=0.001, first_byte_delay_s=0.001, chunk_delay_s=0.001))
    response = http.post(f"{emulator.base_url}/chat/completions", json={**BODY, "stream": True})

    assert response.text.endswith("data: [DONE]\n\n")


def test_the_connection_can_be_closed_before_any_answer(emulator: Emulator) -> None:
    emulator.script(Reply(close_before_headers=True))
    with asked(emulator) as sock:
        assert everything(sock) == b""

    assert not emulator.paid_calls


@pytest.mark.parametrize("events", [0, 1, 3])
def test_a_stream_can_be_cut_after_so_many_events(emulator: Emulator, events: int) -> None:
    emulator.script(Reply(cut_after_events=events))
    with asked(emulator, stream=True) as sock:
        received = everything(sock)

    assert received.count(b"data: ") == events
    assert not received.endswith(b"0\r\n\r\n")


def test_a_stream_cut_after_its_last_event_lacks_its_end(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(raw_events=("data: 1\n\n",), cut_after_events=1))

    with pytest.raises(httpx2.RemoteProtocolError):
        http.post(f"{emulator.base_url}/chat/completions", json=BODY)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_body_can_be_cut_after_so_many_bytes(emulator: Emulator, size: int) -> None:
    emulator.script(Reply(cut_after_bytes=size))
    with asked(emulator) as sock:
        head, _, body = everything(sock).partition(b"\r\n\r\n")

    assert len(body) == size
    assert b"content-length: " in head


def test_a_stream_can_be_cut_inside_an_event(emulator: Emulator) -> None:
    emulator.script(Reply(raw_events=("data: 1\n\n", "data: 2\n\n"), cut_after_bytes=13))
    with asked(emulator, stream=True) as sock:
        received = everything(sock)

    assert received.endswith(b"9\r\ndata: 1\n\n\r\n4\r\ndata\r\n")


def test_a_cut_at_the_end_of_a_body_still_closes_the_connection(emulator: Emulator) -> None:
    emulator.script(Reply(raw_body="whole", cut_after_bytes=5))
    with asked(emulator) as sock:
        assert everything(sock).endswith(b"\r\n\r\nwhole")


def test_a_stalled_stream_stays_open_and_says_nothing(emulator: Emulator) -> None:
    emulator.script(Reply(stall_after_events=1))
    with asked(emulator, stream=True) as sock:
        until(sock, b'"role"')
        sock.settimeout(0.02)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert emulator.in_flight == 1


def test_a_client_that_hangs_up_in_mid_stream_is_noticed(emulator: Emulator) -> None:
    emulator.script(Reply(stall_after_events=2))
    with asked(emulator, stream=True) as sock:
        until(sock, b'"role"')
    call = emulator.calls[0]

    assert call.disconnected.wait(LONG_S)
    assert call.finished.wait(LONG_S)
    emulator.wait_until_idle(LONG_S)


def test_a_client_that_hangs_up_before_the_head_is_noticed(emulator: Emulator) -> None:
    emulator.script(Reply(gate=threading.Event()))
    with asked(emulator):
        (call,) = emulator.wait_for_calls(1, LONG_S)

    assert call.disconnected.wait(LONG_S)


def test_a_client_that_has_its_answer_has_not_hung_up(emulator: Emulator) -> None:
    with asked(emulator) as sock:
        until(sock, b"\r\n\r\n")
    call = emulator.calls[0]

    assert call.finished.wait(LONG_S)
    assert not call.disconnected.is_set()


def test_a_cut_is_not_the_client_s_doing(emulator: Emulator) -> None:
    emulator.script(Reply(cut_after_events=1))
    with asked(emulator, stream=True) as sock:
        everything(sock)
    call = emulator.calls[0]

    assert call.finished.wait(LONG_S)
    assert not call.disconnected.is_set()


def test_raw_bytes_go_out_as_they_are(http: httpx2.Client, emulator: Emulator) -> None:
    billed = {"prompt_tokens": 5}
    emulator.script(Reply(raw_body=b"\xff\x00", status=206, headers={"content-type": "x/y"}, usage=billed))
    response = http.post(f"{emulator.base_url}/chat/completions", json=BODY)

    assert (response.status_code, response.content, response.headers["content-type"]) == (206, b"\xff\x00", "x/y")
    assert emulator.paid_calls[0].outcome.usage == billed


def test_raw_events_are_sent_as_they_are_and_objects_are_framed(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(raw_events=(b": hello\r\n\r\n", "data: x\n\n", {"a": 1})))
    response = http.post(f"{emulator.base_url}/chat/completions", json=BODY)

    assert response.text == ': hello\r\n\r\ndata: x\n\ndata: {"a":1}\n\n'


def test_a_reply_is_used_as_often_as_it_says_and_in_order(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(text="a"), Reply(text="b"), times=2)
    emulator.script(Reply(text="z"), times=None)
    texts = [
        http.post(f"{emulator.base_url}/chat/completions", json=BODY).json()["choices"][0]["message"]["content"]
        for _ in range(6)
    ]

    assert "".join(texts) == "aabbzz"


def test_a_reply_can_be_for_some_calls_only(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=500), when=lambda call: call.body["model"] == "gpt-4")

    assert http.post(f"{emulator.base_url}/chat/completions", json=BODY).status_code == 200
    assert http.post(f"{emulator.base_url}/chat/completions", json={**BODY, "model": "gpt-4"}).status_code == 500
