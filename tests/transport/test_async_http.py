"""What only the event loop's shell can get wrong: loops, and tasks that are cancelled."""

from __future__ import annotations

import asyncio
import gc
import inspect
import subprocess
import sys
import textwrap
import threading

import pytest

from ostinato.transport.async_aiohttp import AiohttpTransport
from ostinato.transport.async_http import AsyncTransport
from ostinato.transport.async_opened import AsyncOpened
from ostinato.transport.exchange import Outgoing, Timeouts
from ostinato.transport.http import Opened, Transport
from tests.transport.peer import CHUNKED, END, PATIENCE_S, Connection, Peer, always, chunk, whole
from tests.transport.shells import ENVIRONMENT


@pytest.fixture(params=[AsyncTransport, AiohttpTransport])
def transport(request: pytest.FixtureRequest) -> AsyncTransport:
    made: AsyncTransport = request.param()
    return made


def ask(url: str, body: bytes = b"{}") -> Outgoing:
    return Outgoing("POST", url, {}, body, Timeouts(PATIENCE_S, PATIENCE_S), stream=True)


def silent_after(*parts: bytes) -> tuple[threading.Event, object]:
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(*parts)
        if connection.ask() is None:
            hung_up.set()

    return hung_up, script


@pytest.mark.parametrize("parts", [(), (CHUNKED,)], ids=["before the headers", "in the body"])
def test_a_cancelled_task_hangs_up(parts: tuple[bytes, ...], transport: AsyncTransport) -> None:
    arrived = threading.Event()
    hung_up = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(*parts)
        arrived.set()
        if connection.ask() is None:
            hung_up.set()

    async def main(url: str) -> bool:
        task = asyncio.create_task(transport.send(ask(url)))
        await asyncio.to_thread(arrived.wait, PATIENCE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(hung_up.wait, PATIENCE_S)

    with Peer(script) as peer:
        assert asyncio.run(main(peer.url))


def test_a_second_reader_is_refused_and_disturbs_nobody(transport: AsyncTransport) -> None:
    gate = threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(CHUNKED)
        gate.wait(PATIENCE_S)
        connection.say(chunk(b"a"), END)

    async def main(url: str) -> bytes:
        opened = await transport.open(ask(url))
        first = asyncio.ensure_future(anext(opened))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await anext(opened)
        gate.set()
        return await first

    with Peer(script) as peer:
        assert asyncio.run(main(peer.url)) == b"a"


def test_a_connection_that_ended_while_the_loop_stood_still_is_not_used(transport: AsyncTransport) -> None:
    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(whole(b"ok"))

    async def main(url: str) -> list[bytes]:
        bodies = []
        for _ in range(3):
            bodies.append((await transport.send(ask(url))).body)
            peer.connections[-1].gone.wait(PATIENCE_S)  # blocks: the loop cannot notice
        return bodies

    with Peer(script) as peer:
        assert asyncio.run(main(peer.url)) == [b"ok"] * 3


def test_many_tasks_share_a_loop(transport: AsyncTransport) -> None:
    def script(connection: Connection) -> None:
        while (asked := connection.ask()) is not None:
            connection.say(whole(asked.body))

    async def main(url: str) -> list[bytes]:
        answers = await asyncio.gather(*(transport.send(ask(url, b"%d" % number)) for number in range(40)))
        return [answered.body for answered in answers]

    with Peer(script) as peer:
        assert asyncio.run(main(peer.url)) == [b"%d" % number for number in range(40)]


def test_one_transport_serves_loops_side_by_side_in_threads(transport: AsyncTransport) -> None:
    together = threading.Barrier(2)
    bodies: list[bytes] = []

    def script(connection: Connection) -> None:
        while (asked := connection.ask()) is not None:
            together.wait(PATIENCE_S)
            connection.say(whole(asked.body))

    async def main(url: str, body: bytes) -> None:
        bodies.extend([(await transport.send(ask(url, body))).body for _ in range(3)])

    with Peer(script) as peer:
        threads = [threading.Thread(target=asyncio.run, args=(main(peer.url, body),)) for body in (b"1", b"2")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(bodies) == [b"1"] * 3 + [b"2"] * 3
    assert len(peer.connections) == 2


def test_a_pool_is_closed_with_its_loop(transport: AsyncTransport) -> None:
    hung_up, script = silent_after(whole(b"ok"))
    with Peer(script) as peer:  # type: ignore[arg-type]
        asyncio.run(transport.send(ask(peer.url)))
        asyncio.run(transport.send(ask(peer.url)))

        assert hung_up.wait(PATIENCE_S)

    assert len(peer.connections) == 2
    assert transport._pools == {}


def test_a_transport_that_was_closed_opens_again_and_still_closes_with_its_loop(transport: AsyncTransport) -> None:
    hung_up = [threading.Event(), threading.Event()]

    def script(connection: Connection) -> None:
        connection.ask()
        connection.say(whole(b"ok"))
        if connection.ask() is None:
            hung_up[len(peer.connections) - 1].set()

    async def main(url: str) -> bool:
        await transport.send(ask(url))
        await asyncio.gather(transport.aclose(), transport.aclose())
        first = await asyncio.to_thread(hung_up[0].wait, PATIENCE_S)
        await transport.send(ask(url))
        return first

    with Peer(script) as peer:
        assert asyncio.run(main(peer.url))
        assert hung_up[1].wait(PATIENCE_S)


def test_a_loop_that_was_closed_without_warning_is_forgotten(transport: AsyncTransport) -> None:
    loop = asyncio.new_event_loop()
    with Peer(always(whole(b"ok", "connection: close"))) as peer:
        loop.run_until_complete(transport.send(ask(peer.url)))
        loop.close()
        asyncio.run(transport.send(ask(peer.url)))

    assert transport._pools == {}


QUIET = """
    import asyncio, gc
    from ostinato.transport.async_aiohttp import AiohttpTransport
    from ostinato.transport.async_http import AsyncTransport
    from ostinato.transport.exchange import Outgoing, Timeouts

    out = Outgoing("POST", {url!r}, {{}}, b"", Timeouts(20, 20), True)
    transport = {transport}()

    async def main():
        await transport.send(out)
        read = await transport.open(out)
        await read.read()
        begun = await transport.open(out)
        await anext(begun)
        dropped = await transport.open(out)
        await anext(dropped)
        del dropped
        return begun

    kept = asyncio.run(main())
    asyncio.run(main())
    gc.collect()
    print("ok")
"""


@pytest.mark.parametrize("kind", ["AsyncTransport", "AiohttpTransport"])
def test_a_process_that_leaves_answers_open_ends_without_a_word(kind: str) -> None:
    with Peer(always(CHUNKED + chunk(b"a") + chunk(b"b") + END)) as peer:
        source = textwrap.dedent(QUIET).format(url=peer.url, transport=kind)
        command = [sys.executable, "-W", "always", "-c", source]
        ran = subprocess.run(command, capture_output=True, check=False, env=ENVIRONMENT)

    assert (ran.stdout, ran.stderr) == (b"ok\n", b"")


def test_an_answer_that_comes_for_nobody_is_not_left_to_the_garbage_collector() -> None:
    arrived, said = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        connection.ask()
        arrived.set()
        connection.say(CHUNKED)
        said.set()
        connection.ask()

    async def main(url: str) -> set[str]:
        transport = AiohttpTransport()
        task = asyncio.create_task(transport.open(ask(url)))
        await asyncio.to_thread(arrived.wait, PATIENCE_S)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        said.wait(PATIENCE_S)  # it keeps the loop waiting: the answer is read when the task is already cancelled
        task.cancel()
        await asyncio.wait([task])
        del task
        await transport.aclose()
        await asyncio.sleep(0)
        gc.collect()
        return {type(each).__name__ for each in gc.garbage}

    with Peer(script) as peer:
        try:
            left = asyncio.run(main(peer.url))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()

    assert "ResponseHandler" not in left


@pytest.mark.parametrize(("blocking", "waiting"), [(Transport, AsyncTransport), (Opened, AsyncOpened)])
def test_both_shells_have_the_same_methods(blocking: type, waiting: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        named = {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}
        return {name.removeprefix("a"): list(inspect.signature(value).parameters) for name, value in named.items()}

    assert methods(blocking) == methods(waiting)
