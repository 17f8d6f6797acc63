"""A thousand random schedules of processes that share a store: they lead, follow, freeze, die, and lose the store."""

from __future__ import annotations

import random

import msgspec
import pytest

from ostinato.caching.flight import Flight
from ostinato.caching.flow import LookUp, Sleep
from ostinato.caching.moves import Claim, Events, Open, Pull, Wait
from ostinato.caching.record import Entry
from ostinato.errors import APIConnectionError, BadRequestError, ServiceUnavailableError
from ostinato.testing.clock import ManualClock
from tests.caching.processes import Process
from tests.caching.rider import KEY, Rider
from tests.caching.shared_store import SharedStore
from tests.caching.test_schedules import Source

SCHEDULES = 1000
MOST_STEPS = 4000


class Life:
    """One process, its calls, and whether it lives."""

    def __init__(self, store: SharedStore, clock: ManualClock) -> None:
        self.process = Process(store, clock)
        self.riders: list[Rider] = []
        self.frozen = False
        self.dead = False

    @property
    def runs(self) -> bool:
        return not self.frozen and not self.dead


class Schedule:
    """One run: some processes, one vendor, one store, and chance."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = ManualClock()
        self.store = SharedStore(clock=self.clock)
        self.lives = [Life(self.store, self.clock) for _ in range(self.dice.randint(2, 4))]
        self.sources: list[Source] = []
        self.read: dict[int, list[bytes]] = {}
        self.left: set[int] = set()
        self.failures = self.dice.choice([0.0, 0.0, 0.1, 0.4])
        self.trouble = self.dice.choice([0.0, 0.02, 0.06])
        """The chance of a death, a freeze or an outage a step."""
        self.incidents = 0
        self.same = self.dice.random() < 0.3
        """Whether the vendor answers the same question with the same words."""

    def join(self, life: Life) -> None:
        rider = Rider(life.process.cache, streams=self.dice.random() < 0.7, retries=self.dice.choice([0, 0, 1]))
        self.read[id(rider)] = []
        life.riders.append(rider)

    def going(self, life: Life) -> list[Rider]:
        return [rider for rider in life.riders if rider.step is not None and id(rider) not in self.left]

    def can_move(self, rider: Rider) -> bool:
        return not isinstance(rider.step, Wait) or not rider.flight.call_when_moved(lambda: None, rider.step.version)

    def leave(self, rider: Rider) -> None:
        if isinstance(rider.step, (Open, Pull, Claim)):
            rider.flight.aborted(rider.step.token)
        rider.ride.leave()
        self.left.add(id(rider))

    def move(self, rider: Rider) -> None:
        match rider.step:
            case LookUp(again):
                assert rider.ride.seat is not None
                rider.answer(rider.ride.seat.recall(again=again))
            case Claim():
                rider.claims()
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
        if self.dice.random() < self.failures:
            errors = [ServiceUnavailableError("busy"), APIConnectionError("gone"), BadRequestError("no")]
            rider.flight.broke(token, self.dice.choice(errors))
        else:
            source = Source(len(self.sources), random.Random(7) if self.same else self.dice, number_said=not self.same)
            self.sources.append(source)
            if not rider.flight.opened(token, source):
                source.close()
        rider.answer(None)

    def pull(self, rider: Rider, source: Source, token: int) -> None:
        events = source.pull(self.dice.randint(1, 3))
        if events:
            rider.flight.pulled(token, events)
        else:
            rider.flight.ended(token, APIConnectionError("cut") if self.dice.random() < 0.5 else None)
        rider.answer(None)

    def happen(self) -> None:
        """Let something go wrong."""
        self.incidents += 1
        life = self.dice.choice(self.lives)
        match self.dice.randrange(5):
            case 0 if sum(not other.dead for other in self.lives) > 1:
                life.dead = True
            case 1:
                life.frozen = True
                self.clock.advance(self.dice.choice([1, 6, 20]))
            case 2:
                self.store.leases.down = not self.store.leases.down
            case 3:
                self.store.leases.lost = not self.store.leases.lost
            case _:
                self.clock.advance(self.dice.choice([1, 6]))

    def step(self) -> bool:
        """Let one thing happen. Return whether anybody still waits for an answer."""
        if self.dice.random() < self.trouble:
            self.happen()
        for life in self.lives:
            life.frozen = life.frozen and self.dice.random() < 0.9
        life = self.dice.choice(self.lives)
        if life.runs:
            movable = [rider for rider in self.going(life) if self.can_move(rider)]
            what = self.dice.random()
            if movable and what < 0.6:
                rider = self.dice.choice(movable)
                if self.dice.random() < 0.03:
                    self.leave(rider)
                else:
                    self.move(rider)
                    if rider.step is None:
                        rider.ride.leave()
            elif what < 0.8:
                life.process.tells()
                if life.process.fed:
                    life.process.fed.pop()()
            else:
                life.process.hears()
        self.clock.advance(0.05)
        return any(self.going(life) for life in self.lives if not life.dead)

    def run(self) -> None:
        for life in self.lives:
            for _ in range(self.dice.randint(1, 3)):
                self.join(life)
        for _ in range(MOST_STEPS):
            if not self.step():
                break
        else:
            raise AssertionError("somebody waits for ever")
        self.trouble = 0.0
        self.store.leases.down = self.store.leases.lost = False
        for _ in range(100):
            for life in self.lives:
                if not life.dead:
                    life.process.tells()
                    while life.process.fed:
                        life.process.fed.pop()()
                    life.process.hears()
            self.clock.advance(0.5)

    # What must hold.

    def check(self) -> None:
        texts = {source.text for source in self.sources if not source.cut}
        for life in self.lives:
            if life.dead:
                continue
            for rider in life.riders:
                self.check_answer(rider, texts)
            assert len(life.process.cache.flights) == 0
            assert not life.process.abroad.landing
            assert not life.process.abroad.courier._loads
        entry = self.lives[0].process.cache.shelf.recall(KEY, "chat")
        if entry is not None:
            assert msgspec.json.decode(entry.body)["choices"][0]["message"]["content"] in texts

    def check_answer(self, rider: Rider, texts: set[str]) -> None:
        if rider.result is not None:
            answer = rider.result
            assert isinstance(answer, (Entry, Flight))
            body = msgspec.json.decode(answer.body) if isinstance(answer, Entry) else answer.body()
            assert body["choices"][0]["message"]["content"] in texts
        read = self.read[id(rider)]
        answers = [[event for event in source.events if event != b"[DONE]"] for source in self.sources]
        assert any(read == events[: len(read)] for events in [*answers, []])
        if isinstance(rider.result, Flight) and rider.streams and rider.result.streamed:
            assert any(read == events for events in answers)
        if id(rider) not in self.left:
            assert (rider.result is None) is (rider.error is not None)


@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(0, SCHEDULES, 100)], ids=str)
def test_no_schedule_of_processes_hangs_mixes_or_stores_what_is_not_whole(seeds: range) -> None:
    for seed in seeds:
        schedule = Schedule(seed)
        try:
            schedule.run()
            schedule.check()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_schedules_reach_every_fate() -> None:
    fates: set[str] = set()
    for seed in range(300):
        schedule = Schedule(seed)
        schedule.run()
        for life in schedule.lives:
            fates |= {type(rider.error or rider.result).__name__ for rider in life.riders}
            fates |= {"died"} if life.dead else set()
            fates |= {"joined"} if life.process.cache.counters.joins else set()
            fates |= {str(rider.error) for rider in life.riders if rider.error is not None}
        fates |= {"several calls"} if len(schedule.sources) > 1 else set()

    lost = "the stream broke off: its leader was lost, and another answer began"
    assert fates >= {"LeasedFlight", "Entry", "BadRequestError", "died", "joined", "several calls", lost}


def test_while_nothing_goes_wrong_one_call_goes_out() -> None:
    for seed in range(300):
        schedule = Schedule(seed)
        schedule.failures = schedule.trouble = 0.0
        schedule.run()
        whole = [source for source in schedule.sources if not source.cut and source.at == len(source.events)]
        readers_left = bool(schedule.left)

        assert len(whole) <= 1 or readers_left, f"seed {seed}"
