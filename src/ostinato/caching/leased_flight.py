"""A flight of which one process leads and the others follow, by a lease in the store that they share.

                 ┌──────────────── leader gone ────────────────┐
                 ▼                                              │
    unclaimed ──Claim──▶ claiming ──somebody else leads──▶ following ──end──▶ landed │ failed
                            ├──lead──▶ idle ──Open──▶ …         └──store gone──▶ idle, each process for itself
                            └──entry─▶ landed

A new leader's answer begins a new tape. A reader that has passed on some of the old one goes on only if the
new one begins with the same events; any other starts over with it and notices nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ostinato.caching import frames
from ostinato.caching.flight import Flight
from ostinato.caching.moves import Claim, Failed, HomeLostError, Move, Pull, Reader, Wait
from ostinato.caching.stores.leases import End, Lead
from ostinato.caching.tape import Tape
from ostinato.errors import APIConnectionError, OstinatoError

if TYPE_CHECKING:
    from ostinato.caching.moves import Keep
    from ostinato.wire.contract import Cuts, Json, Wire

_decode = msgspec.json.Decoder().decode


class Told(msgspec.Struct, frozen=True):
    """What a leading flight has to tell those who follow it."""

    frames: list[bytes]
    end: End | None
    version: int
    unread: bool
    """Whether the next piece is there to be pulled, and nobody does."""


class LeasedFlight(Flight):
    """One process's part of a flight that others may lead or follow."""

    def __init__(self, wire: Wire, *, on_over: Callable[[Flight], None] | None = None) -> None:
        super().__init__(wire, shared=True, on_over=on_over)
        self._state = "unclaimed"
        self.on_moved: Callable[[], object] | None = None
        """Called when there may be something to tell; the lock is held."""
        self.has_followed = False
        """Whether it has followed a leader, who may be gone by now."""
        self._passes = self._interrupted = False
        self._fenced = False
        self._waited_out = -1

    def _otherwise(self, reader: Reader) -> Move:
        if self._state != "unclaimed":
            return Wait(self.version)
        self._owner = reader
        self._state = "claiming"
        self._token += 1
        return Claim(self._token)

    def _unread(self, reader: Reader) -> Move | None:
        if reader.tape is not self._tape:
            if reader.passed_on:
                came = self._tape.log[: reader.position]
                short = len(came) < reader.position
                if came != reader.tape.log[: len(came)] or (short and self._state == "landed"):
                    return Failed(
                        APIConnectionError("the stream broke off: its leader was lost, and another answer began")
                    )
                if short:
                    return None
            else:
                reader.position = 0
            reader.tape = self._tape
        return super()._unread(reader)

    # What came of a claim.

    def leads(self, token: int, lease: Lead | None) -> bool:
        """Take the lead; without a lease where the store is failing. Return False when it is not wanted any more."""
        with self._lock:
            if token != self._token or self._state != "claiming":
                return False
            self.lease = lease
            if lease is not None and lease.last:
                self._hand_overs = 0
            self._begin_anew()
            self._moved_on()
            return True

    def follows(self, token: int) -> bool:
        """Follow another process. Return False when that is not wanted any more."""
        with self._lock:
            if token != self._token or self._state != "claiming":
                return False
            self._begin_anew()
            self._state = "following"
            self.has_followed = True
            return True

    def _begin_anew(self) -> None:
        self._state = "idle"
        self._attempt = 0
        self._owner = None
        if self._tape.log:
            self._tape = Tape(self.wire)

    def aborted(self, token: int) -> None:
        with self._lock:
            if token == self._token:
                self._interrupted = self._state == "pulling"
                if self._state == "claiming":
                    self._unclaim()
        super().aborted(token)

    def ended(self, token: int, error: OstinatoError | None = None) -> None:
        if isinstance(error, HomeLostError):
            self.aborted(token)
        else:
            super().ended(token, error)

    def depose(self, version: int) -> bool:
        with self._lock:
            if self._state == "claiming":
                self._unclaim()
                return True
            if self._state == "following":
                # The leader's process hands over by itself when nothing comes; this is for when not even that came.
                if self._waited_out == self.version == version:
                    self._begin_anew()
                    self._moved_on()
                self._waited_out = version
                return True
        return super().depose(version)

    def _unclaim(self) -> None:
        self._state = "unclaimed"
        self._owner = None
        self._moved_on()

    # What is heard of the leader.

    def told(self, token: int, told: list[bytes]) -> None:
        """Take the frames that the leader told."""
        with self._lock:
            for frame in told:
                if not self.is_following(token):
                    break
                try:
                    self._hear(frame)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    self._begin_anew()
            if told:
                self._moved_on()
        self._close()

    def _hear(self, frame: bytes) -> None:
        match frame[:1]:
            case frames.EVENT:
                self._take([frame[1:]])
            case frames.DONE:
                self._end()
            case frames.WHOLE:
                whole = frames.whole_in(frame)
                self.headers = whole.headers
                self._land(whole.body, _decode(whole.body), None)
            case frames.FAILED:
                self._fail(frames.error_in(frame))
            case _:
                self._begin_anew()

    def is_following(self, token: int) -> bool:
        """Return whether this flight still follows the leader that it took under `token`."""
        return self._state == "following" and token == self._token

    def orphaned(self, token: int) -> None:
        """The leader is gone: somebody claims again."""
        with self._lock:
            if self.is_following(token):
                self._unclaim()

    def cut_off(self, token: int) -> None:
        """The store is gone, and with it the leader: this process asks for itself."""
        with self._lock:
            if self.is_following(token):
                self._begin_anew()
                self._moved_on()

    def _land(self, body_bytes: bytes, body: Json, cuts: Cuts | None) -> None:
        if self._state == "following":
            self._keep = None  # the leader stores it
        super()._land(body_bytes, body, cuts)

    # What the leader tells.

    def since(self, position: int) -> Told:
        """Return what followers were not told yet, `position` events were, and how it ended, if it has."""
        with self._lock:
            told = [frames.EVENT + raw for raw in self._tape.log[position:]]
            end: End | None = None
            match self._state:
                case "landed":
                    told.append(frames.DONE if self._tape.log else frames.whole_frame(self.body_bytes, self.headers))
                    end = "landed"
                case "failed" if self._interrupted and not self.has_followed:
                    # Nobody reads on here, and one who follows may ask again; but not one after another.
                    end = "dropped"
                case "failed" if self._passes:
                    end = "broken"
                case "failed":
                    told.append(frames.failed_frame(self._error))
                    end = "failed"
                case "opening" | "open" | "pulling" if not self._readers:
                    end = "released"
                case _ if not self._readers:
                    end = "dropped"
            return Told(told, end, self.version, self._state == "open")

    def let_go(self, *, fenced: bool) -> None:
        """Go on without the lease. When it was `fenced`, another has it, and nothing may be stored."""
        with self._lock:
            self.lease = None
            self.on_moved = None
            if fenced:
                self._fenced = True
                self._keep = None
            if not self._readers and not self.over:
                self._fail(APIConnectionError("the call was abandoned"))
        self._close()
        self.hang_up()

    def pull_unread(self) -> Pull | None:
        """Return what is to be pulled for those who follow, when nobody here does."""
        with self._lock:
            if self._state != "open":
                return None
            self._state = "pulling"
            return Pull(self.source, self._token)

    def keep_with(self, keep: Keep | None) -> None:
        if not self._fenced:
            super().keep_with(keep)

    def _given_up(self, error: OstinatoError) -> None:
        self._passes = error.retryable and self._hand_overs > 0
        super()._given_up(error)

    def _deserted(self) -> None:
        if self.lease is None:
            super()._deserted()
        else:
            self._moved_on()  # somebody elsewhere may follow

    def _moved_on(self) -> None:
        super()._moved_on()
        if self.on_moved is not None:
            self.on_moved()
