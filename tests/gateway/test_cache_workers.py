"""The cache's own paths, of a gateway with several workers: each speaks for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from ostinato.testing.emulator import Emulator
from tests.gateway.served import serving
from tests.gateway.serving import config_for

ASKED = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}


@contextmanager
def two(emulator: Emulator, folder: Path, cache: str) -> Iterator[list[httpx2.Client]]:
    """Serve with two workers; each client has a connection to another one."""
    config = folder / "config.yaml"
    config.write_text(config_for(emulator, f"litellm_settings: {{cache: true, cache_params: {cache}}}"))
    with serving(config, 2, "ostinato.gateway.endpoints:build_app") as served, ExitStack() as stack:
        clients: dict[str, httpx2.Client] = {}
        while len(clients) < 2:
            client = stack.enter_context(httpx2.Client(base_url=served.url, timeout=30))
            worker = client.get("/health/liveness").headers["x-ostinato-call-id"][:16]
            clients.setdefault(worker, client)
        yield list(clients.values())


def ask(client: httpx2.Client) -> tuple[str, str]:
    answer = client.post("/v1/chat/completions", json=ASKED)
    return answer.headers["x-ostinato-cache"], answer.headers["x-ostinato-cache-key"]


def test_workers_with_a_memory_each_answer_and_forget_as_one(emulator: Emulator, tmp_path: Path) -> None:
    with two(emulator, tmp_path, "{type: local}") as clients:
        one, other = clients
        first = [ask(client)[0] for client in (one, other, one, other)]
        counted = one.get("/cache/stats").json()
        key = ask(one)[1]
        deleted = one.post("/cache/delete", json={"keys": [key]}).json()
        after_delete = [ask(client)[0] for client in clients]
        flushed = other.post("/cache/flush", json={}).json()
        after_flush = [ask(client)[0] for client in clients]
        ping = one.get("/cache/ping")

    assert first == ["miss", "miss", "hit", "hit"]
    assert (counted["hits"], counted["stored"], counted["store"]["entries"], counted["workers"]) == (2, 2, 2, 2)
    assert (deleted["deleted"], flushed["forgotten"]) == (2, 2)
    assert after_delete == after_flush == ["miss", "miss"]
    assert ping.status_code == 200


def test_workers_over_one_disk_count_together(emulator: Emulator, tmp_path: Path) -> None:
    with two(emulator, tmp_path, f'{{type: disk, disk_cache_dir: "{tmp_path / "cache"}"}}') as clients:
        ask(clients[0])
        states = [ask(client)[0] for client in clients]
        told = [client.get("/cache/stats").json() for client in clients]

    assert states == ["hit", "hit"]
    assert [(each["hits"], each["store"]["entries"], each["workers"]) for each in told] == [(2, 1, 2), (2, 1, 2)]
