"""Which cache a call uses: the table, row by row, in both worlds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import ostinato
from ostinato.agents import AssistantAgent, OpenAIWrapper, UserProxyAgent
from ostinato.agents.precedence import DEFAULT, SILENT, Level, decide
from ostinato.agents.seeds import close_seed_caches
from ostinato.caching import Cache
from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import Emulator
from tests.agents.casts import HELLO, pair

A, B, C, D = "A", "B", "C", "D"
"""Caches, by the names that the rows give them."""

Row = tuple[dict[str, Any], dict[str, Any], str | None, str | None, str | None, str | int | None]
ROWS: list[Row] = [
    # call, constructor, chat, block, process → who answers
    ({}, {}, None, None, None, 41),
    ({"cache_seed": None}, {}, None, None, None, None),
    ({"cache_seed": 7}, {}, None, None, None, 7),
    ({}, {"cache_seed": None}, None, None, None, None),
    ({}, {"cache_seed": 8}, None, None, None, 8),
    ({"cache_seed": 7}, {"cache_seed": None}, None, None, None, 7),
    ({"cache_seed": None}, {"cache_seed": 8}, None, None, None, None),
    ({"cache": A}, {}, None, None, None, A),
    ({"cache": A}, {"cache": B}, None, None, None, A),
    ({"cache": A}, {"cache_seed": None}, None, None, None, A),
    ({"cache": A, "cache_seed": None}, {}, None, None, None, A),
    ({"cache": A}, {}, B, C, D, A),
    ({"cache_seed": 7}, {"cache": B}, None, None, None, 7),
    ({"cache_seed": None}, {"cache": B}, C, None, None, None),
    ({}, {"cache": B}, None, None, None, B),
    ({}, {"cache": B, "cache_seed": None}, None, None, None, B),
    ({}, {"cache": B}, C, None, None, C),
    ({}, {"cache": B}, None, C, None, B),
    ({}, {"cache_seed": None}, C, None, None, C),
    ({}, {"cache_seed": None}, None, C, None, None),
    ({}, {"cache_seed": None}, None, None, D, None),
    ({}, {"cache_seed": 8}, C, None, None, C),
    ({}, {"cache_seed": 8}, None, C, D, 8),
    ({}, {}, C, D, None, C),
    ({}, {}, C, None, D, C),
    ({}, {}, None, C, D, C),
    ({}, {}, None, None, D, D),
    ({"cache_seed": 0}, {}, None, None, None, 0),
    ({"cache_seed": False}, {}, None, None, None, False),
]


@pytest.mark.parametrize("row", ROWS)
def test_row_of_the_table(create: Callable[..., Any], row: Row, folder: Path, emulator: Emulator) -> None:
    call, constructor, chat, block, process, expected = row
    caches = {name: Cache.memory() for name in (A, B, C, D)}

    def with_caches(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: caches.get(value, value) if name == "cache" else value for name, value in settings.items()}

    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], **with_caches(constructor))
    ostinato.cache = caches[process] if process else None
    with ExitStack() as stack:
        if block:
            stack.enter_context(caches[block])
        if chat:
            stack.enter_context(in_chat(caches[chat]))
        hits = [create(wrapper, messages=HELLO, **with_caches(call)).cache_hit for _ in range(2)]
    close_seed_caches()

    used = [name for name, cache in caches.items() if cache.stats()["stored"]]
    seeds = sorted(path.name for path in folder.glob(".cache/*"))
    if expected in caches:
        assert (used, seeds) == ([expected], [])
    else:
        assert (used, seeds) == ([], [] if expected is None else [str(expected)])
    assert hits == [False, expected is not None]
    assert len(emulator.calls) == (2 if expected is None else 1)


def in_chat(cache: Cache) -> Any:
    """Return a block that is a chat with this `cache=`."""
    from ostinato.agents.session import Session, running

    return running(Session(), cache)


def test_first_level_that_says_anything_decides() -> None:
    said = Level(seed=None)

    assert decide([SILENT, said, Level(seed=7)]) is said
    assert decide([SILENT]) is DEFAULT


def test_block_inside_a_chat_gives_way_to_the_constructor_s_again(emulator: Emulator) -> None:
    outer, inner, own = Cache.memory(), Cache.memory(), Cache.memory()
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], cache=own)
    with in_chat(outer), inner:
        wrapper.create(messages=HELLO)

    assert [cache.stats()["stored"] for cache in (outer, inner, own)] == [0, 0, 1]


def test_entry_of_the_list_goes_before_what_all_have_in_common(folder: Path) -> None:
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o", "cache_seed": 13}], cache_seed=14)
    wrapper.create(messages=HELLO)
    close_seed_caches()

    assert [path.name for path in folder.glob(".cache/*")] == ["13"]


def test_folder_of_the_seeds_is_where_a_setting_or_the_environment_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], cache_path_root="own")
    wrapper.create(messages=HELLO)
    monkeypatch.setenv("OSTINATO_CACHE_PATH_ROOT", str(folder / "all"))
    OpenAIWrapper(config_list=[{"model": "gpt-4o"}]).create(messages=HELLO)
    close_seed_caches()

    assert sorted(str(path.relative_to(folder)) for path in folder.glob("*/41")) == ["all/41", "own/41"]


def test_folder_follows_the_working_directory_of_the_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    wrapper.create(messages=HELLO)
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")

    assert not wrapper.create(messages=HELLO).cache_hit


def test_folder_that_cannot_be_written_is_no_reason_to_fail(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / ".cache").write_text("not a folder")
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])

    assert wrapper.create(messages=HELLO).choices[0].message.content
    close_seed_caches()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_many_seeds_do_not_stay_open(folder: Path) -> None:
    from ostinato.agents import seeds

    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])
    for seed in range(seeds.MOST_OPEN + 3):
        wrapper.create(messages=HELLO, cache_seed=seed)

    assert len(seeds._open) == seeds.MOST_OPEN
    assert wrapper.create(messages=HELLO, cache_seed=0).cache_hit


def test_cache_that_is_none_of_ours_is_refused() -> None:
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}])

    with pytest.raises(ConfigurationError, match="takes a Cache of ostinato"):
        wrapper.create(messages=HELLO, cache=object())


def test_controls_of_one_call_go_with_the_cache_that_the_table_chooses(create: Callable[..., Any]) -> None:
    cache = Cache.memory()
    wrapper = OpenAIWrapper(config_list=[{"model": "gpt-4o"}], cache=cache)
    first = create(wrapper, messages=HELLO)
    fresh = create(wrapper, messages=HELLO, cache={"no-cache": True})

    assert not fresh.cache_hit
    assert fresh != first
    assert create(wrapper, messages=HELLO) == fresh


CHATS: list[tuple[dict[str, Any], bool, bool, str | int | None]] = [
    ({}, False, False, 41),
    ({"cache_seed": None}, False, False, None),
    ({"cache_seed": None}, True, False, A),
    ({"cache_seed": None}, False, True, None),
    ({"cache_seed": 5}, True, True, A),
    ({"cache_seed": 5}, False, True, 5),
    ({}, False, True, B),
]


@pytest.mark.parametrize(("llm", "own", "block", "expected"), CHATS)
def test_row_of_the_table_for_a_whole_chat(
    chat: Callable[..., Any], llm: dict[str, Any], own: bool, block: bool, expected: str | int | None, folder: Path
) -> None:
    caches = {A: Cache.memory(), B: Cache.memory()}
    with ExitStack() as stack:
        if block:
            stack.enter_context(caches[B])
        user, assistant = pair(**llm)
        chat(user, assistant, message="hello", max_turns=2, cache=caches[A] if own else None)
    close_seed_caches()

    used = [name for name, cache in caches.items() if cache.stats()["stored"] == 2]
    seeds = [path.name for path in folder.glob(".cache/*")]
    assert used + seeds == ([] if expected is None else [str(expected)])


def test_cache_is_no_attribute_of_an_agent(chat: Callable[..., Any]) -> None:
    cache = Cache.memory()
    user, assistant = pair()
    chat(user, assistant, message="hello", max_turns=1, cache=cache)

    for agent in (user, assistant):
        assert isinstance(agent, UserProxyAgent | AssistantAgent)
        assert all(value is not cache for part in (agent, agent.client) if part for value in vars(part).values())
