"""The waking of those who await one flight: an event loop is woken once however many do, and wakes a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.client.source import running_loop

if TYPE_CHECKING:
    import asyncio

    from ostinato.caching.flight import Flight
    from ostinato.caching.flow import Waited

AT_ONCE = 4
"""Readers that are woken in one turn of the loop. Between turns other threads get the interpreter: the one that passes
the answer on to other processes would else wait until the last reader here has had it."""


class Bell:
    """Rung by whoever moves the flight on, in any thread; heard in its loop. Waking a loop is a system call."""

    __slots__ = ("_bells", "_loop", "_waiting")

    def __init__(self, bells: dict[object, Bell], loop: asyncio.AbstractEventLoop) -> None:
        self._bells = bells
        self._loop = loop
        self._waiting: list[asyncio.Future[Waited]] = []

    def ring(self) -> None:
        """Let all who wait know, as soon as their loop can."""
        if running_loop() is self._loop:
            self._loop.call_soon(self._hear)
            return
        try:
            self._loop.call_soon_threadsafe(self._hear)
        except RuntimeError:
            pass  # the loop has ended, and the readers with it

    def wait(self) -> asyncio.Future[Waited]:
        """Return what is done once it was rung."""
        moved: asyncio.Future[Waited] = self._loop.create_future()
        self._waiting.append(moved)
        return moved

    def _hear(self) -> None:
        self._bells.pop(self._loop, None)
        self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        for moved in self._waiting[:AT_ONCE]:
            settle(moved, "moved")
        del self._waiting[:AT_ONCE]
        if self._waiting:
            self._loop.call_soon(self._wake)


def settle(moved: asyncio.Future[Waited], how: Waited) -> None:
    """Say how a wait ended, unless it has."""
    if not moved.done():
        moved.set_result(how)


def next_move(flight: Flight, version: int) -> asyncio.Future[Waited] | None:
    """Return what is done when `flight` moves on from `version`, or None: it has. Called in a loop."""
    loop = running_loop()
    bell = flight.bells.get(loop)
    if bell is None:
        bell = Bell(flight.bells, loop)
        if not flight.call_when_moved(bell.ring, version):
            return None
        # Rung from a thread meanwhile, it is heard after this.
        flight.bells[loop] = bell
    elif flight.version != version:
        return None
    return bell.wait()
