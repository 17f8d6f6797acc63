"""Which tool call a piece of a stream belongs to."""

from __future__ import annotations

from typing import Any

from ostinato.wire.contract import Json


class CallNumbers:
    """Numbers the tool calls of one choice, also for vendors that number them badly or not at all.

    OpenAI gives each its `index`, and its `id` and name in the first piece only. Mistral gives an id but no index.
    An index that comes back with another id and a name of its own is another call: so some servers number all
    parallel calls 0.
    """

    __slots__ = ("_by_id", "_by_index", "_ids", "_last")

    def __init__(self) -> None:
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._last = -1

    def number(self, piece: Json) -> int:
        """Return the number of the call that `piece` is of, a new one for a call not seen before."""
        index = piece.get("index")
        given = piece.get("id")
        known = self._by_index.get(index) if type(index) is int else self._unnumbered(given, piece)
        if known is None or (given and given != self._ids[known] and self._is_another(known, piece)):
            known = self._begin(index, given)
        self._last = known
        return known

    def _begin(self, index: Any, given: Any) -> int:
        """Return the number of a new call: its index, where that is free."""
        number = index if type(index) is int and index not in self._ids else max(self._ids, default=-1) + 1
        if type(index) is int:
            self._by_index[index] = number
        self._ids[number] = given if isinstance(given, str) else ""
        if self._ids[number]:
            self._by_id.setdefault(self._ids[number], number)
        return number

    def _is_another(self, known: int, piece: Json) -> bool:
        """Say whether another id stands for a new call: the known one has an id, and the piece names a function."""
        return bool(self._ids[known]) and bool(_name(piece))

    def _unnumbered(self, given: Any, piece: Json) -> int | None:
        if isinstance(given, str) and given:
            return self._by_id.get(given)
        return None if self._last < 0 or _name(piece) else self._last


def _name(piece: Json) -> Any:
    function = piece.get("function") or piece.get("custom")
    return function.get("name") if isinstance(function, dict) else None
