"""Sending an answer with the delays, gates and cuts that its reply asks for."""

from __future__ import annotations

import asyncio
import threading

from ostinato.testing.emulator.calls import RecordedCall
from ostinato.testing.emulator.dialect import Answer
from ostinato.testing.emulator.http import Connection
from ostinato.testing.emulator.script import Reply

_POLL_S = 0.001


class Gates:
    """Lets coroutines wait for `threading.Event`s: one poll for all of them, and only while somebody waits."""

    def __init__(self) -> None:
        self._waiting: list[tuple[threading.Event, asyncio.Future[None]]] = []

    async def passed(self, gate: threading.Event) -> None:
        """Return once `gate` is set."""
        if gate.is_set():
            return
        loop = asyncio.get_running_loop()
        opened = loop.create_future()
        self._waiting.append((gate, opened))
        if len(self._waiting) == 1:
            loop.call_later(_POLL_S, self._poll)
        await opened

    def _poll(self) -> None:
        still = []
        for gate, opened in self._waiting:
            if opened.done():
                continue
            if gate.is_set():
                opened.set_result(None)
            else:
                still.append((gate, opened))
        self._waiting = still
        if still:
            asyncio.get_running_loop().call_later(_POLL_S, self._poll)


async def deliver(connection: Connection, call: RecordedCall, answer: Answer, reply: Reply, gates: Gates) -> None:
    """Send `answer` over `connection` as `reply` says. Cancelled when the client hangs up."""
    await _pause(connection, reply.delay_s)
    if reply.gate is not None:
        await gates.passed(reply.gate)
    if reply.close_before_headers:
        connection.close()
        return
    _begin(connection, call, answer)
    streamed = answer.events is not None
    parts = [answer.body] if answer.events is None else answer.events
    left = reply.cut_after_bytes
    for index, part in enumerate(parts):
        if await _ended(connection, reply, index):
            return
        await _pause(connection, reply.chunk_delay_s if index else reply.first_byte_delay_s)
        if (gate := reply.gates.get(index)) is not None:
            connection.flush()
            await gates.passed(gate)
        if left is not None:
            if len(part) >= left:
                await connection.write(part[:left])
                connection.close()
                return
            left -= len(part)
        call.outcome.events_sent += streamed
        await connection.write(part)
        if streamed:
            # Lets the loop see a client that has hung up, and other streams have their turn.
            await asyncio.sleep(0)
    if not await _ended(connection, reply, len(parts)):
        connection.finish()


def _begin(connection: Connection, call: RecordedCall, answer: Answer) -> None:
    # All of it before the first byte leaves: a client that has its answer finds the call's outcome set.
    if answer.begin is not None:
        answer.begin()
    call.outcome.status = answer.status
    call.outcome.usage = answer.usage
    connection.start(answer.status, answer.headers, len(answer.body) if answer.events is None else None)


async def _ended(connection: Connection, reply: Reply, sent: int) -> bool:
    """Return whether the answer is cut after `sent` events; never return where it stalls."""
    if reply.stall_after_events is not None and sent == reply.stall_after_events:
        connection.flush()
        await asyncio.get_running_loop().create_future()
    if reply.cut_after_events is not None and sent == reply.cut_after_events:
        connection.close()
        return True
    return False


async def _pause(connection: Connection, seconds: float) -> None:
    if seconds > 0:
        connection.flush()
        await asyncio.sleep(seconds)
