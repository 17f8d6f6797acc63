"""A server on loopback that gives every recorded answer again, byte for byte and in the recorded slices."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self

import msgspec

RECORD_HEADER = "x-record"
"""The request header that names the record to answer with."""

_OURS = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})


def recorded_bytes(response: dict[str, Any]) -> bytes:
    """Return the body of a recorded response as it went over the wire."""
    if "json" in response:
        return msgspec.json.encode(response["json"])
    if "eventstream_base64" in response:
        return base64.b64decode(response["eventstream_base64"])
    return str(response["sse_text"] if "sse_text" in response else response["text"]).encode()


def slices(response: dict[str, Any]) -> Iterator[bytes]:
    """Yield the body in the network reads that were recorded, or whole where none were."""
    body = recorded_bytes(response)
    for size in response.get("chunk_bytes") or ():
        yield body[:size]
        body = body[size:]
    if body:
        yield body


class _Connection(socketserver.StreamRequestHandler):
    """One kept-alive connection."""

    disable_nagle_algorithm = True
    wbufsize = 0
    server: Replay

    def handle(self) -> None:
        while self.rfile.readline().strip():
            headers = self._headers()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            name = headers.get(RECORD_HEADER, "")
            record = self.server.records.get(name)
            self.server.asked[name] = body
            self._answer(record["response"] if record else {"status": 404, "headers": {}, "text": "no such record"})

    def _headers(self) -> dict[str, str]:
        headers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _answer(self, response: dict[str, Any]) -> None:
        status = response["status"]
        reason = HTTPStatus(status).phrase if status in HTTPStatus else "Unknown"
        head = [f"HTTP/1.1 {status} {reason}"]
        head += [f"{name}: {value}" for name, value in response["headers"].items() if name.lower() not in _OURS]
        if "sse_text" in response or "eventstream_base64" in response:
            self.wfile.write("\r\n".join([*head, "transfer-encoding: chunked", "", ""]).encode("latin-1"))
            for piece in slices(response):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        body = recorded_bytes(response)
        self.wfile.write("\r\n".join([*head, f"content-length: {len(body)}", "", ""]).encode("latin-1") + body)


class Replay(socketserver.ThreadingTCPServer):
    """Answers each request with the record it names, until the `with` block ends."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, records: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.records = records
        self.asked: dict[str, bytes] = {}
        """The body of the last request for each record."""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()
