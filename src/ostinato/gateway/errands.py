"""What one worker asks of all the others: a file in the box of each, done and answered beside it.

The boxes stand in the folder that the workers share; each looks into its own a few times a second. A worker that has
just died answers nothing, and has nothing left that could be asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]

PATIENCE_S = 2.0
"""How long the others are waited for."""
_LOOK_S = 0.01


class Errands:
    """The boxes, as one worker sees them."""

    def __init__(self, folder: str | None = None, index: int = 0) -> None:
        """`folder` None: there are no other workers."""
        self._box = None if folder is None else Path(folder, f"{index}.errands")
        if self._box is not None:
            self._box.mkdir(mode=0o700, exist_ok=True)

    async def everywhere(self, errand: Json) -> list[Json]:
        """Return what the other workers answer, without those that do not within `PATIENCE_S`."""
        if self._box is None:
            return []
        name = secrets.token_hex(8)
        boxes = [box for box in self._box.parent.glob("*.errands") if box != self._box]
        for box in boxes:
            _write(box / f"{name}.todo", errand)
        answers: list[Json] = []
        until_s = time.monotonic() + PATIENCE_S
        while boxes and time.monotonic() < until_s:
            await asyncio.sleep(_LOOK_S)
            for box in list(boxes):
                answer = _taken(box / f"{name}.done")
                if answer is not None:
                    answers.append(answer)
                    boxes.remove(box)
        for box in boxes:
            _taken(box / f"{name}.todo")
        return answers

    async def heed(self, do: Callable[[Json], Awaitable[Json]]) -> None:
        """Do what the others have left to do."""
        if self._box is None:
            return
        for todo in self._box.glob("*.todo"):
            errand = _taken(todo)
            if errand is not None:
                _write(todo.with_suffix(".done"), await do(errand))


def _write(path: Path, value: Json) -> None:
    part = path.with_suffix(".part")
    with contextlib.suppress(OSError):  # the folder is gone: so is who would read it
        part.write_bytes(msgspec.json.encode(value))
        os.replace(part, path)  # noqa: PTH105  # what pathlib calls


def _taken(path: Path) -> Json | None:
    """Return what a file says, and take it away; None where there is none."""
    try:
        value: Json = msgspec.json.decode(path.read_bytes())
        path.unlink()
    except (OSError, msgspec.DecodeError):
        return None
    return value
