"""Both shells against a server that answers byte by byte as the test says."""

from __future__ import annotations

import gc
import gzip
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ostinato.errors import APIConnectionError
from tests.transport.asking import SECRET, ask, failure_of, once
from tests.transport.peer import CHUNKED, END, NEVER_S, PATIENCE_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import Shell, Threads


def test_an_answer_is_whole_with_lower_case_header_names(shell: Shell) -> None:
    with Peer(always(whole(b'{"a":1}', "X-Request-ID: r1", "Vary: a", "vary: b", status="429 Slow"))) as peer:
        answered = shell.send(ask(peer.url))

    assert (answered.status, answered.body) == (429, b'{"a":1}')
    assert answered.headers == {"content-length": "7", "x-request-id": "r1", "vary": "a, b"}


def test_a_request_goes_out_as_it_is_with_few_headers_of_ours(shell: Shell) -> None:
    with Peer(always(whole(b""))) as peer:
        shell.send(ask(peer.url + "/a%3Ab?v=1%2F2", body=b'{"x":"\xc3\xa9"}', authorization=f"Bearer {SECRET}"))
        shell.send(ask(peer.url, stream=True))
    sent, streamed = peer.asked

    agent = sent.headers.pop("user-agent")
    assert agent.split("/")[0] == "ostinato"
    assert sent.line == "POST /v1/chat/completions/a%3Ab?v=1%2F2 HTTP/1.1"
    assert sent.body == b'{"x":"\xc3\xa9"}'
    assert sent.headers == {
        "host": peer.host,
        "accept-encoding": "gzip",
        "authorization": f"Bearer {SECRET}",
        "content-length": "10",
    }
    assert streamed.headers["accept-encoding"] == "identity"


def test_a_callers_header_wins_except_where_it_would_break_the_framing(shell: Shell) -> None:
    with Peer(always(whole(b""))) as peer:
        shell.send(
            ask(
                peer.url,
                User_Agent="mine/1",
                Host="else.where",
                Content_Length="9",
                Transfer_Encoding="chunked",
                Accept_Encoding="br",
            )
        )
    (sent,) = peer.asked

    assert (sent.headers["user-agent"], sent.headers["host"]) == ("mine/1", "else.where")
    assert (sent.headers["content-length"], "transfer-encoding" in sent.headers) == ("2", False)
    assert sent.headers["accept-encoding"] == "gzip"


def test_a_header_beyond_ascii_goes_out_as_latin_1_and_a_long_body_whole(shell: Shell) -> None:
    body = bytes(range(256)) * 8192
    with Peer(always(whole(b""))) as peer:
        shell.send(ask(peer.url, x_name="Zoë"))
        shell.send(ask(peer.url, body=body))
    named, long = peer.asked

    assert (named.headers["x-name"], long.body == body, "content-type" in long.headers) == ("Zoë", True, False)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes), ("GZIP", gzip.compress)],
)
def test_an_encoded_body_is_decoded(shell: Shell, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with Peer(always(whole(pack(b"body" * 999), f"content-encoding: {encoding}"))) as peer:
        assert shell.send(ask(peer.url)).body == b"body" * 999
        assert shell.send(ask(peer.url)).body == b"body" * 999

    assert len(peer.connections) == 1


def test_a_redirect_is_an_answer_like_any_other(shell: Shell) -> None:
    with (
        Peer(always(whole(b""))) as other,
        Peer(always(whole(b"", f"location: {other.url}", status="307 Moved"))) as peer,
    ):
        answered = shell.send(ask(peer.url, authorization=f"Bearer {SECRET}"))

    assert (answered.status, answered.headers["location"]) == (307, other.url)
    assert other.asked == []


@pytest.mark.parametrize("proxied", [False, True])
def test_no_cookie_is_kept(shell: Shell, proxied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(always(whole(b"", "set-cookie: id=1; Path=/"))) as peer:
        if proxied:
            monkeypatch.setenv("http_proxy", f"http://{peer.host}")
        shell.send(ask(peer.url))
        shell.send(ask(peer.url))

    assert ["cookie" in asked.headers for asked in peer.asked] == [False, False]


def test_a_netrc_file_changes_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with Peer(always(whole(b""))) as peer:
        shell.send(ask(peer.url, authorization=f"Bearer {SECRET}"))
        shell.send(ask(peer.url))

    assert [asked.headers.get("authorization") for asked in peer.asked] == [f"Bearer {SECRET}", None]


def test_a_connection_is_used_again(shell: Shell) -> None:
    with Peer(always(CHUNKED + chunk(b"a") + END)) as peer:
        shell.send(ask(peer.url))
        assert list(shell.open(ask(peer.url, stream=True))) == [b"a"]
        shell.open(ask(peer.url)).read()

    assert (len(peer.connections), len(peer.asked)) == (1, 3)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(shell: Shell) -> None:
    with Peer(once(whole(b"ok"))) as peer:
        for _ in range(3):
            assert shell.send(ask(peer.url)).body == b"ok"
            peer.connections[-1].gone.wait(PATIENCE_S)

    assert len(peer.connections) == 3


def test_a_connection_closed_on_the_second_request_is_a_retryable_failure(shell: Shell) -> None:
    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(whole(b"ok"))
        connection.ask()

    with Peer(script) as peer:
        shell.send(ask(peer.url))
        error = failure_of(lambda: shell.send(ask(peer.url)))
        again = shell.send(ask(peer.url))

    assert (type(error), error.retryable, again.body) == (APIConnectionError, True, b"ok")


def test_threads_share_a_transport() -> None:
    gate = threading.Barrier(8)
    bodies: list[bytes] = []

    def script(connection: Connection) -> None:
        while (asked := connection.ask()) is not None:
            gate.wait(PATIENCE_S)
            connection.say(whole(asked.body))

    shell = Threads()
    with Peer(script) as peer:

        def work(number: int) -> None:
            bodies.extend(shell.send(ask(peer.url, body=b"%d.%d" % (number, step))).body for step in range(3))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        shell.close()

    assert sorted(bodies) == sorted(b"%d.%d" % (number, step) for number in range(8) for step in range(3))
    assert len(peer.connections) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table of connections")
def test_a_silent_connection_is_probed(shell: Shell) -> None:
    with Peer(always(CHUNKED)) as peer:
        opened = shell.open(ask(peer.url))
        port = peer.connections[0].sock.getpeername()[1]
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        timers = [row[5] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
        opened.close()

    assert [timer[:2] for timer in timers] == ["02"]  # the keepalive timer


def test_the_first_slice_arrives_while_the_second_is_held_back(shell: Shell) -> None:
    gate = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED, chunk(b"data: 1\n\n"))
        gate.wait(PATIENCE_S)
        connection.say(chunk(b"data: 2\n\n"), END)

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        first = next(opened)
        held = not gate.is_set()
        gate.set()
        rest = list(opened)

    assert (opened.status, first, held, rest) == (200, b"data: 1\n\n", True, [b"data: 2\n\n"])


def test_the_first_slice_of_a_compressed_stream_is_not_held_back(shell: Shell) -> None:
    gate = threading.Event()
    packer = zlib.compressobj(wbits=31)

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        connection.say(chunk(packer.compress(b"one") + packer.flush(zlib.Z_SYNC_FLUSH)))
        gate.wait(PATIENCE_S)
        connection.say(chunk(packer.compress(b"two") + packer.flush()), END)

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        first = next(opened)
        gate.set()
        rest = b"".join(opened)

    assert (first, rest) == (b"one", b"two")


def test_headers_arrive_before_the_body(shell: Shell) -> None:
    gate = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED)
        gate.wait(PATIENCE_S)
        connection.say(chunk(b"late"), END)

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        assert opened.headers["content-type"] == "text/event-stream"
        gate.set()
        assert opened.read() == b"late"


def test_read_returns_what_iteration_left(shell: Shell) -> None:
    gate = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED, chunk(b"a"))
        gate.wait(PATIENCE_S)
        connection.say(chunk(b"b"), chunk(b"c"), END)

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        first = next(opened)
        gate.set()

        assert (first, opened.read(), opened.read()) == (b"a", b"bc", b"")


def test_an_ended_stream_stays_ended_after_close(shell: Shell) -> None:
    with Peer(always(CHUNKED + chunk(b"a") + END)) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        slices = list(opened)
        opened.close()
        opened.close()

        assert (slices, list(opened)) == ([b"a"], [])


def test_closing_an_unread_answer_hangs_up_and_the_next_request_works(shell: Shell) -> None:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED, chunk(b"a"))
        if connection.ask() is None:
            hung_up.set()

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        opened.close()
        opened.close()
        error = failure_of(lambda: next(opened))
        noticed = hung_up.wait(PATIENCE_S)
        again = next(shell.open(ask(peer.url, stream=True)))

    assert (type(error), error.retryable, noticed, again) == (APIConnectionError, False, True, b"a")


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "closed"])
def test_an_answer_that_was_not_read_takes_no_place_in_the_pool(
    shell: Shell, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.transport.pool.MAX_CONNECTIONS", 3)
    closed = []
    with Peer(always(CHUNKED + chunk(b"a"))) as peer:
        for _ in range(4):
            opened = shell.open(ask(peer.url, read_s=PATIENCE_S / 2))
            if kept:
                opened.close()
                closed.append(opened)
            del opened

    assert len(peer.asked) == 4


@pytest.mark.parametrize("everything", [False, True], ids=["the answer", "the transport"])
def test_closing_wakes_a_reader_who_waits(shell: Shell, everything: bool) -> None:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED)
        connection.ask()
        hung_up.set()

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True, read_s=NEVER_S))
        raised = shell.close_during_next(opened, everything=everything)
        noticed = hung_up.wait(PATIENCE_S)
        hung_up.clear()
        shell.open(ask(peer.url, stream=True)).close()

    assert type(raised) is APIConnectionError
    assert "was closed while it was read" in str(raised)
    assert noticed


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("in_a_cycle", [False, True])
def test_an_answer_that_is_dropped_hangs_up(shell: Shell, read_first: bool, in_a_cycle: bool) -> None:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED, chunk(b"a"))
        connection.ask()
        hung_up.set()

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        if read_first:
            next(opened)
        if in_a_cycle:
            cycle: list[object] = [opened]
            cycle.append(cycle)
            del cycle
        del opened
        gc.collect()
        noticed = hung_up.wait(PATIENCE_S)
        hung_up.clear()
        last = shell.open(ask(peer.url, stream=True))
        slices = next(last)
        last.close()

    assert (noticed, slices) == (True, b"a")
