"""Record and replay: nothing is ever sent, and a miss says what it came nearest to."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from ostinato import Cache, ReplayMissError, completion
from ostinato.caching.key import request_parts
from ostinato.caching.nearest import difference, fingerprint
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import MODEL


def call(topic: str = "rivers", turns: int = 3) -> dict[str, Any]:
    messages = [{"role": "system", "content": "be brief"}]
    for turn in range(turns):
        messages += [{"role": "user", "content": f"{topic} {turn}?"}, {"role": "assistant", "content": f"{turn}!"}]
    return {"messages": [*messages, {"role": "user", "content": f"and {topic}?"}], "temperature": 0.5, "seed": 7}


def recorded(folder: Path, *calls: dict[str, Any]) -> None:
    with Cache.disk(cache_path_root=folder, mode="record"):
        for each in calls:
            completion(MODEL, **each)


def test_replay_answers_what_was_recorded_and_sends_nothing(tmp_path: Path, emulator: Emulator) -> None:
    recorded(tmp_path, call(), call("lakes"))
    with Cache.disk(cache_path_root=tmp_path, mode="replay"):
        answers = [completion(MODEL, **each) for each in (call(), call("lakes"), call())]
        chunks = list(completion(MODEL, **call(), stream=True))

    assert all(answer.cache_hit for answer in answers)
    assert chunks[0].cache_hit
    assert len(emulator.calls) == 2


def test_record_always_asks_and_always_stores(tmp_path: Path, emulator: Emulator) -> None:
    for text in ("first", "second"):
        emulator.script(Reply(text=text))
    recorded(tmp_path, call(), call())
    with Cache.disk(cache_path_root=tmp_path, mode="replay"):
        answer = completion(MODEL, **call())

    assert len(emulator.calls) == 2
    assert answer.choices[0].message.content == "second"


MUTATIONS: dict[str, Any] = {
    "messages[0]": lambda c: c["messages"][0].update(content="be long"),
    "messages[3]": lambda c: c["messages"][3].update(role="system"),
    "messages[7]": lambda c: c["messages"][7].update(content="and what?"),
    "messages[8]": lambda c: c["messages"].append({"role": "user", "content": "more"}),
    "temperature": lambda c: c.update(temperature=0.6),
    "seed": lambda c: c.pop("seed"),
    "top_p": lambda c: c.update(top_p=0.9),
    "headers[x-feature]": lambda c: c.update(extra_headers={"X-Feature": "on"}),
    "endpoint": lambda c: c.update(extra_query={"v": "2"}),
}


@pytest.mark.parametrize("path", MUTATIONS)
def test_miss_names_the_nearest_record_and_the_first_difference(path: str, tmp_path: Path, emulator: Emulator) -> None:
    recorded(tmp_path, call("lakes"), call(), call("hills"))
    key = None
    with Cache.disk(cache_path_root=tmp_path, mode="replay"):
        key = completion(MODEL, **call())._hidden_params["cache_key"]
        changed = copy.deepcopy(call())
        MUTATIONS[path](changed)
        with pytest.raises(ReplayMissError) as caught:
            completion(MODEL, **changed)

    assert f"the first difference is {path}:" in str(caught.value)
    assert f"nearest record is {key[:16]} of {MODEL}" in str(caught.value)
    assert len(emulator.calls) == 3


def test_miss_in_an_empty_cache_says_so(tmp_path: Path, emulator: Emulator) -> None:
    with Cache.disk(cache_path_root=tmp_path, mode="replay"), pytest.raises(ReplayMissError, match="no record"):
        completion(MODEL, **call())
    assert not emulator.calls


@pytest.mark.parametrize("controls", [{"no-cache": True}, {"ttl": 5}, {"use-cache": True}, {"soft-ttl": 0}], ids=str)
def test_no_control_makes_a_replay_ask(controls: dict[str, Any], tmp_path: Path, emulator: Emulator) -> None:
    recorded(tmp_path, call())
    with Cache.disk(cache_path_root=tmp_path, mode="replay"):
        assert completion(MODEL, **call(), cache=controls).cache_hit
        with pytest.raises(ReplayMissError):
            completion(MODEL, **call("lakes"), cache=controls)
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("bypassing", [{"model": "openai/gpt-4o-search-preview"}, {"web_search_options": {}}], ids=str)
def test_call_that_bypasses_the_cache_is_not_sent_in_replay_either(
    bypassing: dict[str, Any], tmp_path: Path, emulator: Emulator
) -> None:
    with Cache.disk(cache_path_root=tmp_path, mode="replay"), pytest.raises(ReplayMissError):
        completion(**{"model": MODEL, **call(), **bypassing})
    assert not emulator.calls


def test_kind_that_is_not_cached_is_not_sent_in_replay_either(tmp_path: Path, emulator: Emulator) -> None:
    cache = Cache.memory(mode="replay", supported_call_types=["embedding"])
    with cache, pytest.raises(ReplayMissError):
        completion(MODEL, **call())
    assert not emulator.calls


def test_failing_store_and_broken_records_send_nothing(tmp_path: Path, emulator: Emulator) -> None:
    recorded(tmp_path, call())
    for path in tmp_path.rglob("cache.db*"):
        path.write_bytes(b"\x00" * 4096)
    with Cache.disk(cache_path_root=tmp_path, mode="replay"), pytest.raises(ReplayMissError):
        completion(MODEL, **call())
    assert len(emulator.calls) == 1


def body(dice: random.Random, number: int) -> dict[str, Any]:
    messages = [{"role": "system", "content": f"system {number % 5}"}]
    messages += [{"role": "user", "content": f"{number}:{turn}:{dice.random()}"} for turn in range(dice.randint(1, 8))]
    return {"model": "gpt-4o", "messages": messages, "temperature": dice.choice([0, 0.5, 1]), "seed": number % 7}


def test_named_difference_is_right_for_five_hundred_mutated_requests() -> None:
    from ostinato.caching.nearest import Index
    from ostinato.caching.record import Entry

    dice = random.Random(1)
    bodies = [body(dice, number) for number in range(500)]
    prints = [fingerprint(request_parts("POST x", {}, each)) for each in bodies]
    index = Index(
        Entry(number.to_bytes(32, "big"), "chat", "w", 0.0, b"", None, "m", {"parts": parts})
        for number, parts in enumerate(prints)
    )
    for number, original in enumerate(bodies):
        changed = copy.deepcopy(original)
        at = dice.randrange(len(changed["messages"]) + 2)
        if at < len(changed["messages"]):
            changed["messages"][at]["content"] += " changed"
            path = f"messages[{at}]"
        else:
            path = ["temperature", "seed"][at - len(changed["messages"])]
            changed[path] = 99
        sentence = index.explain(fingerprint(request_parts("POST x", {}, changed)))
        # A request of one message that is another has nothing left to be known by.
        if len(changed["messages"]) > 2 or path != "messages[1]":
            assert number.to_bytes(32, "big").hex()[:16] in sentence
            assert f"first difference is {path}:" in sentence


def test_same_parts_are_no_difference_of_the_request() -> None:
    parts = fingerprint(request_parts("POST x", {}, {"model": "m", "messages": [{"role": "user", "content": "x"}]}))

    assert "namespace" in difference(parts, parts)[0]
