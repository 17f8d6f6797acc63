"""A server that a test scripts byte by byte."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

PATIENCE_S = 20
"""After this a test that hangs fails instead."""
NEVER_S = 3600
"""A timeout that must not be what ends a wait."""


@dataclass
class Asked:
    """A request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """One connection, seen from the server."""

    peer: Peer
    sock: socket.socket
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when the server's end is closed."""
    _pending: bytes = b""

    def ask(self) -> Asked | None:
        """Return the next request, whole, or None when the client hung up."""
        while b"\r\n\r\n" not in self._pending:
            if not self._more():
                return None
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
        length = int(headers.get("content-length", 0))
        while len(self._pending) < length:
            if not self._more():
                return None
        body, self._pending = self._pending[:length], self._pending[length:]
        asked = Asked(line, headers, body)
        self.peer.asked.append(asked)
        return asked

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self._pending += data
        return bool(data)

    def say(self, *parts: bytes) -> None:
        with suppress(OSError):
            self.sock.sendall(b"".join(parts))

    def close(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.gone.set()


Script = Callable[[Connection], None]


class Peer:
    """A server on a free port. `script` runs once for each connection, in a thread; then the connection is closed."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None, backlog: int = 128) -> None:
        self.asked: list[Asked] = []
        self.connections: list[Connection] = []
        self.context = context
        self._script = script
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port: int = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if context else 'http'}://{self.host}/v1/chat/completions"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            connection = Connection(self, sock)
            self.connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            if self.context is not None:
                connection.sock = self.context.wrap_socket(connection.sock, server_side=True)
            self._script(connection)
        except OSError:
            pass
        finally:
            connection.close()


def whole(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Return an answer with a content-length."""
    return "".join(
        f"{text}\r\n" for text in (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields)
    ).encode() + (b"\r\n" + body)


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return one piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def always(answer: bytes) -> Script:
    """Give the same answer to every request, on a connection that stays open."""

    def script(connection: Connection) -> None:
        while connection.ask() is not None:
            connection.say(answer)

    return script
