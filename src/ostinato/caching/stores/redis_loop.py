"""The connections of event loops to one server: one a loop, shared by all its tasks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncGenerator
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis

from ostinato.caching.stores.redis_line import REPLY_OVERHEAD, UNFINISHED, LineError
from ostinato.errors import StoreError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from ostinato.caching.stores.redis_node import Node

LATE_S = 0.005
"""A loop that comes this much too late to a deadline was held up, and may not have read what is there."""


class LoopLine(asyncio.Protocol):
    """A connection that redis-py opened on an event loop, on which many tasks have questions under way.

    Replies come in the order of the commands. A task that goes away leaves its place to be passed over. A
    missed deadline closes the connection: what is behind it would miss its own.
    """

    def __init__(self, connection: AbstractConnection, limit_bytes: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.broken: LineError | None = None
        writer = connection._writer
        assert writer is not None  # noqa: S101 (it is connected)
        # Taken out of redis-py's hands, which close it when they are collected; so does the writer.
        connection._reader = connection._writer = None
        self._writer = writer
        self._transport = writer.transport
        self._reader = hiredis.Reader(notEnoughData=UNFINISHED)
        self._waiting: deque[_Question] = deque()
        self._unsent: list[bytes] = []
        self._limit_bytes = limit_bytes + REPLY_OVERHEAD
        self._unread_bytes = 0
        self._transport.set_protocol(self)

    async def ask(self, packed: bytes, replies: int, deadline: float) -> Any:
        """Send commands and return the reply, or the list of them where there are several.

        Raises: LineError: the connection is of no use any more.
        """
        if self.broken is not None:
            raise LineError(str(self.broken), stale=self.broken.stale)
        question = _Question(self.loop.create_future(), replies)
        left = deadline - monotonic()
        timer = self.loop.call_later(left, self._expire, question, self.loop.time() + left)
        self._waiting.append(question)
        try:
            self._unsent.append(packed)
            if len(self._unsent) == 1:
                self.loop.call_soon(self._send)  # what other tasks ask in this turn goes along
            return await question.future
        finally:
            timer.cancel()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._transport.write(b"".join(unsent))

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        self._unread_bytes += len(data)
        try:
            while (reply := reader.gets()) is not UNFINISHED:
                self._unread_bytes = 0
                if self._waiting and self._waiting[0].take(reply):
                    self._waiting.popleft()
        except hiredis.HiredisError:
            self.close(LineError("what answers is no Redis"))
        if self._unread_bytes > self._limit_bytes:
            self.close(LineError("a reply is longer than any value may be"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(LineError("the server hung up", stale=True))

    def close(self, problem: LineError) -> None:
        """Hang up; who waits gets `problem`."""
        if self.broken is None:
            self.broken = problem
        # At once, whatever is still to be sent.
        self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for question in waiting:
            if not question.future.done():
                question.future.set_exception(LineError(str(problem), stale=problem.stale))

    def _expire(self, question: _Question, due: float) -> None:
        if question.future.done():
            return
        late_s = self.loop.time() - due
        if late_s > LATE_S and not question.granted:
            question.granted = True
            self.loop.call_later(LATE_S, self._expire, question, self.loop.time() + LATE_S)
            return
        self.close(LineError("no answer in time"))


class _Question:
    """What one task waits for."""

    __slots__ = ("future", "granted", "replies", "wanted")

    def __init__(self, future: asyncio.Future[Any], wanted: int) -> None:
        self.future = future
        self.wanted = wanted
        self.replies: list[Any] = []
        self.granted = False
        """Whether its deadline was moved, since the loop itself was late."""

    def take(self, reply: Any) -> bool:
        """Take the next reply. Return whether it was the last."""
        if self.wanted == 1:
            if not self.future.done():
                self.future.set_result(reply)
            return True
        self.replies.append(reply)
        if len(self.replies) < self.wanted:
            return False
        if not self.future.done():
            self.future.set_result(self.replies)
        return True


class LoopLines:
    """One line for each event loop, opened at first use, closed with its loop.

    A loop closes the asynchronous generators that were begun on it (`asyncio.run` has it do so), and with them
    its line.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lines: dict[asyncio.AbstractEventLoop, LoopLine] = {}
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Task[LoopLine]] = {}
        self._keepers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._pid = os.getpid()

    async def ask(self, packed: bytes, replies: int, deadline: float, *, again: bool) -> Any:
        """Send commands and return the reply, or the list of them where there are several.

        Raises: StoreError: no reply within the deadline.
        """
        node = self._node
        if node.problem is not None and node.breaker.state != "closed":
            raise node.refusal()
        loop = asyncio.get_running_loop()
        line, used = self._lines.get(loop), True
        if line is None or line.broken is not None:
            line, used = await self._line(loop, deadline), False
        try:
            reply = await line.ask(packed, replies, deadline)
        except LineError as exc:
            if self._lines.get(loop) is line:
                del self._lines[loop]
            if not (used and again and exc.stale):
                raise node.failure(exc) from exc
        else:
            if node.problem is not None:
                node.answered()
            return reply
        node.reconnects += 1
        return await self.ask(packed, replies, deadline, again=False)

    async def close(self) -> None:
        """Close the running loop's line. A later question opens another."""
        keeper = self._keepers.get(asyncio.get_running_loop())
        if keeper is not None:
            await keeper.aclose()

    def __len__(self) -> int:
        return len(self._lines)

    async def _line(self, loop: asyncio.AbstractEventLoop, deadline: float) -> LoopLine:
        """Return the loop's line, opened by one task for all that wait, which outlives the impatient."""
        task = self._opening.get(loop)
        if task is None:
            task = self._opening[loop] = loop.create_task(self._open(loop))
            task.add_done_callback(lambda done: self._opened(loop, done))
        done, _ = await asyncio.wait({task}, timeout=max(deadline - monotonic(), 0))
        if not done:
            raise self._node.failure(LineError("no connection in time"))
        try:
            return task.result()
        except LineError as exc:
            raise self._node.failure(exc) from exc
        except asyncio.CancelledError:
            raise StoreError("the event loop is closing") from None

    async def _open(self, loop: asyncio.AbstractEventLoop) -> LoopLine:
        if loop not in self._keepers:
            self._forget_closed_loops()
            keeper = self._keepers[loop] = self._keep(loop)
            await anext(keeper)
        line = LoopLine(await self._node.dial.aconnect(), self._node.dial.settings.max_value_bytes)
        self._lines[loop] = line
        return line

    def _opened(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[LoopLine]) -> None:
        if self._opening.get(loop) is task:
            del self._opening[loop]
        if not task.cancelled():
            # Looked at, so that the loop does not complain where every caller has gone on.
            task.exception()

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._keepers.pop(loop, None)
            line = self._lines.pop(loop, None)
            if line is not None:
                line.close(LineError("the event loop is closing"))
                # Its socket is closed by the loop itself, a turn later.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)

    def _forget_closed_loops(self) -> None:
        for loop in list(self._keepers):
            if loop.is_closed():
                self._keepers.pop(loop, None)
                self._lines.pop(loop, None)
