"""A thousand random schedules of readers that come, pause, leave, are cancelled, and of vendors that fail."""

from __future__ import annotations

import random

import msgspec
import pytest

from ostinato import Cache
from ostinato.caching.flight import Flight
from ostinato.caching.flow import LookUp, Sleep
from ostinato.caching.moves import Events, Open, Pull, Wait
from ostinato.caching.record import Entry
from ostinato.errors import APIConnectionError, BadRequestError, OstinatoError, ServiceUnavailableError
from tests.caching.rider import Rider, chunk

SCHEDULES = 1000
MOST_STEPS = 2000


class Source:
    """One answer of the vendor: numbered, in pieces, whole or cut."""

    home = None

    def __init__(self, number: int, dice: random.Random, *, number_said: bool = True) -> None:
        pieces = [f"{number if number_said else 'n'}.{index} " for index in range(dice.randint(1, 5))]
        self.events = [*(chunk(piece) for piece in pieces), chunk(finish="stop"), b"[DONE]"]
        self.text = "".join(pieces)
        self.at = 0
        self.cut = dice.random() < 0.15
        if self.cut:
            del self.events[dice.randrange(len(self.events) - 2) + 1 :]

    def close(self) -> None:
        """Nothing is open."""

    def pull(self, count: int = 1) -> list[bytes] | None:
        events = self.events[self.at : self.at + count]
        self.at += len(events)
        return events or None


class Schedule:
    """One run: some readers, one vendor, and chance."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.cache = Cache.memory()
        self.sources: list[Source] = []
        self.riders: list[Rider] = []
        self.read: dict[int, list[bytes]] = {}
        self.left: set[int] = set()
        self.failures = self.dice.choice([0.0, 0.1, 0.4])

    def join(self) -> None:
        rider = Rider(self.cache, streams=self.dice.random() < 0.6, retries=self.dice.choice([0, 0, 2]))
        self.read[id(rider)] = []
        self.riders.append(rider)

    def going(self) -> list[Rider]:
        return [rider for rider in self.riders if rider.step is not None and id(rider) not in self.left]

    def can_move(self, rider: Rider) -> bool:
        return (
            not isinstance(rider.step, Wait) or rider.flight.call_when_moved(lambda: None, rider.step.version) is False
        )

    def leave(self, rider: Rider) -> None:
        if isinstance(rider.step, (Open, Pull)):
            rider.flight.aborted(rider.step.token)
        rider.ride.leave()
        self.left.add(id(rider))

    def move(self, rider: Rider) -> None:
        match rider.step:
            case LookUp(again):
                assert rider.ride.seat is not None
                rider.answer(rider.ride.seat.recall(again=again))
            case Open(token):
                self.open(rider, token)
            case Pull(source, token):
                self.pull(rider, source, token)
            case Wait():
                rider.answer("moved")
            case Sleep():
                rider.answer(None)
            case Events():
                self.read[id(rider)] += rider.reads()

    def open(self, rider: Rider, token: int) -> None:
        flight = rider.flight
        if self.dice.random() < self.failures:
            errors = [ServiceUnavailableError("busy"), APIConnectionError("gone"), BadRequestError("no")]
            flight.broke(token, self.dice.choice(errors))
        else:
            source = Source(len(self.sources), self.dice)
            self.sources.append(source)
            assert flight.opened(token, source)
        rider.answer(None)

    def pull(self, rider: Rider, source: Source, token: int) -> None:
        events = source.pull(self.dice.randint(1, 3))
        if events:
            rider.flight.pulled(token, events)
        else:
            rider.flight.ended(token, APIConnectionError("cut") if self.dice.random() < 0.5 else None)
        rider.answer(None)

    def run(self) -> None:
        for _ in range(self.dice.randint(1, 3)):
            self.join()
        for _ in range(MOST_STEPS):
            if self.dice.random() < 0.15 and len(self.riders) < 8:
                self.join()
            going = self.going()
            if not going:
                return
            movable = [rider for rider in going if self.can_move(rider)]
            assert movable, f"{len(going)} readers wait for each other"
            rider = self.dice.choice(movable)
            if self.dice.random() < 0.06:
                self.leave(rider)
            else:
                self.move(rider)
                if rider.step is None:
                    rider.ride.leave()
        raise AssertionError("it goes on for ever")

    # What must hold.

    def check(self) -> None:
        texts = {source.text for source in self.sources if not source.cut}
        for rider in self.riders:
            if rider.result is not None:
                answer = rider.result
                assert isinstance(answer, (Entry, Flight))
                body = msgspec.json.decode(answer.body) if isinstance(answer, Entry) else answer.body()
                assert body["choices"][0]["message"]["content"] in texts
            self.check_read(rider)
            if id(rider) not in self.left:
                assert (rider.result is None) is (rider.error is not None)
        assert len(self.cache.flights) == 0
        key = b"t" * 8 + b"k" * 32
        stored = self.cache.shelf.recall(key, "chat")
        if stored is not None:
            assert msgspec.json.decode(stored.body)["choices"][0]["message"]["content"] in texts

    def check_read(self, rider: Rider) -> None:
        """What one reader read is the beginning of one answer, and all of it when it was told it was whole."""
        read = self.read[id(rider)]
        answers = [[event for event in source.events if event != b"[DONE]"] for source in self.sources]
        assert any(read == events[: len(read)] for events in [*answers, []])
        if isinstance(rider.result, Flight) and rider.streams:
            assert any(read == events for events in answers)


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, SCHEDULES, 100)], ids=str)
def test_no_schedule_hangs_mixes_or_stores_what_is_not_whole(seeds: range) -> None:
    for seed in seeds:
        schedule = Schedule(seed)
        schedule.run()
        schedule.check()


def test_schedules_reach_every_fate() -> None:
    fates: set[str] = set()
    for seed in range(300):
        schedule = Schedule(seed)
        schedule.run()
        fates |= {type(rider.error or rider.result).__name__ for rider in schedule.riders}
        fates |= {"left"} if schedule.left else set()
        fates |= {"several calls"} if len(schedule.sources) > 1 else set()

    assert fates >= {"Flight", "Entry", "APIConnectionError", "BadRequestError", "ServiceUnavailableError", "left"}


def test_no_second_call_while_one_is_healthy() -> None:
    for seed in range(300):
        schedule = Schedule(seed)
        schedule.failures = 0.0
        healthy: list[OstinatoError] = []
        schedule.run()
        whole = [source for source in schedule.sources if not source.cut and source.at == len(source.events)]

        assert len(whole) <= 1, healthy
