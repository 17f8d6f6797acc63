"""What a call costs whose caller leaves before the vendor has counted it, and one that nobody asked for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from ostinato.caching.cache import Cache
from ostinato.gateway.books import Books
from ostinato.testing.clock import ManualClock
from ostinato.testing.emulator import Emulator, Reply
from tests.client.calls import until
from tests.gateway.serving import Serving, config_for
from tests.gateway.test_team import WITH_MASTER, bearer, key, spend

WORDS = "word " * 400
PATHS = {"/v1/chat/completions": "gpt", "/v1/messages": "claude", "/v1/responses": "gpt"}


class Desk:
    """A gateway whose cache the test has chosen, and one key."""

    def __init__(self, emulator: Emulator, folder: Path, cache: Cache | None = None, **wish: Any) -> None:
        self.serving = Serving(config_for(emulator, WITH_MASTER), books=Books(folder / "gateway.db"), cache=cache)
        self.wish = wish

    def __enter__(self) -> Self:
        self.serving.__enter__()
        self.http = httpx2.Client(base_url=self.serving.url, timeout=30)
        self.secret = key(self.http, id="a", **self.wish)
        return self

    def __exit__(self, *raised: object) -> None:
        self.http.close()
        self.serving.__exit__(None, None, None)

    def body(self, path: str, text: str, *, stream: bool = True) -> dict[str, Any]:
        said = {"input": text} if "responses" in path else {"messages": [{"role": "user", "content": text}]}
        more = {"max_tokens": 2000} if path == "/v1/messages" else {}
        return {"model": PATHS[path], "stream": stream, **said, **more}

    def open(self, text: str = WORDS, path: str = "/v1/chat/completions") -> Any:
        return self.http.stream("POST", path, json=self.body(path, text), headers=bearer(self.secret))

    def ask(self, text: str = WORDS, *, stream: bool = False) -> httpx2.Response:
        path = "/v1/chat/completions"
        body = self.body(path, text, stream=stream)
        return self.http.post(path, json=body, headers=bearer(self.secret))

    def row(self) -> dict[str, Any]:
        (row,) = spend(self.http, "key_id")
        return row


@pytest.fixture
def desk(emulator: Emulator, tmp_path: Path) -> Iterator[Desk]:
    with Desk(emulator, tmp_path) as desk:
        yield desk


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_that_its_reader_leaves_is_charged_by_estimate(path: str, desk: Desk, emulator: Emulator) -> None:
    emulator.script(Reply(text="one two three " * 200, stall_after_events=100))
    with desk.open(path=path) as answer:
        seen = 0
        for piece in answer.iter_raw():
            seen += piece.count(b"data:")
            if seen > 60:
                break
    until(lambda: desk.row()["calls"] == 1 if spend(desk.http, "key_id") else False)
    row = desk.row()

    assert (row["errors"], row["unpriced"]) == (0, 0)
    assert 300 <= row["uncached"] <= 700
    assert 20 <= row["output"] <= 300
    assert Decimal(row["cost_usd"]) > 0


def test_leaving_every_stream_ends_a_budget_all_the_same(emulator: Emulator, tmp_path: Path) -> None:
    with Desk(emulator, tmp_path, budget_usd=0.02) as desk:
        statuses = []
        for number in range(40):
            with desk.open(f"{number} {WORDS}") as answer:
                statuses.append(answer.status_code)
                next(answer.iter_raw())
            until(lambda asked=number: desk.row()["calls"] == asked + 1)  # type: ignore[misc]

        assert statuses[0] == 200
        assert statuses[-1] == 402
        assert Decimal(desk.row()["cost_usd"]) < Decimal("0.021")


def test_a_call_that_is_left_before_it_is_answered_is_charged_for_its_prompt(desk: Desk, emulator: Emulator) -> None:
    gate = threading.Event()
    emulator.script(Reply(gate=gate))
    leave_unanswered(desk, emulator)
    until(lambda: bool(spend(desk.http, "key_id")))
    gate.set()
    row = desk.row()

    assert (row["calls"], row["errors"], row["output"]) == (1, 0, 0)
    assert 300 <= row["uncached"] <= 700


def leave_unanswered(desk: Desk, emulator: Emulator) -> None:
    with asking(desk, stream=False):
        until(lambda: bool(emulator.calls))


@contextmanager
def asking(desk: Desk, *, stream: bool) -> Iterator[None]:
    """Ask, read nothing, and leave when the block ends."""
    body = json.dumps(desk.body("/v1/chat/completions", WORDS, stream=stream)).encode()
    with socket.create_connection(("127.0.0.1", desk.serving.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {desk.secret}\r\n"
        length = f"content-length: {len(body)}\r\n".encode()
        client.sendall(head.encode() + length + b"content-type: application/json\r\n\r\n" + body)
        yield


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_read_to_its_end_for_the_cache_is_charged_as_the_vendor_counts(
    stream: bool, emulator: Emulator, tmp_path: Path
) -> None:
    gate = threading.Event()
    emulator.script(Reply(text="one two three four five six", **({"gates": {3: gate}} if stream else {"gate": gate})))
    with Desk(emulator, tmp_path, Cache(finish_on_disconnect=True)) as desk:
        if stream:
            with desk.open() as answer:
                next(answer.iter_raw())
        else:
            leave_unanswered(desk, emulator)
        gate.set()
        until(lambda: bool(spend(desk.http, "key_id")))
        row = desk.row()
        hit = desk.ask()

        assert hit.headers["x-ostinato-cache"] == "hit"
        assert (row["calls"], row["errors"], row["unpriced"]) == (1, 0, 0)
        assert Decimal(row["cost_usd"]) == Decimal(hit.headers["x-ostinato-saved-cost"])


@pytest.mark.parametrize("stream", [False, True])
def test_who_reads_on_pays_when_who_asked_first_leaves(stream: bool, emulator: Emulator, tmp_path: Path) -> None:
    gate = threading.Event()
    emulator.script(Reply(text="one two three four five six", **({"gates": {3: gate}} if stream else {"gate": gate})))
    cache = Cache()
    with Desk(emulator, tmp_path, cache) as desk:
        told: list[httpx2.Response] = []
        with asking(desk, stream=stream):
            until(lambda: bool(emulator.calls))
            follower = threading.Thread(target=lambda: told.append(desk.ask(stream=stream)))
            follower.start()
            until(lambda: cache.stats()["joins"] == 1)
        books = desk.serving.service.books
        assert books is not None
        until(lambda: bool(books.vault.spend(["key_id"])))  # who asked first is gone
        gate.set()
        follower.join()
        row = desk.row()
        hit = desk.ask()

        assert len(emulator.paid_calls) == 1
        assert row["calls"] == 2
        assert Decimal(row["cost_usd"]) == Decimal(hit.headers["x-ostinato-saved-cost"])
        assert stream or told[0].headers["x-litellm-response-cost"] == row["cost_usd"]


@pytest.mark.parametrize("path", PATHS)
def test_a_whole_stream_is_charged_as_its_vendor_counts_also_where_it_does_not_show_that(
    path: str, desk: Desk, emulator: Emulator
) -> None:
    body = desk.body(path, WORDS)
    told = [desk.http.post(path, json=body, headers=bearer(desk.secret)) for _ in range(2)]
    row = desk.row()

    assert [answer.headers["x-ostinato-cache"] for answer in told] == ["miss", "hit"]
    assert (row["unpriced"], row["errors"]) == (0, 0)
    assert row["cost_usd"] == told[1].headers["x-ostinato-saved-cost"] == row["saved_usd"]
    assert row["uncached"] > 0


def test_a_call_that_is_refused_while_its_caller_leaves_takes_nothing(desk: Desk, emulator: Emulator) -> None:
    emulator.script(Reply(status=503, headers={"retry-after": "20"}), times=None)
    with asking(desk, stream=False):
        states = desk.serving.service.router.health.states
        until(lambda: any(state.failures for state in states.values()))
    until(lambda: bool(spend(desk.http, "key_id")))

    assert desk.row()["cost_usd"] == "0"


def test_a_refresh_behind_a_stale_hit_is_a_call_of_the_key_that_hit(emulator: Emulator, tmp_path: Path) -> None:
    clock = ManualClock()
    with Desk(emulator, tmp_path, Cache(clock=clock, soft_ttl=10, ttl=1000)) as desk:
        paid = Decimal(desk.ask().headers["x-litellm-response-cost"])
        clock.advance(20)
        stale = desk.ask()
        until(lambda: desk.row()["calls"] == 3)

        assert stale.headers["x-ostinato-cache"] == "hit"
        assert Decimal(desk.row()["cost_usd"]) > paid
        assert len(emulator.paid_calls) == 2


def test_a_key_whose_budget_is_spent_refreshes_nothing(emulator: Emulator, tmp_path: Path) -> None:
    clock = ManualClock()
    with Desk(emulator, tmp_path, Cache(clock=clock, soft_ttl=10, ttl=1000), budget_usd=0.00001) as desk:
        desk.ask()
        clock.advance(20)
        stale = [desk.ask() for _ in range(3)]

        assert {answer.headers["x-ostinato-cache"] for answer in stale} == {"hit"}
        assert len(emulator.paid_calls) == 1
        assert desk.row()["calls"] == 4


def test_counting_tokens_is_a_call_of_its_key(emulator: Emulator, tmp_path: Path) -> None:
    with Desk(emulator, tmp_path, rpm=2) as desk:
        body = {"model": "claude", "messages": [{"role": "user", "content": "hello"}]}
        asked = [desk.http.post("/v1/messages/count_tokens", json=body, headers=bearer(desk.secret)) for _ in range(3)]

        assert [answer.status_code for answer in asked] == [200, 200, 429]
        assert (desk.row()["calls"], desk.row()["errors"], desk.row()["cost_usd"]) == (2, 0, "0")
