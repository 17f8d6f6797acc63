from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from ostinato.gateway.config import Limits, read
from ostinato.gateway.protocol import SLOWEST_BYTES_S, sweep
from ostinato.gateway.server import _server, listen
from tests.gateway.plain_app import PlainApp

CONFIG = "model_list:\n  - {model_name: gpt, params: {model: openai/gpt-4o}}\n"
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"

Scenario = Callable[[int, PlainApp, Any], Awaitable[Any]]


def serve(scenario: Scenario, **limits: Any) -> Any:
    """Run a scenario against a server in this process: it gets the port, the app and the server."""
    kept = Limits(**limits)
    listener = listen("127.0.0.1", 0)

    async def run() -> Any:
        ready = asyncio.Event()
        app = PlainApp(read(CONFIG, "c.yaml", {}))
        server = _server(app, kept, ready.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        sweeping = asyncio.create_task(sweep(server.server_state.connections, kept))
        await ready.wait()
        try:
            return await asyncio.wait_for(scenario(listener.getsockname()[1], app, server), 20)
        finally:
            server.should_exit = True
            app.gate.set()
            await serving
            sweeping.cancel()

    return asyncio.run(run())


async def said(port: int, *pieces: bytes) -> bytes:
    """Return all that the server says to these bytes, up to its closing."""
    async with client(port) as (reader, writer):
        with suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
    return b""


@asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_a_client_that_says_nothing_is_hung_up_on() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        return await said(port)

    assert serve(scenario, read_timeout_s=0.05) == b""


@pytest.mark.parametrize(
    "begun", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n1234"]
)
def test_a_client_that_stops_in_the_middle_of_a_request_is_told_so(begun: bytes) -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        return await said(port, begun)

    assert serve(scenario, read_timeout_s=0.05).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_keeps_coming_may_take_longer() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> list[bool]:
        async with client(port) as (_, writer):
            writer.write(b"POST / HTTP/1.1\r\ncontent-length: 99999\r\n\r\n" + bytes(5 * SLOWEST_BYTES_S))
            await app.arrived.wait()
            (connection,) = server.server_state.connections
            now = asyncio.get_running_loop().time()
            closing = []
            for seconds in (5.5, 7):
                connection.check(now + seconds)
                closing.append(connection.transport.is_closing())
            return closing

    assert serve(scenario, read_timeout_s=1) == [False, True]


@pytest.mark.parametrize(
    "end", [b"", b"\r\n\r\n", b"\r\ncontent-length: 4\r\n\r\nbody"], ids=["on their way", "whole", "with a body"]
)
def test_headers_beyond_the_limit_are_refused(end: bytes) -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        return await said(port, b"POST / HTTP/1.1\r\nx-much: " + b"a" * 5000 + end)

    assert serve(scenario, max_header_bytes=4096).startswith(b"HTTP/1.1 431 ")


def test_a_large_body_beside_small_headers_is_fine() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        head = b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 9000\r\n\r\n"
        return await said(port, head + bytes(9000))

    assert serve(scenario, max_header_bytes=4096).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_takes_nothing_of_its_answer_is_cut_off() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        async with client(port) as (reader, writer):
            writer.write(ASK.replace(b"/ ", b"/much "))
            await app.left.wait()
            with suppress(ConnectionError):
                return await reader.read()
            return b""

    assert len(serve(scenario, write_timeout_s=0.05)) < 100_000_000


def test_a_connection_without_a_request_is_closed_in_the_end_and_answers_until_then() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        return await said(port, ASK, ASK)

    assert serve(scenario, keep_alive_s=0.05).count(b"HTTP/1.1 200 ") == 2


def test_requests_that_come_together_are_all_answered() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        return await said(port, 3 * ASK)

    assert serve(scenario, keep_alive_s=0.05).count(b"HTTP/1.1 200 ") == 3


def test_a_connection_is_not_taken_for_idle_while_it_is_answered() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> list[bool]:
        async with client(port) as (reader, writer):
            asked = ASK.replace(b"/ ", b"/gate ")
            writer.write(asked + asked[:9])
            await reader.readuntil(b"begun in ")
            app.gate.set()
            await reader.readuntil(b"0\r\n\r\n")
            app.gate.clear()
            writer.write(asked[9:])
            await reader.readuntil(b"begun in ")
            (connection,) = server.server_state.connections
            closing = []
            for _ in range(2):
                connection.check(asyncio.get_running_loop().time() + 100)
                closing.append(connection.transport.is_closing())
                app.gate.set()
                if not closing[-1]:
                    await reader.readuntil(b"0\r\n\r\n")
            return closing

    assert serve(scenario, keep_alive_s=75) == [False, True]


def test_connections_beyond_the_limit_are_told_so() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        async with client(port), client(port):
            return await said(port, ASK)

    assert serve(scenario, max_connections=2).startswith(b"HTTP/1.1 503 ")


def test_it_finishes_what_it_answers_before_it_ends() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> bytes:
        async with client(port) as (reader, writer):
            writer.write(ASK.replace(b"/ ", b"/gate "))
            begun = await reader.readuntil(b"begun in ")
            server.handle_exit(signal.SIGTERM, None)
            app.gate.set()
            return begun + await reader.read()

    assert serve(scenario).endswith(b"0\r\n\r\n")


def test_what_takes_too_long_at_the_end_is_cut() -> None:
    async def scenario(port: int, app: PlainApp, server: Any) -> int:
        async with client(port) as (reader, writer):
            writer.write(ASK.replace(b"/ ", b"/gate "))
            await reader.readuntil(b"begun in ")
            server.handle_exit(signal.SIGTERM, None)
            await app.left.wait()
            return app.cut

    assert serve(scenario, shutdown_s=0.05) == 1
