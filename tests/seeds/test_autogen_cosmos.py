"""The lines of AutoGen's page on Cosmos DB run as they are, with an account in the place of its placeholder.

The page is prose with the indentation of its code lost. Its chats come with the agents: here a call stands for each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

import ostinato
from ostinato.testing.emulator import Emulator
from tests.seeds.pages import page
from tests.stores.cosmos_emulator import CosmosEmulator

AUTOGEN_PAGE = "004_e394290a06ff8f2e.txt"
TASK = [{"role": "user", "content": "Plot a chart of the year."}]


@pytest.fixture(scope="module")
def account() -> Iterator[CosmosEmulator]:
    with CosmosEmulator() as running:
        yield running


@pytest.fixture
def block(account: CosmosEmulator) -> str:
    """The page's `with` line, for the account."""
    line = re.search(r"^with Cache\.cosmos_db\(.*\) as cache:$", page(AUTOGEN_PAGE), re.MULTILINE)
    assert line is not None
    return line[0].replace("your_connection_string", account.connection_string)


@pytest.fixture(autouse=True)
def vendor(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "any")


def run(block: str, call: str) -> dict[str, Any]:
    names: dict[str, Any] = {"completion": ostinato.completion, "TASK": TASK}
    exec(f"from ostinato import Cache\n{block}\n    {call}\n", names)
    return names


def test_calls_in_the_block_are_kept_in_cosmos_db_for_the_next_process(emulator: Emulator, block: str) -> None:
    call = "answer = completion('gpt-4o', TASK)"
    first, second = run(block, call)["answer"], run(block, call)["answer"]
    named = run(block, "answer = completion('gpt-4o', TASK, cache=cache)")["answer"]

    assert (first.cache_hit, second.cache_hit, named.cache_hit) == (False, True, True)
    assert first == second
    assert len(emulator.paid_calls) == 1


def test_a_hit_in_the_block_costs_one_round_trip(account: CosmosEmulator, block: str) -> None:
    call = "[completion('gpt-4o', TASK, seed=2) for _ in range(3)]"
    run(block, call)
    account.requests()
    run(block, call)
    asked = account.requests()

    assert asked[0].endswith("/colls/your_container_id/")  # that it is there, once
    assert len(set(asked[1:])) == 1
    assert len(asked) == 4


def test_another_seed_gets_another_answer(emulator: Emulator, block: str) -> None:
    call = "answer = completion('gpt-4o', TASK, temperature=1)"
    seeded = block.replace(") as cache", ", cache_seed=1) as cache")

    assert [run(line, call)["answer"].cache_hit for line in (block, seeded, block, seeded)] == [
        False,
        False,
        True,
        True,
    ]


def test_streamed_and_awaited_calls_share_the_block(emulator: Emulator, block: str) -> None:
    stream = run(block, "answer = list(completion('gpt-4o', TASK, stream=True, seed=1))")["answer"]

    async def ask() -> Any:
        names: dict[str, Any] = {}
        exec(f"from ostinato import Cache\nmade = {block.removeprefix('with ').removesuffix(' as cache:')}", names)
        async with names["made"]:
            return await ostinato.acompletion("gpt-4o", TASK, seed=1)

    awaited = asyncio.run(ask())
    assert awaited.cache_hit
    assert awaited.choices[0].message.content == "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert len(emulator.paid_calls) == 1


def test_client_handed_in_takes_the_place_of_the_connection_string(
    account: CosmosEmulator, emulator: Emulator, block: str
) -> None:
    from azure.cosmos import CosmosClient

    from ostinato import Cache

    seed = 9
    run(block.replace(") as cache", f", cache_seed={seed}) as cache"), "answer = completion('gpt-4o', TASK)")
    with (
        CosmosClient.from_connection_string(account.connection_string, enable_endpoint_discovery=False) as client,
        Cache.cosmos_db(
            database_id="your_database_id", container_id="your_container_id", cache_seed=seed, client=client
        ),
    ):
        answer = ostinato.completion("gpt-4o", TASK)

    assert answer.cache_hit
