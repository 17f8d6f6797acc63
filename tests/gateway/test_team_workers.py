"""Keys, limits and the ledger over two processes, under many clients at once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from ostinato.cli.main import cli
from ostinato.testing.emulator import Emulator
from tests.client.calls import until
from tests.gateway.served import Served, serving
from tests.gateway.serving import config_for
from tests.gateway.test_team import MASTER, ask, bearer, key, spend
from tests.stores.redis_server import RedisServer

APP = "ostinato.gateway.endpoints:build_app"
CLIENTS = 32
PROMPT = "x" * 4000


@contextmanager
def machines(emulator: Emulator, folder: Path, server: RedisServer) -> Iterator[list[Served]]:
    """Serve twice, as on two machines: each with a folder of its own, both with one Redis for cache and books."""
    place = f'{{type: redis, host: "127.0.0.1", port: {server.port}, password: {server.password}, timeout_ms: 5000}}'
    with ExitStack() as stack:
        running = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            config = folder / name / "config.yaml"
            more = f"""
litellm_settings: {{cache: true, cache_params: {place}}}
general_settings: {{master_key: {MASTER}}}
"""
            config.write_text(config_for(emulator, more))
            running.append(stack.enter_context(serving(config, 1, APP)))
        yield running


@contextmanager
def team(emulator: Emulator, folder: Path) -> Iterator[tuple[Served, httpx2.Client]]:
    """Serve with two workers over one ledger, and one cache on disk."""
    more = f"""
litellm_settings:
  cache: true
  cache_params: {{type: disk, disk_cache_dir: "{folder / "cache"}"}}
general_settings: {{master_key: {MASTER}, ledger: "{folder / "gateway.db"}"}}
"""
    config = folder / "config.yaml"
    config.write_text(config_for(emulator, more))
    with serving(config, 2, APP) as served, httpx2.Client(base_url=served.url, timeout=60) as http:
        yield served, http


def at_once(
    url: str, call: Callable[[httpx2.Client, int], httpx2.Response], count: int, *others: str
) -> list[httpx2.Response]:
    """Have 32 clients, each with connections of its own, make so many calls; at `others` as well, in turn."""
    local = threading.local()
    clients: list[httpx2.Client] = []
    urls = (url, *others)

    def run(number: int) -> httpx2.Response:
        if not hasattr(local, "client"):
            local.client = httpx2.Client(base_url=urls[len(clients) % len(urls)], timeout=60)
            clients.append(local.client)
        return call(local.client, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(run, range(count)))
    for client in clients:
        client.close()
    return answers


def statuses(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def paid(answers: list[httpx2.Response]) -> Decimal:
    return sum((Decimal(answer.headers["x-litellm-response-cost"]) for answer in answers), Decimal(0))


def check_budget(emulator: Emulator, folder: Path, calls: int) -> None:
    """A budget for so many calls ends within 2 %, the ledger agrees with the headers, and a restart keeps both."""
    with team(emulator, folder) as (served, http):
        first = ask(http, key(http), f"-1 {PROMPT}", max_tokens=1)
        budget = Decimal(first.headers["x-litellm-response-cost"]) * calls
        secret = key(http, id="a", budget_usd=float(budget))

        def call(client: httpx2.Client, number: int) -> httpx2.Response:
            return ask(client, secret, f"{number} {PROMPT}", max_tokens=1, seed=number)

        answers = at_once(served.url, call, calls + 200)
        spent = paid(answers)
        until(lambda: answered(http) == statuses(answers)[200])

        assert set(statuses(answers)) == {200, 402}
        assert Decimal("0.98") <= spent / budget <= Decimal("1.02"), spent / budget
        assert Decimal(sum_of(http)["cost_usd"]) == spent
        served.end()
    with team(emulator, folder) as (_, http):
        assert Decimal(sum_of(http)["cost_usd"]) == spent
        more = [ask(http, secret, f"more {number} {PROMPT}", max_tokens=1) for number in range(calls // 50 + 2)]
        assert more[-1].status_code == 402
        assert spent + paid(more) <= budget * Decimal("1.02")


def sum_of(http: httpx2.Client, key_id: str = "a") -> dict[str, Any]:
    rows = spend(http, "key_id", key_id=key_id)
    return rows[0] if rows else {"calls": 0, "errors": 0}


def answered(http: httpx2.Client) -> int:
    row = sum_of(http)
    return int(row["calls"] - row["errors"])


def test_a_budget_holds_under_many_clients_and_two_workers(emulator: Emulator, tmp_path: Path) -> None:
    check_budget(emulator, tmp_path, 400)


@pytest.mark.soak
def test_a_large_budget_holds_as_well(emulator: Emulator, tmp_path: Path) -> None:
    check_budget(emulator, tmp_path, 5000)


def test_calls_a_minute_hold_and_a_revoked_key_stops_at_both_workers(emulator: Emulator, tmp_path: Path) -> None:
    with team(emulator, tmp_path) as (served, http):
        secret = key(http, id="a", rpm=500)
        ask(http, secret)
        answers = at_once(served.url, lambda client, _: ask(client, secret), 1200)
        # The minute may end on the way: then there are calls of two.
        let_in = statuses(answers)[200] + 1
        assert 490 <= let_in <= 510 or 980 <= let_in <= 1020 or (500 < let_in < 1020 and _crossed(answers))
        assert set(statuses(answers)) <= {200, 429}

        other = key(http, id="b")
        assert statuses(at_once(served.url, lambda client, _: ask(client, other), 64)) == {200: 64}
        http.post("/key/revoke", json={"id": "b"}, headers=bearer(MASTER))
        threading.Event().wait(1)
        assert statuses(at_once(served.url, lambda client, _: ask(client, other), 64)) == {401: 64}


def test_tokens_a_minute_hold_under_many_clients_and_two_workers(emulator: Emulator, tmp_path: Path) -> None:
    with team(emulator, tmp_path) as (served, http):
        each = tokens(ask(http, key(http), f"-1 {PROMPT}", max_tokens=1))
        secret = key(http, id="a", tpm=each * 300)

        def call(client: httpx2.Client, number: int) -> httpx2.Response:
            return ask(client, secret, f"{number} {PROMPT}", max_tokens=1)

        answers = at_once(served.url, call, 600)
        took = sum(tokens(answer) for answer in answers if answer.status_code == 200) / each
        assert set(statuses(answers)) <= {200, 429}
        # The minute may end on the way.
        assert 294 <= took <= 306 or (300 < took <= 612 and _crossed(answers)), took


def tokens(answer: httpx2.Response) -> int:
    return int(answer.json()["usage"]["total_tokens"])


def test_keys_and_budgets_hold_over_machines_that_share_a_redis(
    emulator: Emulator, tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.ask("FLUSHALL")
    with (
        machines(emulator, tmp_path, redis_server) as (one, two),
        httpx2.Client(base_url=one.url, timeout=60) as here,
        httpx2.Client(base_url=two.url, timeout=60) as there,
    ):
        price = Decimal(ask(here, key(here), f"-1 {PROMPT}", max_tokens=1).headers["x-litellm-response-cost"])
        secret = key(here, id="a", budget_usd=float(price * 300))

        def call(client: httpx2.Client, number: int) -> httpx2.Response:
            return ask(client, secret, f"{number} {PROMPT}", max_tokens=1)

        answers = at_once(one.url, call, 450, two.url)
        assert set(statuses(answers)) == {200, 402}
        assert 294 <= statuses(answers)[200] <= 306
        until(lambda: answered(there) == statuses(answers)[200])
        assert Decimal(sum_of(here)["cost_usd"]) == paid(answers)

        made_there = key(there, id="b")
        assert ask(here, made_there).status_code == ask(there, made_there).status_code == 200
        there.post("/key/revoke", json={"id": "b"}, headers=bearer(MASTER))
        threading.Event().wait(1)
        assert ask(here, made_there).status_code == ask(there, made_there).status_code == 401

        listed = run_keys(tmp_path / "one" / "config.yaml", "list", "--json")
        assert {row["id"]: row.get("revoked", False) for row in listed if "id" in row}["b"]
        assert not list(tmp_path.rglob("gateway.db"))
        assert {one.end()[0], two.end()[0]} == {0}


def run_keys(config: Path, *words: str) -> list[dict[str, Any]]:
    ran = CliRunner().invoke(cli, ["keys", *words, "--config", str(config)])
    assert ran.exit_code == 0, ran.output
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _crossed(answers: list[httpx2.Response]) -> bool:
    kinds = [answer.status_code for answer in answers]
    return 429 in kinds and 200 in kinds[kinds.index(429) :]


def test_a_killed_worker_takes_no_more_than_its_part_with_it(emulator: Emulator, tmp_path: Path) -> None:
    with team(emulator, tmp_path) as (served, http):
        price = Decimal(ask(http, key(http), f"-1 {PROMPT}", max_tokens=1).headers["x-litellm-response-cost"])
        secret = key(http, id="a", budget_usd=float(price * 300))
        for part in (range(100), range(100, 600)):
            answers = at_once(
                served.url,
                lambda client, number, part=part: ask(client, secret, f"{part[number]} {PROMPT}", max_tokens=1),  # type: ignore[misc]
                len(part),
            )
            if part.start == 0:
                until(lambda: answered(http) == 100)
                os.kill(_worker(served), signal.SIGKILL)
            else:
                assert set(statuses(answers)) <= {200, 402}
                let_in = 100 + statuses(answers)[200]
                assert 290 <= let_in <= 306


def _worker(served: Served) -> int:
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return int(children[0])
