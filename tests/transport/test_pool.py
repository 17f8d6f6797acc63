"""By which way either shell goes, and whom it trusts."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostinato.errors import APIConnectionError, ConfigurationError
from tests.transport.asking import SECRET, ask, failure_of, told
from tests.transport.peer import CHUNKED, NEVER_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import Shell


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_used(
    shell: Shell, name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(always(whole(b"by proxy"))) as proxy:
        monkeypatch.setenv(name, f"{scheme}someone:word@{proxy.host}")
        answered = shell.send(ask("http://model.invalid/v1?k=1", authorization=f"Bearer {SECRET}"))
    (asked,) = proxy.asked

    assert answered.body == b"by proxy"
    assert asked.line == "POST http://model.invalid/v1?k=1 HTTP/1.1"
    assert asked.headers["host"] == "model.invalid"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["proxy-authorization"].startswith("Basic ")


def test_a_proxy_sees_nothing_of_a_request_over_tls(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with Peer(always(whole(b"", status="403 Forbidden"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        error = failure_of(lambda: shell.send(ask("https://model.invalid/v1", authorization=f"Bearer {SECRET}")))
    (asked,) = proxy.asked

    assert asked.line == "CONNECT model.invalid:443 HTTP/1.1"
    assert SECRET not in str(asked)
    assert str(error) == "the proxy did not connect to model.invalid: 403 Forbidden"


@pytest.mark.parametrize("exempt", ["127.0.0.1", "*", "other.invalid, 127.0.0.0/8", "0.0.1"])
def test_what_is_exempt_goes_without_the_proxy(shell: Shell, exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exempt)
    with Peer(always(whole(b"direct"))) as peer:
        assert shell.send(ask(peer.url)).body == b"direct"


@pytest.mark.parametrize("exempt", ["", "other.invalid", "10.0.0.0/8,128.0.0.0/8"])
def test_what_is_not_exempt_does_not_go_without(shell: Shell, exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", exempt)
    with Peer(always(whole(b"direct"))) as peer, Peer(always(whole(b"by proxy"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}")
        assert shell.send(ask(peer.url)).body == b"by proxy"


def test_an_unusable_proxy_is_named_without_its_password(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"ftp://someone:{SECRET}@127.0.0.1")
    error = failure_of(lambda: shell.send(ask("http://model.invalid/")))

    assert type(error) is ConfigurationError
    assert SECRET not in told(error)


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
        opened = shell.open(ask(peer.url, stream=True, read_s=NEVER_S))
        first = next(opened)
        raised = shell.close_during_next(opened, everything=False)

    assert (first, type(raised)) == (b"a", APIConnectionError)
    assert "was closed while it was read" in str(raised)
