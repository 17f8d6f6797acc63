"""Identical calls of several processes: one goes out, everybody is answered, whichever process is killed."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato.testing.emulator import Emulator, Reply
from tests.client.askers import LEASE_S, Asker, asking, leader_of
from tests.client.calls import LONG_S, until
from tests.stores.cosmos_emulator import CosmosEmulator
from tests.stores.redis_server import RedisServer, binaries

LOST = "APIConnectionError: the stream broke off: its leader was lost, and another answer began"
INTERRUPTED = "APIConnectionError: the stream broke off: its reader was interrupted"
"""What the others hear of one who took over, and whose event loop has ended since none of its own could go on."""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer(binaries()[0]) as running:
        yield running


@pytest.fixture(params=["disk", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of a cache that processes share."""
    if request.param == "disk":
        return {"type": "disk", "cache_path_root": str(tmp_path), "lease_s": LEASE_S}
    if request.param == "cosmos":
        place = request.getfixturevalue("cosmos").connection_string
        return {"type": "cosmos_db", "connection_string": place, "lease_s": 2 * LEASE_S, "timeout_ms": 3000}
    return redis_settings(request.getfixturevalue("redis"))


@pytest.fixture
def cosmos() -> Iterator[CosmosEmulator]:
    with CosmosEmulator() as running:
        yield running


def redis_settings(server: RedisServer) -> dict[str, Any]:
    return {"type": "redis", "host": "127.0.0.1", "port": server.port, "lease_s": LEASE_S, "timeout_ms": 2000}


def patient(settings: dict[str, Any]) -> dict[str, Any]:
    """Return them so that neither a starved process nor a slow server costs another call: none is to be lost."""
    limits = {"lease_s": LONG_S, "timeout_ms": LONG_S * 1000}
    return {name: limits.get(name, value) for name, value in settings.items()}


@pytest.mark.parametrize(
    ("settings", "asynchronous"),
    [("disk", True), ("redis", False), ("cosmos", True)],
    indirect=["settings"],
    ids=["tasks on disk", "threads on Redis", "tasks on Cosmos DB"],
)
def test_four_processes_with_fifty_calls_each_pay_once(
    asynchronous: bool, emulator: Emulator, settings: dict[str, Any], gate: threading.Event
) -> None:
    emulator.script(Reply(gate=gate))
    with asking(emulator, patient(settings), 4) as askers:
        for asker in askers:
            asker.asks("everybody", calls=50, asynchronous=asynchronous)
        for asker in askers:
            asker.is_on_the_way()
        gate.set()
        got = [one for asker in askers for one in asker.got()]

    assert len(got) == 200
    assert {one["error"] for one in got} == {None}
    assert len({one["text"] for one in got}) == 1
    assert len(emulator.calls) == 1
    assert sorted(one["cost"] > 0 for one in got) == [*[False] * 199, True]


@pytest.mark.parametrize(
    ("settings", "frozen_at"), [("disk", "middle"), ("redis", "head"), ("cosmos", "middle")], indirect=["settings"]
)
def test_a_frozen_leader_is_taken_over_and_answers_its_own_reader_when_it_wakes(
    frozen_at: str, emulator: Emulator, settings: dict[str, Any], gate: threading.Event
) -> None:
    emulator.script(Reply(pieces=("one ", "two"), gates={0 if frozen_at == "head" else 2: gate}))
    emulator.script(Reply(pieces=("uno ", "dos")))
    with asking(emulator, settings, 2) as askers:
        for asker in askers:
            asker.asks("frozen")
        emulator.wait_for_calls(1, LONG_S)
        frozen = leader_of(emulator, askers)
        for asker in askers:
            asker.says("on_the_way" if frozen_at == "head" else "began")
        frozen.freeze()
        emulator.wait_for_calls(2, LONG_S)
        [other] = [asker for asker in askers if asker is not frozen]
        [theirs] = other.got()
        gate.set()
        frozen.thaw()
        [own] = frozen.got()
        other.asks("frozen")
        [stored] = other.got()

    assert own["text"] == "one two"
    if frozen_at == "head":
        assert theirs["text"] == stored["text"] == "uno dos"
    else:
        assert (theirs["text"], theirs["error"]) == ("one ", LOST)
        assert stored["text"] != "one two"


def ways_to_lose() -> list[Any]:
    """Return every way to lose a server: a few for each run, all for the long one."""
    few = {
        ("redis", "stop", "middle", "streamed", False),
        ("redis", "freeze", "head", "whole", True),
        ("cosmos", "freeze", "middle", "streamed", True),
    }
    ways = []
    for kind, how, lost_at, form, asynchronous in itertools.product(
        ("redis", "cosmos"), ("stop", "freeze"), ("head", "middle"), ("streamed", "whole"), (False, True)
    ):
        if (lost_at, form) != ("middle", "whole"):
            way = (kind, how, lost_at, form, asynchronous)
            name = f"{kind}, {how}, {lost_at}, {form}, {'tasks' if asynchronous else 'threads'}"
            ways.append(pytest.param(*way, id=name, marks=[] if way in few else pytest.mark.soak))
    return ways


@pytest.mark.parametrize(("settings", "how", "lost_at", "form", "asynchronous"), ways_to_lose(), indirect=["settings"])
def test_a_server_that_is_lost_in_mid_flight_leaves_every_process_its_own_answer(
    how: str,
    lost_at: str,
    form: str,
    asynchronous: bool,
    emulator: Emulator,
    settings: dict[str, Any],
    request: pytest.FixtureRequest,
    gate: threading.Event,
) -> None:
    server = request.getfixturevalue("cosmos" if settings["type"] == "cosmos_db" else "redis")
    emulator.script(Reply(pieces=("one ", "two"), gates={0 if lost_at == "head" else 2: gate}))
    emulator.script(Reply(pieces=("uno ", "dos")), times=None)
    with asking(emulator, settings, 3) as askers:
        for asker in askers:
            asker.asks("lost", calls=5, asynchronous=asynchronous, streams=form == "streamed")
        emulator.wait_for_calls(1, LONG_S)
        for asker in askers:
            asker.says("on_the_way" if lost_at == "head" else "began")
        leader = leader_of(emulator, askers, 0)
        getattr(server, how)()
        others = [asker.got() for asker in askers if asker is not leader]
        gate.set()
        own = leader.got()

    assert {one["text"] for one in own} == {"one two"}
    for got in others:
        assert len(got) == 5
        for one in got:
            if lost_at == "head":
                assert (one["text"], one["error"]) == ("uno dos", None)
            else:
                assert (one["text"], one["error"]) in {("uno dos", None), ("one ", LOST)}
    assert len(emulator.calls) == 3


class Killing:
    """Runs in which the leader is killed at a random moment; the processes that live on are asked again."""

    def __init__(self, emulator: Emulator, askers: list[Asker], settings: dict[str, Any], seed: int) -> None:
        self.emulator = emulator
        self.askers = askers
        self.settings = settings
        self.dice = random.Random(seed)
        self.fates: set[str] = set()

    def run(self, number: int) -> None:
        emulator, dice = self.emulator, self.dice
        before = len(emulator.calls)
        pieces = tuple(f"{number}-{index} " for index in range(12))
        for call in ("a", "b"):
            words = tuple(call + piece for piece in pieces)
            emulator.script(Reply(pieces=words, first_byte_delay_s=0.02, chunk_delay_s=0.005))
        for asker in self.askers:
            asker.asks(f"run {number}", calls=3, asynchronous=bool(dice.getrandbits(1)))
        until(lambda: len(emulator.calls) > before)
        victim = leader_of(emulator, self.askers, before)
        threading.Event().wait(dice.random() * 0.12)
        victim.kill()
        self.askers.remove(victim)
        for asker in self.askers:
            self.check(asker.got(), pieces)
        callers = [call.body["user"] for call in emulator.calls[before:]]
        errors = {asker.pid: asker.says("store_errors") for asker in self.askers}
        assert len(callers) <= 2, f"a killed leader costs one call more at most: {callers}, store errors {errors}"
        fresh = Asker(emulator, self.settings)
        fresh.says("ready")
        self.askers.append(fresh)
        self.warm(fresh)

    def warm(self, asker: Asker) -> None:
        """Have a process load all it needs: on a busy machine that may starve its threads for longer than a lease."""
        asker.asks(f"warm {asker.pid}")
        asker.got()
        self.emulator.reset()

    def check(self, got: list[dict[str, Any]], pieces: tuple[str, ...]) -> None:
        wholes = ["".join(call + piece for piece in pieces) for call in ("a", "b")]
        for one in got:
            if one["error"] is None:
                assert one["text"] in wholes
                self.fates.add("first" if one["text"] == wholes[0] else "second")
            else:
                assert one["error"] in {LOST, INTERRUPTED}
                assert any(whole.startswith(one["text"]) for whole in wholes)
                self.fates.add("lost")


def kill_leaders(emulator: Emulator, settings: dict[str, Any], runs: int, *, lease_s: float) -> set[str]:
    """Kill as many leaders. A machine that lets a process starve for longer than a lease lets another take over."""
    settings = {**settings, "lease_s": lease_s}
    with asking(emulator, settings, 3) as askers:
        killing = Killing(emulator, askers, settings, seed=runs)
        for asker in askers:
            killing.warm(asker)
        for number in range(runs):
            killing.run(number)
        return killing.fates


def test_killed_leaders_leave_nobody_waiting_and_no_mixed_answer(emulator: Emulator, settings: dict[str, Any]) -> None:
    assert kill_leaders(emulator, settings, 2, lease_s=2 * LEASE_S)


@pytest.mark.soak
@pytest.mark.parametrize("settings", ["disk", "redis", "cosmos"], indirect=True)
def test_two_hundred_killed_leaders_leave_nobody_waiting_and_no_mixed_answer(
    emulator: Emulator, settings: dict[str, Any]
) -> None:
    assert kill_leaders(emulator, settings, 200, lease_s=4 * LEASE_S) == {"first", "second", "lost"}
