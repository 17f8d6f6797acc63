"""The two drivers: one description, carried out by waiting and by awaiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ostinato.agents.steps import Call, Do, Steps, Together, arun, described, run, twins


def in_a_loop(steps: Steps[Any]) -> Any:
    return asyncio.run(arun(steps))


@pytest.fixture(params=[run, in_a_loop], ids=["waits", "awaits"])
def drive(request: pytest.FixtureRequest) -> Callable[[Steps[Any]], Any]:
    driver: Callable[[Steps[Any]], Any] = request.param
    return driver


async def awaited(number: int) -> int:
    await asyncio.sleep(0)
    return number


def waited(number: int) -> int:
    return number


def fail() -> None:
    raise ValueError("out of order")


async def afail() -> None:
    raise ValueError("out of order")


def test_work_is_done_in_its_own_way_and_sent_back(drive: Any) -> None:
    def steps() -> Steps[int]:
        one = yield Do(waited, awaited, (1,))
        two = yield Call(awaited, (2,))
        three = yield Call(waited, kwargs={"number": 3})
        return one + two + three  # type: ignore[no-any-return]

    assert drive(steps()) == 6


def test_errors_are_the_description_s_to_handle(drive: Any) -> None:
    def steps() -> Steps[str]:
        try:
            yield Do(fail, afail)
        except ValueError as error:
            return str(error)
        return "nothing happened"

    assert drive(steps()) == "out of order"


def test_errors_that_it_does_not_handle_are_raised_after_its_cleaning_up(drive: Any) -> None:
    left: list[str] = []

    def steps() -> Steps[None]:
        try:
            yield Do(fail, afail)
        finally:
            left.append("cleaned up")

    with pytest.raises(ValueError, match="out of order"):
        drive(steps())
    assert left == ["cleaned up"]


def test_parts_come_back_in_their_order(drive: Any) -> None:
    def part(number: int) -> Steps[int]:
        return (yield Do(waited, awaited, (number,)))  # type: ignore[no-any-return]

    def steps() -> Steps[list[int]]:
        return (yield Together([part(number) for number in (3, 1, 2)]))  # type: ignore[no-any-return]

    assert drive(steps()) == [3, 1, 2]


def test_coroutine_function_may_be_stood_in_for_where_nothing_awaits() -> None:
    def steps() -> Steps[Any]:
        return (yield Call(awaited, (1,), instead="nothing"))

    assert run(steps()) == "nothing"
    assert in_a_loop(steps()) == 1


def test_coroutine_is_refused_where_waiting_would_block_its_loop() -> None:
    def steps() -> Steps[Any]:
        return (yield Call(awaited, (1,)))

    async def wait_inside() -> Any:
        return run(steps())

    with pytest.raises(RuntimeError, match="a_initiate_chat"):
        asyncio.run(wait_inside())


def test_twins_know_what_they_are_made_of() -> None:
    def _double(number: int) -> Steps[int]:
        """Return twice the number."""
        return 2 * (yield Do(waited, awaited, (number,)))  # type: ignore[no-any-return]

    double, a_double = twins(_double, "double")

    assert double(2) == asyncio.run(a_double(2)) == 4
    assert (double.__name__, a_double.__name__, double.__doc__) == ("double", "a_double", "Return twice the number.")
    assert described(double) is described(a_double) is _double
    assert described(len) is None
