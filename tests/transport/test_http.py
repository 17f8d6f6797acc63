"""Both shells against a server that answers byte by byte as the test says."""

from __future__ import annotations

import gc
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostinato.errors import APIConnectionError, APIResponseError, ConfigurationError, OstinatoError, Timeout
from ostinato.transport.exchange import Outgoing, Timeouts
from tests.transport.peer import CHUNKED, END, PATIENCE_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import Shell, Tasks, Threads

SECRET = "sk-planted-9f3a"


@pytest.fixture(params=[Threads, Tasks], ids=["threads", "tasks"])
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    shell: Shell = request.param()
    yield shell
    shell.close()


def ask(url: str, *, body: bytes = b"{}", stream: bool = False, read_s: float = PATIENCE_S, **headers: str) -> Outgoing:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Outgoing("POST", url, named, body, Timeouts(connect_s=PATIENCE_S, read_s=read_s), stream)


def once(*parts: bytes) -> Callable[[Connection], None]:
    """Answer the first request with `parts` and close."""

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(*parts)

    return script


def failure_of(act: Callable[[], object]) -> OstinatoError:
    with pytest.raises(OstinatoError) as caught:
        act()
    return caught.value


# What is sent and what comes back.


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


def test_a_proxy_of_the_environment_is_used(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(always(whole(b"by proxy"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        answered = shell.send(ask("http://model.invalid/v1?k=1", authorization=f"Bearer {SECRET}"))
        with Peer(always(whole(b"direct"))) as peer:
            direct = shell.send(ask(peer.url))
    (asked,) = proxy.asked

    assert (answered.body, direct.body) == (b"by proxy", b"direct")
    assert asked.line == "POST http://model.invalid/v1?k=1 HTTP/1.1"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"


# Connections.


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


# Streams.


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
    with Peer(always(CHUNKED + chunk(b"a") + chunk(b"b") + chunk(b"c") + END)) as peer:
        opened = shell.open(ask(peer.url, stream=True))

        assert (next(opened), opened.read(), opened.read()) == (b"a", b"bc", b"")


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


@pytest.mark.parametrize("everything", [False, True], ids=["the answer", "the transport"])
def test_closing_wakes_a_reader_who_waits(shell: Shell, everything: bool) -> None:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED)
        connection.ask()
        hung_up.set()

    with Peer(script) as peer:
        opened = shell.open(ask(peer.url, stream=True))
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


# Failures.


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
        slices = [next(opened), next(opened)]
        failure_of(lambda: next(opened))

        assert (slices, list(opened)) == ([b"a", b"b"], [])


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


# Secrets.


def told(error: BaseException) -> str:
    """Return everything that an error and its chain say."""
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return "\n".join([*(f"{link!r} {vars(link)!r}" for link in links), *traceback.format_exception(error)])


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


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx: y", "a\x00", "“key”", "\x7f"])
def test_a_header_that_http_cannot_carry_is_named(shell: Shell, value: str) -> None:
    error = failure_of(lambda: shell.send(ask("http://127.0.0.1:1/", authorization=value)))

    assert (type(error), error.retryable) == (ConfigurationError, False)
    assert "'authorization'" in str(error)


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", str(path), "-out", "-"]
    made = subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from ostinato.transport.pool import trust

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trust.cache_clear()
    yield
    trust.cache_clear()


def test_a_certificate_that_nobody_vouches_for_is_refused(shell: Shell, context: ssl.SSLContext) -> None:
    with Peer(always(whole(b"")), context) as peer:
        error = failure_of(lambda: shell.send(ask(peer.url, authorization=f"Bearer {SECRET}")))

    assert type(error) is APIConnectionError
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert peer.asked == []


@pytest.mark.usefixtures("trusting")
def test_closing_wakes_a_reader_over_tls(shell: Shell, context: ssl.SSLContext) -> None:
    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED, chunk(b"a"))
        connection.ask()

    with Peer(script, context) as peer:
        opened = shell.open(ask(peer.url, stream=True))
        first = next(opened)
        raised = shell.close_during_next(opened, everything=False)

    assert (first, type(raised)) == (b"a", APIConnectionError)
    assert "was closed while it was read" in str(raised)
