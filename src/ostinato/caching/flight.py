"""One flight: identical calls at once share one request, streams included.

A flight owns the way upstream; readers attach to it and may leave at any time. Everything here decides and
remembers; nothing waits, sends or sleeps. A shell asks `poll` what to do next for its reader and reports
back what came of it:

              ┌────────── abandoned, aborted, given up (once) ──────────┐
              ▼                                                         │
    idle ──Open──▶ opening ──failed──▶ broken ──Sleep──▶ pausing ──Open─┘
                      │                   └──final──▶ failed
                      ├──body──▶ landed
                      └──stream──▶ open ⇄ pulling ──end──▶ landed │ failed

Every opening has a token. What is reported under an older token is ignored, so a leader that was deposed
and wakes up again can publish nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ostinato.caching.moves import LANDED, Broken, Events, Failed, Keep, Move, Open, Pull, Reader, State, Wait
from ostinato.caching.tape import Tape
from ostinato.errors import APIConnectionError, APIResponseError, OstinatoError
from ostinato.wire import find_wire

if TYPE_CHECKING:
    from ostinato.caching.record import Entry
    from ostinato.caching.stores.leases import Lead
    from ostinato.wire.contract import Cuts, Json, Wire

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Flight:
    """One request on its way, and everybody who reads its answer."""

    def __init__(self, wire: Wire, *, shared: bool, on_over: Callable[[Flight], None] | None = None) -> None:
        self.wire = wire
        self.shared = shared
        """Whether others may join: then no reader's cancellation may end what it pulls for all."""
        self.body_bytes = b""
        """The final body, as the vendor sent it or folded from its stream."""
        self.cuts: Cuts | None = None
        """How the stream was cut; None when the answer came in one piece."""
        self.headers: dict[str, str] | None = None
        """Headers of the answer without which its body cannot be read in full."""
        self.sign: Callable[[OstinatoError], None] | None = None
        """What completes an error before anybody hears of it; whoever went upstream sets it."""
        self.origin: Any = None
        """Whose answer it is; whoever goes upstream sets it, and those who joined read it."""
        self.home: object = None
        """The event loop that the way upstream runs on, where it is an asynchronous one."""
        self.task: Any = None
        self.bells: dict[Any, Any] = {}  # what wakes the readers of each event loop, by that
        self.source: Any = None
        self.lease: Lead | None = None
        """The right to ask for this key, where the store gives it to one process at a time."""
        self._on_over = on_over
        self._lock = threading.Lock()
        self._state: State = "idle"
        self._token = 0
        self.version = 0
        """How often the flight has moved on."""
        self._attempt = 0
        self._hand_overs = 1
        self._owner: Reader | None = None
        self._unpaid = False  # True: who opened the way has left, and others have not; who asks next pays
        self._readers = 0
        self._tape = Tape(wire)
        self._error: OstinatoError = APIConnectionError("the call was abandoned")
        self._wakers: list[Callable[[], None]] = []
        self._keep: Keep | None = None
        self._body: Json | None = None

    # What a shell asks.

    def attach(self) -> Reader | None:
        """Return a new reader at the first event, or None when the flight is over."""
        with self._lock:
            if self._state == "failed":
                return None
            self._readers += 1
            return Reader(self._tape)

    def poll(self, reader: Reader) -> Move:
        """Say what `reader` does next. `Open` and `Pull` are given to one reader at a time."""
        with self._lock:
            if self._unpaid:
                self._owner, self._unpaid = reader, False
            move = self._unread(reader)
            if move is not None:
                return move
            match self._state:
                case "landed":
                    return LANDED
                case "failed":
                    return Failed(self._error.copy())
                case "idle":
                    self._owner = reader
                    return self._open()
                case "pausing" if self._owner is reader:
                    return self._open()
                case "broken" if self._owner is reader or self._owner is None:
                    self._owner = reader
                    return Broken(self._error, self._attempt)
                case "open":
                    self._state = "pulling"
                    return Pull(self.source, self._token)
                case _:
                    return self._otherwise(reader)

    def _otherwise(self, reader: Reader) -> Move:
        return Wait(self.version)

    def _unread(self, reader: Reader) -> Move | None:
        """Return the events that `reader` was not given yet, or None."""
        start, stop = reader.position, len(self._tape.log)
        if start >= stop:
            return None
        reader.position = stop
        return Events(start, stop, self._tape)

    def _open(self) -> Open:
        self._state = "opening"
        self._token += 1
        self._attempt += 1
        self._moved_on()
        return Open(self._token)

    def keep_with(self, keep: Keep | None) -> None:
        """Have the landed answer stored by `keep`, unless an earlier reader's does; None: by nobody."""
        with self._lock:
            self._keep = (self._keep or keep) if keep is not None else None

    def call_when_moved(self, wake: Callable[[], None], version: int) -> bool:
        """Have `wake` called once, when the flight moves on from `version`. Return False if it has already."""
        with self._lock:
            if self.version != version:
                return False
            self._wakers.append(wake)
            return True

    def body(self) -> Json:
        """Return the landed body, decoded afresh: the caller may keep and change it."""
        fresh, self._body = self._body, None
        return _decode(self.body_bytes) if fresh is None else fresh

    @property
    def streamed(self) -> bool:
        """Whether the answer came, or comes, as a stream."""
        return bool(self._tape.log)

    # What a shell reports.

    def opened(self, token: int, source: Any) -> bool:
        """Take the stream that opening brought. Return False when it is not wanted any more: close it."""
        with self._lock:
            if token != self._token or self._state != "opening":
                return False
            self.source = source
            self._state = "open"
            self._moved_on()
            return True

    def landed(
        self,
        token: int,
        body_bytes: bytes,
        body: Json,
        cuts: Cuts | None = None,
        headers: dict[str, str] | None = None,
    ) -> bool:
        """Take the whole body that opening brought, and the headers that belong to it."""
        with self._lock:
            if token != self._token or self._state != "opening":
                return False
            self.headers = headers
            self._land(body_bytes, body, cuts)
        self._close()
        return True

    def found(self, token: int, entry: Entry) -> None:
        """Take the entry that was found in place of an answer, in whichever wire it is; it is stored already."""
        with self._lock:
            if token != self._token or self._state not in {"opening", "claiming"}:
                return
            self._keep = self._owner = None
            self.wire = self.wire if entry.wire == self.wire.name else find_wire(entry.wire)
            self._tape = Tape(self.wire)
            self.headers = entry.meta.get("headers")
            self._land(entry.body, _decode(entry.body), None if entry.cuts is None else _decode(entry.cuts))
        self._close()

    def broke(self, token: int, error: OstinatoError) -> None:
        """Take the failure of opening: its owner decides what follows, a final error is everybody's."""
        with self._lock:
            if token != self._token or self._state != "opening":
                return
            self._broke(error)
        self._close()

    def aborted(self, token: int) -> None:
        """Take back an `Open` or a `Pull` that was interrupted: somebody else goes on, if anybody is left."""
        with self._lock:
            if token != self._token or self._state not in {"opening", "pulling"}:
                return
            if self._tape.log:
                self._fail(APIConnectionError("the stream broke off: its reader was interrupted"))
            else:
                self.source = None
                self._state = "idle"
                self._attempt = 0
                self._owner = None
                self._moved_on()
        self._close()

    def put_back(self, token: int) -> None:
        """Take back a `Pull` that was not begun: whoever reads first has it."""
        with self._lock:
            if token == self._token and self._state == "pulling":
                self._state = "open"
                self._moved_on()

    def pulled(self, token: int, events: list[bytes]) -> None:
        """Take the events that a pull brought."""
        with self._lock:
            if token != self._token or self._state != "pulling":
                return
            self._state = "open"
            self._take(events)
            self._moved_on()
        self._close()

    def ended(self, token: int, error: OstinatoError | None = None) -> None:
        """Take the end of the stream, by itself or by `error`."""
        with self._lock:
            if token != self._token or self._state != "pulling":
                return
            self._end(error)
        self._close()

    def pause(self, reader: Reader) -> None:
        """Let `reader`, the owner of a broken opening, sleep and open again."""
        with self._lock:
            if self._owner is reader and self._state == "broken":
                self._state = "pausing"

    def give_up(self, reader: Reader) -> OstinatoError:
        """Let `reader`, the owner of a broken opening, go; return the error to raise.

        One other reader tries once more, when the error is one that passes; then the error is everybody's.
        """
        with self._lock:
            error = self._error
            if self._state == "broken" and self._owner is reader:
                if error.retryable and self._hand_overs and self._readers > 1:
                    self._hand_overs -= 1
                    self._state = "idle"
                    self._owner = None
                    self._moved_on()
                else:
                    self._given_up(error)
        self._close()
        return error.copy()

    def depose(self, version: int) -> bool:
        """Take the lead from an opening that has not moved on from `version`. Return whether it was taken."""
        with self._lock:
            if self.version != version or self._state not in {"opening", "pausing", "broken"}:
                return False
            self._state = "idle"
            self._attempt = 0
            self._owner = None
            self._moved_on()
            return True

    def leave(self, reader: Reader) -> None:
        """Take `reader` out. When it was the last, the flight is over: landed if the answer is whole."""
        with self._lock:
            if reader.left:
                return
            reader.left = True
            self._readers -= 1
            if self._state in {"landed", "failed"}:
                return
            if self._readers == 0:
                if not self._land_folded():
                    self._deserted()
            elif self._owner is reader:
                self._owner = None
                self._unpaid = self._state in {"opening", "open", "pulling"}
                if self._state == "pausing":
                    self._state = "broken"
                self._moved_on()
        self._close()

    def hang_up(self) -> None:
        """Close the way upstream of a flight that is over, and end the task at it. Otherwise do nothing."""
        with self._lock:
            if not self.over:
                return
            source, task = self.source, self.task
            self.source = self.task = None  # the error that a task ends with leads back here: a circle
        if source is not None:
            source.close()
        if task is not None and not task.done():
            with suppress(RuntimeError):  # the loop has ended, and the task with it
                task.get_loop().call_soon_threadsafe(task.cancel)

    def paid_by(self, reader: Reader) -> bool:
        """Return whether `reader` opened the way upstream, or took over from who did: who joined pays nothing."""
        return self._owner is reader

    @property
    def over(self) -> bool:
        """Whether the flight has landed or failed."""
        return self._state in {"landed", "failed"}

    @property
    def is_last(self) -> bool:
        """Whether a single reader is left."""
        return self._readers == 1

    # What follows from it. The lock is held.

    def _take(self, events: list[bytes]) -> None:
        """Take events up to the first that ends the stream."""
        try:
            for raw in events:
                if raw == b"[DONE]":
                    self._end()
                    return
                if (error := self._tape.take(raw)) is not None:
                    self._end(error, refused=True)
                    return
        except OstinatoError as error:
            self._fail(error)

    def _end(self, error: OstinatoError | None = None, *, refused: bool = False) -> None:
        if refused or not self._land_folded():
            if self._tape.log:
                self._fail(error or APIConnectionError("the stream ended before the answer was complete"))
            else:
                self._broke(error or APIResponseError("the stream ended before its first event"))

    def _land_folded(self) -> bool:
        """Land with what the events fold to, if that is a whole answer."""
        whole = self._tape.whole
        if whole is not None:
            self._land(_encode(whole[0]), *whole)
        return whole is not None

    def _land(self, body_bytes: bytes, body: Json, cuts: Cuts | None) -> None:
        self.body_bytes, self._body, self.cuts = body_bytes, body, cuts
        self._state = "landed"
        try:
            if self._keep is not None:
                self._keep(body_bytes, body, cuts, self.headers, self.lease)
        finally:
            self._moved_on()

    def _broke(self, error: OstinatoError) -> None:
        self.source = None
        self._stop("broken" if error.retryable else "failed", error)

    def _fail(self, error: OstinatoError) -> None:
        self._stop("failed", error)

    def _stop(self, state: Literal["broken", "failed"], error: OstinatoError) -> None:
        if self.sign is not None and error is not self._error:
            self.sign(error)
        self._error, self._state = error, state
        self._moved_on()

    def _given_up(self, error: OstinatoError) -> None:
        self._fail(error)

    def _deserted(self) -> None:
        """Nobody reads on."""
        self._fail(APIConnectionError("the call was abandoned"))

    def _moved_on(self) -> None:
        self.version += 1
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def _close(self) -> None:
        """Let go of the key when the flight is over. Called without the lock, after every report."""
        if self.over:
            over, self._on_over = self._on_over, None
            if over is not None:
                over(self)
