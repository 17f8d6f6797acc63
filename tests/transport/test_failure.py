"""What a caller of either shell hears when something goes wrong, and what not."""

from __future__ import annotations

import gzip
import socket
import threading

import pytest

from ostinato.errors import APIConnectionError, APIResponseError, ConfigurationError, OstinatoError, Timeout
from ostinato.transport.exchange import Outgoing, Timeouts
from tests.transport.asking import SECRET, ask, failure_of, once, told
from tests.transport.peer import CHUNKED, END, PATIENCE_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import Shell


def test_a_refused_connection_names_the_host(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure_of(lambda: shell.send(ask(f"http://127.0.0.1:{port}/v1")))

    assert (type(error), error.retryable) == (APIConnectionError, True)
    assert str(error).startswith(f"cannot connect to 127.0.0.1:{port}: ")
    assert error.__cause__ is not None


def test_an_unknown_name_is_a_failed_connection(shell: Shell) -> None:
    error = failure_of(lambda: shell.send(ask("https://model.invalid/v1")))

    assert type(error) is APIConnectionError
    assert "model.invalid" in str(error)


def test_a_connection_that_does_not_come_about_is_a_timeout(shell: Shell) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # fill the backlog: the kernel leaves further connections unanswered
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        out = Outgoing("POST", url, {}, b"", Timeouts(connect_s=0.05, read_s=PATIENCE_S), stream=False)
        error = failure_of(lambda: shell.send(out))
        for sock in waiting:
            sock.close()

    assert (type(error), error.status_code, error.retryable) == (Timeout, 408, True)
    assert "within 0.05 s" in str(error)


@pytest.mark.parametrize("begun", [False, True], ids=["before the headers", "in the body"])
def test_silence_is_a_timeout(shell: Shell, begun: bool) -> None:
    def script(connection: Connection) -> None:
        connection.ask()
        if begun:
            connection.say(CHUNKED, chunk(b"a"))
        connection.ask()

    with Peer(script) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url, read_s=0.05)))

    assert type(error) is Timeout
    assert str(error) == f"{peer.host} sent nothing for 0.05 s"


def test_a_peer_that_takes_nothing_of_a_long_body_is_a_timeout(shell: Shell) -> None:
    end = threading.Event()

    def script(connection: Connection) -> None:
        end.wait(PATIENCE_S)

    with Peer(script) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url, body=bytes(2**25), read_s=0.3)))
        end.set()

    assert type(error) is Timeout
    assert str(error) == f"{peer.host} took no byte of the request for 0.3 s"


def test_a_slow_drip_is_no_silence(shell: Shell) -> None:
    turns = [threading.Event() for _ in range(5)]

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED)
        for turn in turns:
            turn.wait(PATIENCE_S)
            connection.say(chunk(b"."))
        connection.say(END)

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        slices = []
        for turn in turns:
            turn.set()
            slices.append(next(opened))

        assert (slices, list(opened)) == ([b"."] * 5, [])


CUTS = {
    "no answer": b"",
    "in the headers": b"HTTP/1.1 200 OK\r\ncontent-le",
    "in a counted body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234",
    "in a chunk": CHUNKED + b"9\r\n1234",
    "between chunks": CHUNKED + chunk(b"1234"),
    "in the last chunk": CHUNKED + chunk(b"1234") + b"0\r\n",
}


@pytest.mark.parametrize("answer", CUTS.values(), ids=CUTS.keys())
def test_an_answer_cut_short_is_a_failed_connection(shell: Shell, answer: bytes) -> None:
    with Peer(once(answer)) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url)))
        streamed = failure_of(lambda: list(shell.open(ask(peer.url, stream=True))))

    assert [type(error), type(streamed)] == [APIConnectionError, APIConnectionError]
    assert str(error) == f"{peer.host} closed the connection before the answer was whole"


def test_slices_before_a_cut_are_delivered(shell: Shell) -> None:
    with Peer(once(CHUNKED, chunk(b"a"), chunk(b"b"))) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        slices: list[bytes] = []
        failure_of(lambda: slices.extend(opened))

        assert (b"".join(slices), list(opened)) == (b"ab", [])


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", CHUNKED + b"zz\r\n", b"\x00" * 200_000]
)
def test_what_is_not_http_is_a_failed_connection_that_quotes_nothing(shell: Shell, answer: bytes) -> None:
    with Peer(once(answer)) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url)))

    assert type(error) is APIConnectionError
    assert str(error) == f"{peer.host} does not speak HTTP as ostinato understands it"


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"cut" * 99)[:-9]])
def test_a_body_that_does_not_decode_is_no_answer(shell: Shell, body: bytes) -> None:
    with Peer(always(whole(body, "content-encoding: gzip"))) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url)))

    assert type(error) is APIResponseError
    assert peer.host in str(error)


@pytest.mark.parametrize(("status", "mib"), [("200 OK", 64), ("500 Oops", 16)])
def test_a_body_beyond_the_limit_is_refused(shell: Shell, status: str, mib: int) -> None:
    bomb = gzip.compress(bytes(mib * 2**20 + 1))
    with Peer(always(whole(bomb, "content-encoding: gzip", status=status))) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url)))

    assert (type(error), error.retryable, error.status_code) == (APIResponseError, False, int(status[:3]))
    assert f"longer than {mib * 2**20} bytes" in str(error)


def test_a_limit_of_the_callers_holds_to_the_byte(shell: Shell) -> None:
    with Peer(always(whole(b"12345"))) as peer:
        assert shell.open(ask(peer.url)).read(limit=5) == b"12345"
        assert type(failure_of(lambda: shell.open(ask(peer.url)).read(limit=4))) is APIResponseError


def test_no_error_shows_a_key_a_prompt_or_a_query(shell: Shell) -> None:
    echo = once(SECRET.encode() + b"\r\n\r\n")

    def error_of(url: str, tail: str) -> OstinatoError:
        out = ask(url, body=SECRET.encode(), authorization=f"Bearer {SECRET}{tail}")
        return failure_of(lambda: shell.send(out))

    with Peer(echo) as peer, Peer(once()) as cut:
        errors = [
            error_of(url, tail)
            for url, tail in [
                (f"{peer.url}?key={SECRET}", ""),
                (f"{cut.url}?key={SECRET}", ""),
                (f"{cut.url}?key={SECRET}", "\n"),
                (f"http://127.0.0.1:1/?key={SECRET}", ""),
                (f"ftp://{SECRET}/", ""),
                (f"http://user:{SECRET}@127.0.0.1/", ""),
                (f"{SECRET}://x", ""),
                (f"http://127.0.0.1:{SECRET}/", ""),
                (f"/{SECRET}", ""),
            ]
        ]

    assert [SECRET in told(error) for error in errors] == [False] * len(errors)


@pytest.mark.parametrize(
    "url",
    ["", "/v1", "model.invalid", "ftp://host/", "http://", "http:///v1", "http://host:x/", "http://me:word@host/"],
)
def test_a_url_that_cannot_be_asked_is_a_configuration_error(shell: Shell, url: str) -> None:
    error = failure_of(lambda: shell.send(ask(url)))

    assert type(error) is ConfigurationError
    assert "base URL" in str(error)


@pytest.mark.parametrize("value", ["a\n", "a\nb", "a\r\nx: y", "a\x00", "“key”", "\x7f"])
def test_a_header_that_http_cannot_carry_is_named(shell: Shell, value: str) -> None:
    error = failure_of(lambda: shell.send(ask("http://127.0.0.1:1/", authorization=value)))

    assert (type(error), error.retryable) == (ConfigurationError, False)
    assert "'authorization'" in str(error)
