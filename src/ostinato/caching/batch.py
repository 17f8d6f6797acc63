"""Many inputs, one request: embeddings are cached one entry an input, and asked for together.

Each input rides as a call of its own (look up, claim, wait); those that are to open the way upstream do it
in one request. The steps are those of `flow`, each with the ride that it belongs to, and `Ask`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.caching.moves import Open, Wait
from ostinato.caching.record import Entry
from ostinato.errors import OstinatoError

if TYPE_CHECKING:
    from ostinato.caching.flow import Ride, Step

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Ask(msgspec.Struct, frozen=True):
    """Ask the vendor for these inputs at once; send back their answers in the same order."""

    inputs: list[Any]


class Place:
    """One distinct input: its ride, and its answer once it is there."""

    __slots__ = ("answer", "expires_at", "from_cache", "input", "ride", "steps", "stored_at")

    def __init__(self, value: Any, ride: Ride) -> None:
        self.input = value
        self.ride = ride
        self.steps = ride.steps()
        self.answer: dict[str, Any] | None = None
        self.from_cache = False
        self.stored_at = 0.0
        """UTC seconds, of an answer from the cache."""
        self.expires_at: float | None = None
        """The same of its end, where it has one."""

    def advance(self, sent: Any = None) -> Step | None:
        """Return the next step, or None when the answer is there."""
        try:
            return self.steps.send(sent)
        except StopIteration as done:
            self.from_cache = isinstance(done.value, Entry)
            if self.from_cache:
                self.stored_at, self.expires_at = done.value.stored_at, done.value.expires_at
            self.answer = _decode(done.value.body) if self.from_cache else done.value.body()
            return None


def batch(places: list[Place]) -> Generator[tuple[Ride, Step] | Ask, Any, None]:
    """Bring an answer to every place.

    Raises: OstinatoError: the vendor's, when it has none.
    """
    opening: list[tuple[Place, Open]] = []
    waiting: list[tuple[Place, Step]] = []
    for place in places:
        step = place.advance()
        while step is not None:
            if isinstance(step, Open):
                opening.append((place, step))
                break
            if isinstance(step, Wait):
                waiting.append((place, step))
                break
            step = place.advance((yield place.ride, step))
    if opening:
        yield from _open(opening)
    for place, waits in waiting:
        then: Step | None = waits
        while then is not None:
            if isinstance(then, Open):
                yield from _open([(place, then)])
                break
            then = place.advance((yield place.ride, then))


def _open(opening: list[tuple[Place, Open]]) -> Generator[Ask, Any, None]:
    """Ask for all at once, and land every flight or break it."""
    try:
        answers = yield Ask([place.input for place, _ in opening])
    except OstinatoError as error:
        final = error.copy()
        final.retryable = False  # it was retried for all of them together
        for place, step in opening:
            _flight(place).broke(step.token, final)
        raise
    except BaseException:
        for place, step in opening:
            _flight(place).aborted(step.token)
        raise
    for (place, step), answer in zip(opening, answers, strict=True):
        _flight(place).landed(step.token, _encode(answer), answer)
        place.advance()


def _flight(place: Place) -> Any:
    assert place.ride.flight is not None  # noqa: S101  # it was asked to open
    return place.ride.flight
