"""A conversation, described once and driven twice: by waiting and by awaiting.

What agents do is written as generators of steps. A step names the work that may wait; a driver does it and sends
back what came of it:

| step       | `run` (waits)                                    | `arun` (awaits)                          |
|------------|--------------------------------------------------|------------------------------------------|
| `Do`       | calls `waiting`                                  | awaits `awaiting`                        |
| `Call`     | calls a user's function; a coroutine gets a loop | calls it, and awaits what is awaitable   |
|            | of its own, or `instead` answers for it          |                                          |
| `Together` | runs the parts one after the other               | runs them side by side, a task each      |

`twins` makes the two public functions of one description.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from functools import wraps
from types import FunctionType
from typing import Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import msgspec

P = ParamSpec("P")
R = TypeVar("R")

_RUN: Final = object()


class Do(msgspec.Struct, frozen=True):
    """Work that exists in both worlds."""

    waiting: Callable[..., Any]
    awaiting: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class Call(msgspec.Struct, frozen=True):
    """A user's own function, which may be of either kind."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    instead: Any = _RUN
    """What stands for a coroutine function where nothing awaits; unless given, it runs in a loop of its own."""


class Together(msgspec.Struct, frozen=True):
    """Descriptions that do not depend on each other. Sends back the list of their results, in their order."""

    parts: Sequence[Generator[Any, Any, Any]]


Step = Do | Call | Together
Steps = Generator[Step, Any, R]
"""A description that ends with an `R`."""


def run(steps: Steps[R]) -> R:
    """Carry a description out by waiting, and return its result."""
    try:
        step = next(steps)
        while True:
            try:
                result = _do(step)
            except BaseException as error:  # noqa: BLE001  # the description decides what it means
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # what the generator returns


async def arun(steps: Steps[R]) -> R:
    """Carry a description out by awaiting, and return its result."""
    try:
        step = next(steps)
        while True:
            try:
                result = await _ado(step)
            except BaseException as error:  # noqa: BLE001  # the description decides what it means
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]  # what the generator returns


def _do(step: Step) -> Any:
    if isinstance(step, Do):
        return step.waiting(*step.args, **step.kwargs)
    if isinstance(step, Together):
        return [run(part) for part in step.parts]
    if step.instead is not _RUN and inspect.iscoroutinefunction(step.function):
        return step.instead
    result = step.function(*step.args, **step.kwargs)
    return _settle(result) if inspect.isawaitable(result) else result


async def _ado(step: Step) -> Any:
    if isinstance(step, Do):
        return await step.awaiting(*step.args, **step.kwargs)
    if isinstance(step, Together):
        if len(step.parts) == 1:
            return [await arun(step.parts[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(arun(part)) for part in step.parts]
        return [task.result() for task in tasks]
    result = step.function(*step.args, **step.kwargs)
    return await result if inspect.isawaitable(result) else result


def _settle(result: Awaitable[Any]) -> Any:
    """Return what an awaitable of a user's brings, in an event loop of its own.

    Raises: RuntimeError: a loop runs in this thread already, and waiting would block it.
    """

    async def awaited() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    if inspect.iscoroutine(result):
        result.close()
    raise RuntimeError("an asynchronous function was called in a chat that waits; start it with a_initiate_chat")


def twins(steps: Callable[P, Steps[R]], name: str) -> tuple[Callable[P, R], Callable[P, Coroutine[Any, Any, R]]]:
    """Return the function that waits and the one that awaits, for one description.

    Each knows what it was made of: `described(function)` returns `steps`.
    """

    @wraps(steps)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> R:
        return run(steps(*args, **kwargs))

    @wraps(steps)
    async def awaiting(*args: P.args, **kwargs: P.kwargs) -> R:
        return await arun(steps(*args, **kwargs))

    waiting.__name__, awaiting.__name__ = name, f"a_{name}"
    _descriptions[waiting] = _descriptions[awaiting] = steps
    return waiting, awaiting


_descriptions: WeakKeyDictionary[Callable[..., Any], Callable[..., Steps[Any]]] = WeakKeyDictionary()


def described(function: Callable[..., Any]) -> Callable[..., Steps[Any]] | None:
    """Return the description that `function` carries out, or None for one of the user's own."""
    return _descriptions.get(function) if isinstance(function, FunctionType) else None
