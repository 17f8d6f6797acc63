"""The path of one call, decided without I/O: look up, claim, open, retry, read on, land.

`Ride.steps` is a generator. It yields what is to be done, a shell does it (waiting or awaiting) and sends
back what came of it:

| step            | the shell                                                     | sends back                     |
|-----------------|---------------------------------------------------------------|--------------------------------|
| `LookUp`        | reads the cache                                               | an `Entry`, or None            |
| `Claim`         | asks the store who leads, and reports to the flight           | an `Entry`, or None            |
| `Open`, `Pull`  | goes upstream, and reports to the flight under the token      | nothing                        |
| `Wait`          | waits until the flight has moved on, `stall_timeout_s` at most | `moved`, `stalled`, or `deaf` |
|                 |                                                               | where waiting would block it   |
| `Sleep`         | sleeps                                                        | nothing                        |
| `Events`        | hands these events to the reader                              | nothing                        |

It returns the `Entry` that answers, or the `Flight` that landed, and raises what the caller is to see.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ostinato.caching.flight import Flight
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.moves import Broken, Claim, Events, Failed, Landed, Open, Pull, Reader, Wait
from ostinato.errors import OstinatoError, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostinato.caching.cache import Cache
    from ostinato.caching.counters import Counters
    from ostinato.caching.record import Entry
    from ostinato.caching.seat import Seat
    from ostinato.wire.contract import Wire


class LookUp(msgspec.Struct, frozen=True):
    """Read the cache. `again`: this call has read it before."""

    again: bool = False


class Sleep(msgspec.Struct, frozen=True):
    """Sleep before the next try."""

    seconds: float


Step = LookUp | Claim | Open | Pull | Wait | Sleep | Events

Waited = Literal["moved", "stalled", "deaf"]
_LOOK_UP, _LOOK_AGAIN = LookUp(), LookUp(again=True)


class Ride:
    """One call on its way to an answer."""

    __slots__ = ("_retry_delay", "_wire", "anew", "cache", "flight", "founder", "reader", "seat", "streams")

    def __init__(
        self,
        wire: Wire,
        *,
        cache: Cache | None,
        seat: Seat | None,
        streams: bool,
        retry_delay: Callable[[OstinatoError, int], float | None],
    ) -> None:
        self._wire = wire
        self.cache = cache
        self.seat = seat
        """The call's place in the cache; None when the call passes it by."""
        self.streams = streams
        """Whether the caller reads events, or the body alone."""
        self._retry_delay = retry_delay
        self.anew = False
        """Whether an entry is to be replaced, and answers nobody."""
        self.flight: Flight | None = None
        self.reader: Reader | None = None
        self.founder = True
        """Whether this call went upstream first; a follower pays nothing."""

    def steps(self) -> Generator[Step, Any, Entry | Flight]:
        """Yield what is to be done, as the table above says."""
        seat = self.seat
        reads = seat is not None and seat.policy.read
        if reads or (seat is not None and seat.prepares):
            entry: Entry | None = yield _LOOK_UP
            if entry is not None:
                return entry
        if seat is not None and seat.policy.replay:
            raise seat.missed()
        flight, reader = self._board()
        failing = seat is not None and seat.failing
        if reads and self.founder and not isinstance(flight, LeasedFlight) and not failing:
            # Another flight may have landed between the look-up and the claim.
            entry = yield _LOOK_AGAIN
            if entry is not None:
                self._hand_to_followers(flight, reader, entry)
                return entry
        return (yield from self._fly(flight, reader))

    def refresh(self) -> Generator[Step, Any, Entry | Flight] | None:
        """Claim the flight that asks anew for a stale entry. Return its steps, or None when somebody is at it."""
        self.anew = True
        if self.seat is not None:
            self.seat.spared = False
        flight, reader = self._board()
        if not self.founder:
            self.leave()
            return None
        return self._refresh(flight, reader)

    def _refresh(self, flight: Flight, reader: Reader) -> Generator[Step, Any, Entry | Flight]:
        assert self.seat is not None  # noqa: S101  # only an entry of a seat is ever stale
        entry: Entry | None = yield _LOOK_AGAIN
        if entry is not None:
            self.counters.hits -= 1  # the stale one answered already, and counted
        if entry is not None and not self.seat.is_stale(entry):
            # Another refresh landed between the stale hit and the claim.
            self._hand_to_followers(flight, reader, entry)
            return entry
        return (yield from self._fly(flight, reader))

    def _fly(self, flight: Flight, reader: Reader) -> Generator[Step, Any, Entry | Flight]:
        while True:
            move = flight.poll(reader)
            match move:
                case Events() if self.streams:
                    reader.passed_on = True
                    yield move
                case Claim():
                    entry: Entry | None = yield move
                    if entry is not None and not reader.passed_on:
                        return entry
                case Open() | Pull():
                    yield move
                case Wait(version):
                    flight, reader = self._waited((yield move), version, flight, reader)
                case Broken():
                    yield self._pause(flight, reader, move)
                case Landed():
                    return flight
                case Failed(error):
                    raise error

    def _pause(self, flight: Flight, reader: Reader, broken: Broken) -> Sleep:
        """Return the sleep before the next try, or raise when there is none."""
        delay = self._retry_delay(broken.error, broken.attempt)
        if delay is None:
            raise flight.give_up(reader)
        flight.pause(reader)
        return Sleep(delay)

    def _board(self) -> tuple[Flight, Reader]:
        seat = self.seat
        if self.cache is None or seat is None or not seat.policy.read:
            # Nobody may join a call that asked for an answer of its own.
            return self._charter()
        leased = self.cache.shelf.abroad is not None and seat.shares
        flight, reader, self.founder = self.cache.flights.claim(seat.store_key, self._wire, leased=leased)
        if not self.founder:
            self.cache.counters.joins += 1
        self.flight, self.reader = flight, reader
        keep = seat.keeper(self._wire)
        if keep is not None:
            flight.keep_with(keep)
        return flight, reader

    def _charter(self) -> tuple[Flight, Reader]:
        """Board a flight that nobody can join."""
        flight = Flight(self._wire, shared=False)
        reader = flight.attach()
        assert reader is not None  # noqa: S101  # a new flight takes readers
        self.flight, self.reader, self.founder = flight, reader, True
        keep = self.seat.keeper(self._wire) if self.seat is not None else None
        if keep is not None:
            flight.keep_with(keep)
        return flight, reader

    def _waited(self, waited: Waited, version: int, flight: Flight, reader: Reader) -> tuple[Flight, Reader]:
        if waited == "deaf" or (waited == "stalled" and not flight.depose(version)):
            return self._go_alone(flight, reader)
        return flight, reader

    def _go_alone(self, flight: Flight, reader: Reader) -> tuple[Flight, Reader]:
        """Leave a flight that cannot be waited for and ask for oneself.

        Raises: Timeout: some of the answer was passed on already, and another answer would not continue it.
        """
        if reader.passed_on:
            raise Timeout("the stream stalled: no event came within the cache's stall_timeout_s")
        flight.leave(reader)
        return self._charter()

    @staticmethod
    def _hand_to_followers(flight: Flight, reader: Reader, entry: Entry) -> None:
        move = flight.poll(reader)
        if isinstance(move, (Open, Claim)):
            flight.found(move.token, entry)

    def again(self) -> Ride:
        """Return a new ride for the same seat."""
        return Ride(self._wire, cache=self.cache, seat=self.seat, streams=False, retry_delay=self._retry_delay)

    @property
    def paid(self) -> bool:
        """Whether this call went upstream; one that joined another paid nothing."""
        return self.flight is None or self.reader is None or self.flight.paid_by(self.reader)

    @property
    def counters(self) -> Counters:
        """Where this ride's cache counts."""
        assert self.cache is not None  # noqa: S101  # asked of a seated ride alone
        return self.cache.counters

    def finishes_alone(self) -> bool:
        """Whether an answer that its last reader leaves is to be read to its end for the cache."""
        flight, cache = self.flight, self.cache
        if cache is None or flight is None or not cache.finish_on_disconnect:
            return False
        return flight.is_last and not flight.over

    def leave(self) -> None:
        """Leave the flight, and close its way upstream when nobody needs it any more."""
        if self.flight is not None and self.reader is not None:
            self.flight.leave(self.reader)
            self.flight.hang_up()
