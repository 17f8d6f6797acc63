"""How those who await one flight hear that it has moved on."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

from ostinato.caching.flight import Flight
from ostinato.caching.moves import Open
from ostinato.client.bell import AT_ONCE, next_move
from ostinato.wire import openai_chat

WAITING = 50


def opening() -> tuple[Flight, int]:
    """Return a flight that somebody opens the way of, and the token of that."""
    flight = Flight(openai_chat.WIRE, shared=True)
    reader = flight.attach()
    assert reader is not None
    move = flight.poll(reader)
    assert isinstance(move, Open)
    return flight, move.token


async def woken(flight: Flight, move: Callable[[], object]) -> tuple[set[str], int]:
    """Let many await `flight`, which a thread moves on. Return how they ended, and how often it woke the loop."""
    loop = asyncio.get_running_loop()
    wakes = []
    whole = loop.call_soon_threadsafe

    def counted(*arguments: Any, **keywords: Any) -> asyncio.Handle:
        wakes.append(threading.get_ident())
        return whole(*arguments, **keywords)

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]  # what a system call stands for
    waits = [next_move(flight, flight.version) for _ in range(WAITING)]
    thread = threading.Thread(target=move)
    thread.start()
    ends: set[str] = {await wait for wait in waits if wait is not None}
    thread.join()
    return ends, len(wakes)


def test_a_loop_in_which_many_wait_is_woken_once() -> None:
    flight, token = opening()

    ends, wakes = asyncio.run(woken(flight, lambda: flight.opened(token, object())))

    assert (ends, wakes) == ({"moved"}, 1)


def test_other_threads_get_a_turn_between_the_many_who_are_woken() -> None:
    flight, token = opening()

    async def turns() -> list[int]:
        waits = [next_move(flight, flight.version) for _ in range(WAITING)]
        flight.opened(token, object())
        done = [0]
        while done[-1] < WAITING:
            await asyncio.sleep(0)
            done.append(sum(wait is not None and wait.done() for wait in waits))
        return done

    done = asyncio.run(turns())

    assert max(late - early for early, late in itertools.pairwise(done)) == AT_ONCE


def test_who_asks_for_a_move_that_was_made_does_not_wait() -> None:
    flight, token = opening()

    async def late() -> list[object]:
        seen = flight.version
        first = next_move(flight, seen)
        flight.opened(token, object())
        second = next_move(flight, seen)
        assert first is not None
        return [await first, second]

    assert asyncio.run(late()) == ["moved", None]


def test_a_loop_that_has_ended_keeps_no_other_from_hearing() -> None:
    flight, token = opening()

    async def leave() -> None:
        next_move(flight, flight.version)

    asyncio.run(leave())

    assert asyncio.run(woken(flight, lambda: flight.opened(token, object())))[0] == {"moved"}


def test_who_gave_up_waiting_keeps_no_other_from_hearing() -> None:
    flight, token = opening()

    async def wait() -> str:
        gone, kept = next_move(flight, flight.version), next_move(flight, flight.version)
        assert gone is not None
        assert kept is not None
        gone.cancel()
        flight.opened(token, object())
        return await kept

    assert asyncio.run(wait()) == "moved"
