"""How many questions to one container are under way at once, and several of them asked side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from ostinato.errors import StoreError

Asked = TypeVar("Asked")
Result = TypeVar("Result")

LANES = 10
"""Questions at once: as many as the SDK keeps connections. More would open one each, and warn of it."""
SIDE_BY_SIDE = 4
"""Lanes that one thread may take, so that it leaves some to the callers who wait."""


def side_by_side(ask: Callable[[Asked], Result], asked: Sequence[Asked]) -> list[Result | StoreError]:
    """Return what each question came to, or the error that befell it, in their order."""
    todo = deque(range(len(asked)))
    done: dict[int, Result | StoreError] = {}

    def lane() -> None:
        while todo:
            try:
                index = todo.popleft()
            except IndexError:
                return
            try:
                done[index] = ask(asked[index])
            except StoreError as exc:
                done[index] = exc

    others = [threading.Thread(target=lane, name="ostinato-cosmos-lane", daemon=True) for _ in asked[1:SIDE_BY_SIDE]]
    try:
        for other in others:
            other.start()
    except RuntimeError:
        pass  # the interpreter is ending: this thread asks what is left
    lane()
    for other in others:
        if other.ident is not None:
            other.join()
    return [done[index] for index in range(len(asked))]
