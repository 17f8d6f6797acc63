"""The state machine between processes, as a table: who leads, who follows, who pays."""

from __future__ import annotations

import pytest

from ostinato import APIConnectionError
from ostinato.caching.flow import LookUp
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.moves import Claim, Open, Pull, Wait
from ostinato.caching.record import Entry
from tests.caching.processes import ANSWER, Machine, Process, leading_and_following, stored
from tests.caching.rider import BODY, KEY, Rider


def test_a_lone_miss_looks_up_claims_and_opens() -> None:
    rider = Rider(Machine(1).processes[0].cache)
    steps = [type(rider.step)]
    rider.settle_look_ups()
    steps.append(type(rider.step))
    rider.claims()

    assert [*steps, type(rider.step)] == [LookUp, Claim, Open]


def test_a_hit_claims_nothing() -> None:
    machine, leader, _ = leading_and_following(0)
    leader.lands()
    machine.news_goes_round()
    claims = machine.store.leases.claims
    hit = machine.processes[0].calls()

    assert isinstance(hit.result, Entry)
    assert machine.store.leases.claims == claims


@pytest.mark.parametrize("mode", ["record", "default_off"])
def test_a_cache_that_does_not_look_up_claims_nothing(mode: str) -> None:
    rider = Machine(1, mode=mode).processes[0].calls()

    assert isinstance(rider.step, Open)


def test_replay_claims_nothing() -> None:
    rider = Machine(1, mode="replay").processes[0].calls()

    assert rider.error is not None


def test_the_first_leads_and_the_others_wait() -> None:
    machine, leader, followers = leading_and_following(2)

    assert isinstance(leader.step, Open)
    assert all(isinstance(rider.step, Wait) for rider in followers)
    assert [process.cache.counters.joins for process in machine.processes] == [0, 1, 1]


def test_calls_of_one_process_share_its_claim() -> None:
    machine = Machine(1)
    founder, joiner = machine.processes[0].calls(), machine.processes[0].calls()
    founder.claims()

    assert isinstance(joiner.step, Wait)
    assert machine.store.leases.claims == 1


def test_another_call_of_the_process_opens_when_the_one_that_claimed_leaves_before() -> None:
    machine = Machine(1)
    founder, joiner = machine.processes[0].calls(), machine.processes[0].calls()
    seat, step, flight = founder.ride.seat, founder.step, founder.flight
    assert seat is not None
    assert isinstance(step, Claim)
    assert isinstance(flight, LeasedFlight)
    assert isinstance(joiner.step, Wait)
    before = joiner.step.version
    seat.settle(flight, step.token, seat.claim(anew=False, again=False))
    founder.ride.leave()
    woken = not flight.call_when_moved(lambda: None, before)
    joiner.moves()

    assert woken
    assert isinstance(joiner.step, Open)


def test_everybody_gets_every_event_and_the_leader_alone_pays_and_stores() -> None:
    machine, leader, [follower] = leading_and_following(streams=True)
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    follower.moves()
    first = follower.reads()
    leader.reads()
    leader.pulls(*ANSWER[1:], b"[DONE]")
    machine.news_goes_round()
    follower.moves()
    read = first + follower.reads()

    assert read == ANSWER
    assert isinstance(follower.result, LeasedFlight)
    assert (leader.ride.paid, follower.ride.paid) == (True, False)
    assert stored(machine) == "ab"
    assert [process.cache.counters.stored for process in machine.processes] == [1, 0]


def test_who_comes_late_gets_what_has_come() -> None:
    machine, leader, _ = leading_and_following(0, streams=True)
    leader.opens()
    leader.pulls(*ANSWER[:2])
    machine.news_goes_round()
    process = Process(machine.store, machine.clock)
    late = process.claims(streams=True)
    process.hears()
    late.moves()

    assert late.reads() == ANSWER[:2]


def test_an_answer_in_one_piece_reaches_the_others_whole() -> None:
    machine, leader, [follower] = leading_and_following()
    leader.lands()
    machine.news_goes_round()
    follower.moves()

    assert follower.result.body() == BODY
    assert not follower.ride.paid
    assert stored(machine) == "hi"


def test_an_answer_that_landed_is_found_before_it_is_stored() -> None:
    machine, leader, _ = leading_and_following(0)
    leader.lands()
    hit = machine.processes[0].calls()

    assert isinstance(hit.result, Entry)
    assert machine.store.get(KEY) is None


def test_a_claim_that_finds_an_entry_answers_all_calls_of_the_process() -> None:
    machine = Machine(2)
    early, joiner = machine.processes[1].calls(), machine.processes[1].calls()
    machine.processes[0].claims().lands()
    machine.news_goes_round()
    early.claims()
    joiner.moves()

    assert isinstance(early.result, Entry)
    assert joiner.result.body() == BODY


def test_a_live_stream_is_sealed_where_entries_are() -> None:
    machine = Machine(2, encryption_key="k" * 32)
    leader, follower = (process.claims(streams=True) for process in machine.processes)
    leader.opens()
    leader.pulls(*ANSWER[:2])
    machine.news_goes_round()
    leader.reads()
    told = list(machine.store.leases._standings[KEY].frames)
    leader.pulls(ANSWER[2], b"[DONE]")
    machine.time_passes(0.1)
    machine.news_goes_round()
    follower.moves()

    assert len(told) == 2
    assert not any(b"delta" in frame for frame in told)
    assert follower.reads() == ANSWER
    assert stored(machine) == "ab"


def test_a_sealed_stream_whose_frames_were_moved_is_not_read() -> None:
    machine = Machine(2, encryption_key="k" * 32)
    leader, follower = (process.claims() for process in machine.processes)
    leader.ride.streams = True
    leader.opens()
    leader.pulls(*ANSWER[:2])
    machine.processes[0].tells()
    machine.store.leases._standings[KEY].frames.reverse()
    machine.processes[1].hears()
    follower.moves()

    assert isinstance(follower.step, Open)


def test_a_leader_that_is_interrupted_hands_over_and_its_heir_does_not() -> None:
    machine, leader, [heir, other] = leading_and_following(2)
    callers = [leader, heir]
    for number, rider in enumerate(callers):
        rider.ride.streams = True
        rider.opens()
        rider.pulls(ANSWER[0])
        rider.reads()
        assert isinstance(rider.step, Pull)
        rider.flight.aborted(rider.step.token)
        machine.news_goes_round()
        other.moves()
        if number == 0:
            heir.moves()
            heir.claims()
            other.claims()

    assert isinstance(other.error, APIConnectionError)
