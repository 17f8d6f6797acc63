"""What whole processes see: imports, forks, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from tests.transport.peer import CHUNKED, END, PATIENCE_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import ENVIRONMENT

PRELUDE = """
    import asyncio, os, signal, sys
    from ostinato.transport.async_aiohttp import AiohttpTransport
    from ostinato.transport.async_http import AsyncTransport
    from ostinato.transport.exchange import Outgoing, Timeouts
    from ostinato.transport.http import Transport

    def ask(url):
        return Outgoing("POST", url, {}, str(os.getpid()).encode(), Timeouts(20, 20), True)

    url = sys.argv[1]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started to ignore it
"""


def start(source: str, *args: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(PRELUDE) + textwrap.dedent(source)
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program, *args], stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT
    )


def test_importing_the_transport_loads_no_network_library() -> None:
    source = "import sys\n" + "".join(
        f"import ostinato.transport.{name}\n"
        for name in ("http", "async_http", "async_aiohttp", "exchange", "retry", "pool", "request")
    )
    source += (
        "print(sorted({'aiohttp', 'asyncio', 'httpx2', 'httpcore2', 'anyio', 'ssl', 'socket'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True, env=ENVIRONMENT)

    assert ran.stdout == "[]\n"


def test_a_transport_over_aiohttp_without_it_says_what_to_install() -> None:
    process = start("sys.modules['aiohttp'] = None; AiohttpTransport()", "")
    _, errors = process.communicate(timeout=PATIENCE_S)

    assert "MissingDependencyError" in errors.splitlines()[-1]
    assert "pip install 'ostinato[gateway]'" in errors


WAITS = {
    "threads, headers": "Transport().send(ask(url))",
    "threads, body": "list(Transport().open(ask(url)))",
    "tasks, headers": "asyncio.run(AsyncTransport().send(ask(url)))",
    "aiohttp, headers": "asyncio.run(AiohttpTransport().send(ask(url)))",
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.parametrize("act", WAITS.values(), ids=WAITS.keys())
def test_ctrl_c_ends_a_process_that_waits_for_a_provider(act: str) -> None:
    waiting = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        if "open" in act:
            connection.say(CHUNKED, chunk(b"a"))
        waiting.set()
        connection.ask()

    with Peer(script) as peer:
        process = start(act, peer.url)
        waiting.wait(PATIENCE_S)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S / 2)

    assert errors.strip().splitlines()[-1] == "KeyboardInterrupt"


FORKS = """
    {make}
    pid = os.getpid()
    begun = opened(ask(url + "/held"))
    sent(ask(url))
    assert following(begun) == b"1", "the first slice"

    child = os.fork()
    if child == 0:
        try:
            assert sent(ask(url)).body == b"whole", "the child's own request"
            del begun
            os._exit(0)
        except BaseException as exc:
            print(repr(exc), file=sys.stderr, flush=True)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    sent(ask(url + "/release"))
    assert following(begun) == b"2", "the stream goes on after the child"
    assert sent(ask(url)).body == b"whole"
    print("ok")
"""
TASKS = """loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)
    def run(coroutine):
        if os.getpid() != pid:
            return asyncio.run(coroutine)
        return loop.run_until_complete(coroutine)
    pid = os.getpid()
    transport = {kind}()
    def opened(out): return run(transport.open(out))
    def sent(out): return run(transport.send(out))
    async def step(stream): return await anext(stream)
    def following(stream): return run(step(stream))
"""
MAKE = {
    "threads": "transport = Transport(); opened, sent, following = transport.open, transport.send, next",
    "tasks": TASKS.format(kind="AsyncTransport"),
    "aiohttp": TASKS.format(kind="AiohttpTransport"),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_a_forked_child_opens_its_own_connections_and_leaves_its_parents_alone(make: str) -> None:
    gate = threading.Event()
    users: dict[int, set[bytes]] = {}

    def script(connection: Connection) -> None:
        while (asked := connection.ask()) is not None:
            users.setdefault(id(connection), set()).add(asked.body)
            if "/held" in asked.line:
                connection.say(CHUNKED, chunk(b"1"))
                gate.wait(PATIENCE_S)
                connection.say(chunk(b"2"), END)
            else:
                connection.say(whole(b"whole"))
                if "/release" in asked.line:
                    gate.set()

    with Peer(script) as peer:
        process = start(FORKS.format(make=make), peer.url)
        output, errors = process.communicate(timeout=PATIENCE_S)

    assert (output, errors) == ("ok\n", "")
    assert [len(pids) for pids in users.values()] == [1] * 3


def test_a_process_that_closes_nothing_exits() -> None:
    with Peer(always(CHUNKED + chunk(b"a"))) as peer:
        process = start("opened = Transport().open(ask(url)); print(next(opened))", peer.url)
        output, errors = process.communicate(timeout=PATIENCE_S)

    assert (output, errors, process.returncode) == ("b'a'\n", "", 0)
