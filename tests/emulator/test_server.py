"""The emulator as a server: connections, records, life and death, and its own routes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import LONG_S

BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def post(http: httpx2.Client, emulator: Emulator, **more: Any) -> httpx2.Response:
    return http.post(f"{emulator.base_url}/chat/completions", json={**BODY, **more})


def admin(http: httpx2.Client, emulator: Emulator, route: str, body: Any) -> httpx2.Response:
    return http.post(f"{emulator.url}/_emulator/{route}", json=body)


def raw(emulator: Emulator, *pieces: bytes) -> bytes:
    """Return what comes back for bytes sent in pieces, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=LONG_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        received = b""
        while data := sock.recv(65536):
            received += data
    return received


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ostinato-emulator"]


# Records.


def test_every_request_is_recorded_as_it_came(http: httpx2.Client, emulator: Emulator) -> None:
    http.post(f"{emulator.base_url}/chat/completions?a=1", json=BODY, headers={"X-Mine": "Yes"})
    (call,) = emulator.calls

    assert (call.number, call.method, call.path, call.query) == (1, "POST", "/v1/chat/completions", "a=1")
    assert call.headers["x-mine"] == "Yes"
    assert call.body == json.loads(call.raw) == BODY
    assert call.paid


def test_only_answers_are_paid(http: httpx2.Client, emulator: Emulator) -> None:
    emulator.script(Reply(status=429))
    post(http, emulator)
    http.get(f"{emulator.base_url}/models")
    post(http, emulator)

    assert [call.number for call in emulator.calls] == [1, 2, 3]
    assert [call.number for call in emulator.paid_calls] == [3]


def test_waiting_for_calls_that_do_not_come_is_an_error(http: httpx2.Client, emulator: Emulator) -> None:
    post(http, emulator)

    assert len(emulator.wait_for_calls(1, LONG_S)) == 1
    with pytest.raises(TimeoutError, match="1 calls arrived"):
        emulator.wait_for_calls(2, timeout_s=0.01)


def test_reset_forgets_calls_scripts_and_prompts(http: httpx2.Client, emulator: Emulator) -> None:
    long = [{"role": "user", "content": "x" * 8000}]
    post(http, emulator, messages=long)
    emulator.script(Reply(status=500))
    emulator.reset()
    usage = post(http, emulator, messages=long).json()["usage"]

    assert [call.number for call in emulator.calls] == [1]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_dates_follow_the_clock_that_is_given(http: httpx2.Client) -> None:
    with Emulator(clock=lambda: 1000.0) as emulator:
        before = post(http, emulator).json()["created"]
        emulator.advance(60)
        after = post(http, emulator).json()["created"]

    assert (before, after) == (1000, 1060)
    assert [call.at for call in emulator.calls] == [1000.0, 1060.0]


# Connections.


def test_two_hundred_clients_are_answered_at_once(emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(gate=gate), times=None)
    with ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(raw, emulator, closing_request()) for _ in range(200)]
        emulator.wait_for_calls(200, LONG_S)
        held = emulator.in_flight
        gate.set()
        statuses = {answer.result()[:15] for answer in answers}

    assert held == emulator.peak_in_flight == 200
    assert statuses == {b"HTTP/1.1 200 OK"}
    assert sorted(call.number for call in emulator.calls) == list(range(1, 201))


def closing_request() -> bytes:
    body = json.dumps(BODY).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def test_a_connection_is_kept_and_used_again(emulator: Emulator) -> None:
    with httpx2.Client(timeout=LONG_S) as client:
        for _ in range(3):
            client.post(f"{emulator.base_url}/chat/completions", json={**BODY, "stream": True}).read()

        assert emulator.open_connections == 1


def test_requests_sent_ahead_are_answered_in_order(emulator: Emulator) -> None:
    first = closing_request().replace(b"connection: close\r\n", b"")

    received = raw(emulator, first + first + closing_request())

    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.index(b"Answer 1:") < received.index(b"Answer 2:") < received.index(b"Answer 3:")


def test_a_request_may_come_in_any_pieces(emulator: Emulator) -> None:
    request = closing_request()

    assert raw(emulator, *(request[at : at + 7] for at in range(0, len(request), 7))).startswith(b"HTTP/1.1 200")


def test_a_chunked_request_is_read(http: httpx2.Client, emulator: Emulator) -> None:
    def pieces() -> Any:
        yield json.dumps(BODY)[:10].encode()
        yield json.dumps(BODY)[10:].encode()

    assert http.post(f"{emulator.base_url}/chat/completions", content=pieces()).status_code == 200
    assert emulator.calls[0].body == BODY


def test_a_client_that_asks_first_is_told_to_continue(emulator: Emulator) -> None:
    head, body = closing_request().split(b"\r\n\r\n")

    received = raw(emulator, head + b"\r\nExpect: 100-continue\r\n\r\n", body)

    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_an_old_client_gets_its_connection_closed(emulator: Emulator) -> None:
    assert raw(emulator, b"GET /v1/models HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 70_000, b"431"),
    ],
)
def test_bytes_that_are_no_request_are_refused(emulator: Emulator, sent: bytes, status: bytes) -> None:
    assert raw(emulator, sent).split(b" ")[1] == status


def test_a_body_that_is_too_large_is_answered_413_and_the_connection_lives() -> None:
    with Emulator(max_body_bytes=1000) as emulator, httpx2.Client(base_url=emulator.base_url) as client:
        large = client.post("/chat/completions", content=b"x" * 100_000)
        small = client.post("/chat/completions", json=BODY)

        assert (large.status_code, large.json()["error"]["type"]) == (413, "invalid_request_error")
        assert small.status_code == 200
        assert emulator.open_connections == 1


def test_a_request_behind_one_that_is_too_large_is_answered() -> None:
    with Emulator(max_body_bytes=500) as emulator:
        large = b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 600\r\n\r\n" + b"x" * 600

        received = raw(emulator, large + closing_request())

    assert (received.count(b"HTTP/1.1 413"), received.count(b"HTTP/1.1 200")) == (1, 1)


def test_a_large_prompt_and_a_large_answer_pass(http: httpx2.Client, emulator: Emulator) -> None:
    text = "word " * 400_000
    emulator.script(Reply(text=text))
    answer = post(http, emulator, messages=[{"role": "user", "content": text}]).json()

    assert answer["choices"][0]["message"]["content"] == text
    assert answer["usage"]["prompt_tokens"] == 500_006


# Life and death.


def test_stop_ends_every_wait_and_leaves_no_thread() -> None:
    emulator = Emulator().start()
    emulator.script(Reply(gate=threading.Event()), Reply(delay_s=3600), Reply(stall_after_events=1))
    sockets = [socket.create_connection(("127.0.0.1", emulator.port), timeout=LONG_S) for _ in range(4)]
    for sock in sockets[1:]:
        sock.sendall(closing_request())
    calls = emulator.wait_for_calls(3, LONG_S)
    emulator.stop()
    for sock in sockets:
        while sock.recv(65536):
            pass
        sock.close()

    assert threads() == []
    assert all(call.finished.is_set() and not call.disconnected.is_set() for call in calls)


def test_stop_twice_is_stop_once_and_a_stopped_emulator_starts_again(http: httpx2.Client) -> None:
    emulator = Emulator()
    for _ in range(2):
        with emulator:
            assert post(http, emulator).status_code == 200
        emulator.stop()

    assert threads() == []


def test_a_stopped_emulator_refuses_connections() -> None:
    with Emulator() as emulator:
        port = emulator.port

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=LONG_S)


def test_an_emulator_that_does_not_run_has_no_address() -> None:
    with pytest.raises(ConfigurationError, match="does not run"):
        Emulator().base_url  # noqa: B018


def test_a_running_emulator_is_not_started_again(emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="running already"):
        emulator.start()


def test_a_port_in_use_is_an_error_and_leaves_no_thread(emulator: Emulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Emulator(port=emulator.port).start()

    assert len(threads()) == 1


def test_serve_runs_until_it_is_interrupted(http: httpx2.Client) -> None:
    code = (
        "from ostinato.testing.emulator import serve\n"
        "serve(ready=lambda emulator: print(emulator.base_url, flush=True))\n"
        "print('over')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        assert http.post(f"{base_url}/chat/completions", json=BODY).status_code == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LONG_S)

    assert (rest, process.returncode) == ("over\n", 0)


# Its own routes.


def test_replies_can_be_scripted_from_another_process(http: httpx2.Client, emulator: Emulator) -> None:
    answer = admin(http, emulator, "script", {"replies": [{"text": "a"}, {"tool_calls": []}], "times": 1})
    texts = [post(http, emulator).json()["choices"][0]["message"]["content"] for _ in range(2)]

    assert answer.json() == {"scripted": 2}
    assert texts[0] == "a"
    assert texts[1].startswith("Answer 2")


def test_a_scripted_reply_can_be_for_one_path(http: httpx2.Client, emulator: Emulator) -> None:
    admin(http, emulator, "script", {"reply": {"status": 500}, "path": "/v1/models", "times": None})

    assert post(http, emulator).status_code == 200
    assert http.get(f"{emulator.base_url}/models").status_code == 500


def test_calls_can_be_read_from_another_process_without_the_keys(http: httpx2.Client, emulator: Emulator) -> None:
    http.get(f"{emulator.base_url}/models", headers={"authorization": "Bearer sk-a-planted-secret-key"})
    listed = http.get(f"{emulator.url}/_emulator/calls")
    (call,) = listed.json()["calls"]

    assert (call["path"], call["status"], call["usage"]) == ("/v1/models", 200, None)
    assert "planted" not in listed.text
    assert emulator.calls[0].headers["authorization"].endswith("planted-secret-key")


def test_the_clock_and_a_reset_can_be_asked_for_from_another_process(http: httpx2.Client) -> None:
    with Emulator(clock=lambda: 5.0) as emulator:
        post(http, emulator)
        now = admin(http, emulator, "clock", {"advance_s": 2.5}).json()
        admin(http, emulator, "reset", {})

        assert now == {"now": 7.5}
        assert emulator.calls == ()


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("script", {"reply": {"txt": "a"}}, 400),
        ("script", {"reply": {"gate": True}}, 400),
        ("script", {"reply": {"delay_s": "soon"}}, 400),
        ("script", {"reply": {"status": True}}, 400),
        ("script", {"reply": {}, "times": 0}, 400),
        ("script", {"repley": {}}, 400),
        ("clock", {"advance_s": "soon"}, 400),
        ("clock", [], 400),
        ("nowhere", {}, 404),
    ],
)
def test_a_wrong_request_to_the_emulator_itself_says_what_is_wrong(
    http: httpx2.Client, emulator: Emulator, route: str, body: Any, status: int
) -> None:
    answer = admin(http, emulator, route, body)

    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize("times", [0, -1])
def test_a_script_for_no_call_is_an_error(emulator: Emulator, times: int) -> None:
    with pytest.raises(ConfigurationError, match="times"):
        emulator.script(Reply(), times=times)


def test_a_condition_that_raises_is_a_500_that_says_so(http: httpx2.Client, emulator: Emulator) -> None:
    def broken(call: object) -> bool:
        raise KeyError("model")

    condition: Callable[[Any], bool] = broken
    emulator.script(Reply(), when=condition)
    answer = post(http, emulator)

    assert answer.status_code == 500
    assert "KeyError" in answer.json()["error"]["message"]
