"""The state machine between processes when something fails: a leader, the vendor, the store."""

from __future__ import annotations

import pytest

from ostinato import APIConnectionError, AuthenticationError, ServiceUnavailableError
from ostinato.caching.leased_flight import LeasedFlight
from ostinato.caching.moves import Claim, Events, Open, Pull, Wait
from ostinato.caching.stores.leases import Lead
from tests.caching.processes import ANSWER, OTHER, STALL_S, Machine, Process, leading_and_following, stored
from tests.caching.rider import BODY, KEY, Rider, chunk


def test_one_follower_takes_over_from_a_dead_leader() -> None:
    machine, _, followers = leading_and_following(2)
    machine.time_passes(6)
    for process in machine.processes[1:]:
        process.hears()
    for rider in followers:
        rider.moves()
        rider.claims()

    assert sorted(type(rider.step).__name__ for rider in followers) == ["Open", "Wait"]


def test_a_leader_that_is_only_slow_is_not_taken_for_dead() -> None:
    machine, _, [follower] = leading_and_following()
    for _ in range(20):
        machine.time_passes(1)
        machine.news_goes_round()

    follower.moves()
    assert isinstance(follower.step, Wait)


def test_a_leader_of_which_nothing_comes_loses_its_lease() -> None:
    machine, _, [follower] = leading_and_following()
    for _ in range(int(STALL_S) + 6):
        machine.time_passes(1)
        machine.news_goes_round()
    follower.moves()

    assert isinstance(follower.step, Claim)


def dead_in_the_middle(new: list[bytes], *, streams: bool = True) -> tuple[Machine, Rider, Rider]:
    """Return a leader that died after its first event, and a follower that takes over and gets `new` events."""
    machine, leader, [follower] = leading_and_following(streams=streams)
    leader.ride.streams = True
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    follower.moves()
    if streams:
        follower.reads()
    machine.time_passes(6)
    machine.processes[1].hears()
    follower.moves()
    follower.claims()
    follower.ride.streams = True
    follower.opens()
    follower.pulls(*new, b"[DONE]")
    return machine, leader, follower


def test_a_reader_that_passed_some_on_goes_on_where_the_new_answer_begins_the_same() -> None:
    machine, _, follower = dead_in_the_middle(ANSWER)
    rest = follower.reads()
    machine.processes[1].tells()

    assert rest == ANSWER[1:]
    assert isinstance(follower.result, LeasedFlight)
    assert stored(machine) == "ab"


def test_a_reader_that_passed_some_on_fails_where_the_new_answer_begins_otherwise() -> None:
    machine, _, follower = dead_in_the_middle(OTHER)
    machine.processes[1].tells()

    assert isinstance(follower.error, APIConnectionError)
    assert "its leader was lost" in str(follower.error)
    assert stored(machine) == "AB"


def test_a_reader_that_passed_nothing_on_gets_the_new_answer_whole() -> None:
    _, _, follower = dead_in_the_middle(OTHER, streams=False)
    while isinstance(follower.step, Events):
        follower.reads()

    assert follower.result.body()["choices"][0]["message"]["content"] == "AB"


def test_an_heir_whose_readers_cannot_use_its_answer_keeps_it_for_those_who_notice_later() -> None:
    machine, leader, [heir, late] = leading_and_following(2, streams=True)
    late.ride.streams = False
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    for rider in (heir, late):
        rider.moves()
    heir.reads()
    machine.time_passes(6)
    machine.processes[1].hears()
    heir.moves()
    heir.claims()
    heir.opens()
    heir.pulls(OTHER[0])
    heir.ride.leave()
    machine.processes[1].tells()
    heir.way.events = [[*OTHER[1:], b"[DONE]"]]
    machine.processes[2].hears()
    late.moves()
    late.claims()
    for _ in range(3):
        machine.time_passes(0.1)
        machine.processes[1].tells()
    [pull_on] = machine.processes[1].fed
    pull_on()
    machine.news_goes_round()
    late.moves()

    assert heir.error is not None
    assert late.result.body()["choices"][0]["message"]["content"] == "AB"
    assert not late.ride.paid


def test_a_reader_that_passed_some_on_fails_where_an_entry_answers_instead() -> None:
    machine, leader, [follower] = leading_and_following(streams=True)
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    follower.moves()
    follower.reads()
    machine.time_passes(6)
    machine.processes[1].hears()
    third = Process(machine.store, machine.clock)
    third.claims().lands()
    third.tells()
    follower.moves()
    follower.claims()

    assert isinstance(follower.error, APIConnectionError)


def test_a_frozen_leader_that_wakes_tells_and_stores_nothing_and_answers_its_own_reader() -> None:
    machine, frozen, follower = dead_in_the_middle(OTHER)
    machine.processes[1].tells()
    frozen.reads()
    frozen.pulls(*ANSWER[1:], b"[DONE]")
    rest = frozen.reads()
    machine.processes[0].tells()

    assert rest == ANSWER[1:]
    assert isinstance(frozen.result, LeasedFlight)
    assert follower.error is not None
    assert stored(machine) == "AB"
    assert machine.processes[0].cache.counters.stored == 0


def test_a_leader_that_learns_of_its_successor_stores_nothing_for_anybody() -> None:
    machine, frozen, _ = dead_in_the_middle(OTHER)
    machine.processes[0].tells()
    joiner = machine.processes[0].calls(streams=True)
    told_no_more = not machine.processes[0].abroad.courier._loads
    frozen.reads()
    frozen.pulls(*ANSWER[1:], b"[DONE]")
    read = joiner.reads() + joiner.reads()

    assert told_no_more
    assert read == ANSWER
    assert isinstance(joiner.result, LeasedFlight)
    assert machine.store.get(KEY) is None


def test_a_frozen_leader_that_wakes_in_time_goes_on() -> None:
    machine, leader, [follower] = leading_and_following(streams=True)
    leader.opens()
    machine.time_passes(60)  # for everybody: a lid was closed
    leader.pulls(*ANSWER, b"[DONE]")
    machine.news_goes_round()
    follower.moves()

    assert follower.reads() == ANSWER
    assert stored(machine) == "ab"


def test_a_leader_that_nobody_follows_leaves_and_the_next_leads() -> None:
    machine, leader, _ = leading_and_following(0, streams=True)
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    machine.news_goes_round()
    leader.reads()
    leader.ride.leave()
    machine.news_goes_round()

    assert leader.way.closed
    assert isinstance(machine.processes[0].claims().step, Open)


def test_a_leader_that_leaves_before_it_opened_gives_its_lease_back() -> None:
    machine, leader, [follower] = leading_and_following()
    assert isinstance(leader.step, Open)
    leader.flight.aborted(leader.step.token)
    leader.ride.leave()
    machine.news_goes_round()
    follower.moves()
    follower.claims()

    assert isinstance(follower.step, Open)


def test_a_leader_that_leaves_in_the_middle_is_kept_while_somebody_follows() -> None:
    machine, leader, [follower] = leading_and_following(streams=True)
    leader.opens()
    leader.pulls(ANSWER[0])
    machine.news_goes_round()
    leader.reads()
    pull = leader.step
    assert isinstance(pull, Pull)
    leader.ride.leave()
    machine.news_goes_round()
    kept = not leader.way.closed
    leader.flight.pulled(pull.token, [ANSWER[1]])
    leader.way.events = [[ANSWER[2], b"[DONE]"]]
    for _ in range(3):
        machine.time_passes(0.1)
        machine.news_goes_round()
    [pull_on] = machine.processes[0].fed
    pull_on()
    machine.news_goes_round()
    follower.moves()

    assert kept
    assert follower.reads() == ANSWER
    assert stored(machine) == "ab"


def test_a_final_error_is_everybodys_without_its_secrets() -> None:
    machine, leader, [follower] = leading_and_following()
    leader.flight.sign = lambda error: setattr(error, "args", ("wrong key ***",))
    leader.breaks(AuthenticationError("wrong key sk-secret", request_id="r1", provider="openai"))
    machine.news_goes_round()
    follower.moves()

    assert isinstance(follower.error, AuthenticationError)
    assert (follower.error.request_id, follower.error.provider) == ("r1", "openai")
    assert (str(follower.error), follower.error.status_code) == ("wrong key ***", 401)
    assert isinstance(machine.processes[0].claims().step, Open)


def test_after_an_error_that_passes_one_follower_tries_once() -> None:
    machine, leader, followers = leading_and_following(2)
    leader.breaks(ServiceUnavailableError("busy"))
    machine.news_goes_round()
    for rider in followers:
        rider.moves()
        rider.claims()
    heir = next(rider for rider in followers if isinstance(rider.step, Open))
    other = next(rider for rider in followers if rider is not heir)
    heir.breaks(ServiceUnavailableError("busy still"))
    machine.news_goes_round()
    other.moves()

    assert isinstance(leader.error, ServiceUnavailableError)
    assert str(heir.error) == "busy still"
    assert str(other.error) == "busy still"


def test_the_hand_over_within_a_process_is_the_only_one() -> None:
    machine, leader, [follower] = leading_and_following()
    neighbour = machine.processes[0].calls()
    leader.breaks(ServiceUnavailableError("busy"))
    neighbour.moves()
    neighbour.breaks(ServiceUnavailableError("busy still"))
    machine.news_goes_round()
    follower.moves()

    assert str(follower.error) == "busy still"


def test_a_stream_that_breaks_off_breaks_off_for_all() -> None:
    machine, leader, [follower] = leading_and_following(streams=True)
    leader.opens()
    leader.pulls(ANSWER[0])
    leader.reads()
    leader.ends(APIConnectionError("cut"))
    machine.news_goes_round()
    follower.moves()
    follower.reads()

    assert str(follower.error) == "cut"
    assert stored(machine) is None


def test_while_the_store_is_down_each_asks_for_itself() -> None:
    machine = Machine(2)
    machine.store.leases.down = True
    riders = [process.claims() for process in machine.processes]
    for rider in riders:
        rider.lands()

    assert [rider.result.body() for rider in riders] == [BODY, BODY]
    assert [process.cache.counters.store_errors for process in machine.processes] == [1, 1]


@pytest.mark.parametrize("how", ["down", "lost"])
def test_a_store_that_goes_down_in_mid_flight_leaves_each_to_itself(how: str) -> None:
    machine, leader, [follower] = leading_and_following()
    setattr(machine.store.leases, how, True)
    leader.lands()
    machine.news_goes_round()
    machine.time_passes(6)
    machine.news_goes_round()
    follower.moves()
    follower.lands()

    assert leader.result.body() == BODY
    assert follower.result.body() == BODY
    assert machine.processes[0].cache.counters.store_errors > 0


@pytest.mark.parametrize("how", ["down", "lost"])
def test_a_store_that_comes_back_in_time_was_never_away(how: str) -> None:
    machine, leader, [follower] = leading_and_following()
    setattr(machine.store.leases, how, True)
    leader.lands()
    machine.news_goes_round()
    machine.time_passes(2)
    setattr(machine.store.leases, how, False)
    machine.news_goes_round()
    follower.moves()

    assert follower.result.body() == BODY
    assert not follower.ride.paid
    assert stored(machine) == "hi"


@pytest.mark.parametrize("how", ["down", "lost"])
def test_an_answer_is_given_up_when_the_store_stays_away(how: str) -> None:
    machine, leader, _ = leading_and_following(0)
    setattr(machine.store.leases, how, True)
    leader.lands()
    for _ in range(50):
        machine.time_passes(1)
        machine.news_goes_round()

    assert not machine.processes[0].abroad.landing
    assert machine.processes[0].cache.counters.stored == 0


def test_who_follows_a_stream_that_is_too_long_for_the_store_asks_for_itself() -> None:
    machine, leader, [follower] = leading_and_following()
    machine.store.leases.live_bytes = 300
    leader.ride.streams = True
    leader.opens()
    leader.pulls(*ANSWER[:2], chunk("c" * 300), ANSWER[2], b"[DONE]")
    leader.reads()
    machine.news_goes_round()
    follower.moves()

    assert isinstance(follower.step, Open)
    assert stored(machine) == "ab" + "c" * 300


def test_who_follows_what_makes_no_sense_asks_for_itself() -> None:
    machine, _, [follower] = leading_and_following()
    machine.store.leases._standings[KEY].frames += [b"b\xff"]
    machine.processes[1].hears()
    follower.moves()

    assert isinstance(follower.step, Open)


def test_a_follower_whose_watch_says_nothing_asks_for_itself_in_the_end() -> None:
    _, _, [follower] = leading_and_following()
    follower.answer("stalled")
    patient = isinstance(follower.step, Wait)
    follower.answer("stalled")

    assert patient
    assert isinstance(follower.step, Open)


def test_a_claim_that_comes_back_to_nobody_is_given_back() -> None:
    machine = Machine(2)
    rider = machine.processes[0].calls()
    seat, step = rider.ride.seat, rider.step
    assert seat is not None
    assert isinstance(step, Claim)
    standing = seat.claim(anew=False, again=False)
    rider.ride.leave()
    flight = rider.flight
    assert isinstance(flight, LeasedFlight)
    seat.settle(flight, step.token, standing)
    machine.processes[0].tells()

    assert isinstance(standing, Lead)
    assert isinstance(machine.processes[1].claims().step, Open)
