"""AutoGen's page on LLM caching runs as it is, but for the name of the package and what its placeholders stand for.

The page is prose; its code lost its indentation. A block is a `with` line and the statement under it. Each chat is
held by agents made anew, as a second run of a script makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import AssistantAgent, OpenAIWrapper, UserProxyAgent
from ostinato.agents.seeds import close_seed_caches
from ostinato.testing.emulator import Emulator, Reply
from tests.seeds.pages import page
from tests.stores.cosmos_emulator import CosmosEmulator
from tests.stores.redis_server import RedisServer, binaries, version

AUTOGEN_PAGE = "004_e394290a06ff8f2e.txt"
OAI_CONFIG_LIST = [{"model": "gpt-4o", "api_key": "any"}]
TASK = "Plot a chart of the year."
Names = dict[str, Any]


@pytest.fixture(scope="module", params=binaries(), ids=version)
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def account() -> Iterator[CosmosEmulator]:
    with CosmosEmulator() as running:
        yield running


@pytest.fixture(autouse=True)
def script(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand in an empty folder, with OpenAI at the emulator."""
    monkeypatch.setenv("OPENAI_BASE_URL", emulator.base_url)
    monkeypatch.chdir(tmp_path)


def block(*parts: str) -> str:
    """Return the first block of the page whose `with` line or statement holds all these parts."""
    for found in re.finditer(r"^(with Cache\..*:)\n(.*)$", page(AUTOGEN_PAGE), re.MULTILINE):
        code = f"{found[1]}\n    {found[2]}\n"
        if all(part in code for part in parts):
            return code
    raise AssertionError(f"no block of the page holds {parts}")


def run(code: str) -> Names:
    """Run code of the page in a script of its own: import renamed, agents made anew. Return its names."""
    line = re.search(r"^from autogen import Cache$", page(AUTOGEN_PAGE), re.MULTILINE)
    assert line is not None
    names: Names = {
        "OAI_CONFIG_LIST": OAI_CONFIG_LIST,
        "OpenAIWrapper": OpenAIWrapper,
        "AssistantAgent": AssistantAgent,
        "coding_task": TASK,
        "assistant": AssistantAgent("assistant", llm_config={"config_list": OAI_CONFIG_LIST}),
        "user": UserProxyAgent("user", human_input_mode="NEVER", max_consecutive_auto_reply=3),
    }
    exec(f"{line[0].replace('autogen', 'ostinato.agents')}\n{code}", names)
    return names


def said(names: Names) -> list[Any]:
    return [message["content"] for message in names["assistant"].chat_messages[names["user"]]]


def hold_twice(code: str, emulator: Emulator) -> list[Any]:
    """Run code of the page twice, hold that the second run is the first for nothing, and return what was said."""
    before = len(emulator.calls)
    first = said(run(code))
    paid = len(emulator.calls) - before
    second = said(run(code))

    assert first == second
    assert paid == 4
    assert len(emulator.calls) == before + paid
    return first


def test_chat_in_redis(emulator: Emulator, redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.ask("FLUSHALL")
    code = block("Cache.redis").replace("redis://localhost:6379/0", redis_server.url)
    hold_twice(code, emulator)

    assert list(tmp_path.iterdir()) == []
    assert redis_server.ask("DBSIZE") > 0


def test_chat_on_disk(emulator: Emulator, tmp_path: Path) -> None:
    hold_twice(block("Cache.disk()", "initiate_chat"), emulator)

    assert [path.name for path in tmp_path.glob(".cache/*")] == ["42"]


def test_chat_in_cosmos_db(emulator: Emulator, account: CosmosEmulator, tmp_path: Path) -> None:
    code = block("Cache.cosmos_db").replace("your_connection_string", account.connection_string)
    assert 'database_id="your_database_id"' in code
    hold_twice(code, emulator)

    assert list(tmp_path.iterdir()) == []
    assert any("/dbs/your_database_id/" in request for request in account.requests())


def test_all_agents_inside_the_context_manager_use_the_same_cache_unasked(emulator: Emulator, tmp_path: Path) -> None:
    hold_twice(block("Cache.disk()", "initiate_chat").replace(", cache=cache", ""), emulator)

    assert [path.name for path in tmp_path.glob(".cache/*")] == ["42"]


def test_cache_is_passed_to_the_model_client_s_create_call(emulator: Emulator, tmp_path: Path) -> None:
    client = re.search(r"^client = OpenAIWrapper\(.*\)$", page(AUTOGEN_PAGE), re.MULTILINE)
    assert client is not None
    code = f"{client[0]}\n{block('client.create')}"
    for filled in ("config_list=OAI_CONFIG_LIST", "messages=[{'role': 'user', 'content': coding_task}]"):
        code = code.replace("...", filled, 1)
    code = code.replace("client.create", "answer = client.create")
    first, second = run(code)["answer"], run(code)["answer"]

    assert first == second
    assert second.cache_hit
    assert len(emulator.calls) == 1
    assert [path.name for path in tmp_path.glob(".cache/*")] == ["42"]


def test_another_seed_is_another_cache_and_another_output(emulator: Emulator, tmp_path: Path) -> None:
    default = hold_twice(block("Cache.disk()", "initiate_chat"), emulator)
    seeded = hold_twice(block("cache_seed=1"), emulator)

    assert seeded != default
    assert sorted(path.name for path in tmp_path.glob(".cache/*")) == ["1", "42"]


def test_cache_path_root_changes_the_folder(emulator: Emulator, tmp_path: Path) -> None:
    hold_twice(block("cache_path_root").replace("/tmp/autogen_cache", f"{tmp_path}/autogen_cache"), emulator)

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == ["autogen_cache/42"]


def test_disk_cache_is_on_by_default_with_seed_41(emulator: Emulator, tmp_path: Path) -> None:
    hold_twice("user.initiate_chat(assistant, message=coding_task)", emulator)
    close_seed_caches()

    assert [path.name for path in tmp_path.glob(".cache/*")] == ["41"]


def disabled() -> str:
    """Return the page's assistant without a cache."""
    found = re.search(r"^assistant = AssistantAgent\(\n.*?^\)$", page(AUTOGEN_PAGE), re.MULTILINE | re.DOTALL)
    assert found is not None
    assert '"cache_seed": None' in found[0]
    return found[0]


def test_cache_seed_none_in_llm_config_disables_caching_completely(emulator: Emulator, tmp_path: Path) -> None:
    code = f"{disabled()}\nuser.initiate_chat(assistant, message=coding_task)"
    for _ in range(2):
        run(code)
        run(f"from ostinato.agents import Cache\nwith Cache.memory():\n    exec({code!r})")

    assert len(emulator.calls) == 16
    assert {call.body["max_tokens"] for call in emulator.calls} == {1024}
    assert all("cache_seed" not in call.body for call in emulator.calls)
    assert list(tmp_path.iterdir()) == []


def test_openai_s_seed_without_a_cache_asks_every_time(emulator: Emulator) -> None:
    emulator.script(Reply(text="TERMINATE"), times=None)
    code = disabled().replace('"max_tokens": 1024', '"seed": 7')
    for _ in range(2):
        run(f"{code}\nuser.initiate_chat(assistant, message=coding_task, max_turns=1)")

    assert [call.body["seed"] for call in emulator.calls] == [7, 7]
