"""Code in messages: found, run where that was asked for, and told in AutoGen's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import AssistantAgent, Cache, ConversableAgent, UserProxyAgent
from ostinato.agents.code import Block, Outcome, blocks_in, latest_code
from ostinato.errors import ConfigurationError, ReplayMissError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, contents, ends

Chat = Callable[..., Any]
PRINT_1 = "```python\nprint(1)\n```"


def python(code: str) -> list[Block]:
    return [Block("python", code)]


def heard(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


# Where code stands.


def test_code_is_found_between_fences_with_its_language() -> None:
    text = (
        "First:\n```python\nprint(1)\n```\nthen\n```sh\necho 2\n```\nand\n```\nprint(3)\n```\n```\nno code at all\n```"
    )

    assert blocks_in(text) == [Block("python", "print(1)"), Block("sh", "echo 2"), Block("python", "print(3)")]
    assert blocks_in("```\npip install x\n```") == [Block("sh", "pip install x")]
    assert blocks_in("`print(1)` in a sentence") == []
    assert blocks_in("```python\nprint(1)\n") == []
    assert blocks_in("```sh\r\necho 1\r\necho 2\r\n```") == [Block("sh", "echo 1\necho 2")]


def test_an_empty_block_does_not_swallow_what_follows() -> None:
    assert blocks_in("```python\n```\nsome words\n```sh\necho 1\n```") == [Block("python", ""), Block("sh", "echo 1")]


def test_code_is_looked_for_as_far_back_as_was_said() -> None:
    said = [*heard("```python\nprint('old')\n```"), {"role": "assistant", "content": "done"}]
    more = [*said, *heard("```python\nprint('new')\n```"), *heard("and now?")]

    assert latest_code(more, "auto") == python("print('new')")
    assert latest_code(more, 1) == []
    assert latest_code(more, 2) == python("print('new')")
    assert latest_code(more, 0) == []
    assert latest_code(said, "auto") == []
    assert latest_code(said, 99) == python("print('old')")
    assert latest_code(heard(None), "auto") == []
    assert latest_code(heard([{"type": "text", "text": PRINT_1}]), "auto") == python("print(1)")


# Whether it is run.


@pytest.mark.parametrize("config", [True, {}, {"use_docker": True}, {"use_docker": "python:3"}, {"work_dir": "x"}])
def test_code_in_docker_is_an_error_that_says_what_to_do(config: Any) -> None:
    with pytest.raises(ConfigurationError, match="'use_docker': False"):
        UserProxyAgent("user", code_execution_config=config)


def test_no_variable_of_the_environment_lets_code_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGEN_USE_DOCKER", "False")

    with pytest.raises(ConfigurationError, match="'use_docker': False"):
        UserProxyAgent("user", code_execution_config={})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_docker": False, "workdir": "x"}, "'workdir'"),
        ({"use_docker": False, "last_n_messages": -1}, "last_n_messages"),
        ({"use_docker": False, "last_n_messages": True}, "last_n_messages"),
        ({"use_docker": False, "timeout": 0}, "timeout"),
        ({"use_docker": False, "timeout": "1"}, "timeout"),
        ({"use_docker": False, "timeout": float("inf")}, "timeout"),
        ({"executor": "commandline-local"}, "executor"),
        ({"executor": lambda blocks: Outcome(0, ""), "work_dir": "x"}, "'work_dir'"),
    ],
)
def test_a_wrong_setting_is_named(config: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ConversableAgent("a", code_execution_config=config)


def test_nothing_runs_unless_it_was_asked_for(chat: Chat, emulator: Emulator, folder: Path) -> None:
    emulator.script(Reply(text="```sh\ntouch ran\n```"), times=None)
    user = UserProxyAgent("user", human_input_mode="NEVER", default_auto_reply="No.")

    assert user.generate_code_execution_reply(heard(PRINT_1)) == (False, None)
    with pytest.raises(ConfigurationError, match="runs no code"):
        user.execute_code_blocks([("python", "print(1)")])
    assert contents(chat(user, AssistantAgent("a", llm_config=LLM), message="go", max_turns=2))[2] == "No."
    assert not list(folder.rglob("ran"))


# What is said of it.


class Elsewhere:
    """An executor as AutoGen's are made."""

    def __init__(self) -> None:
        self.seen: list[list[Block]] = []

    def execute_code_blocks(self, code_blocks: list[Block]) -> Outcome:
        self.seen.append(code_blocks)
        return Outcome(1, "elsewhere")


async def awaited(code_blocks: list[Block]) -> Outcome:
    await asyncio.sleep(0)
    return Outcome(0, f"{len(code_blocks)} run")


def answer_of(agent: ConversableAgent, asynchronous: bool) -> Any:
    messages = heard(PRINT_1)
    if asynchronous:
        return asyncio.run(agent.a_generate_code_execution_reply(messages))
    return agent.generate_code_execution_reply(messages)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_executor_of_ones_own_runs_it_instead(asynchronous: bool) -> None:
    there = Elsewhere()
    agent = ConversableAgent("a", code_execution_config={"executor": there})
    called = ConversableAgent("b", code_execution_config={"executor": there.execute_code_blocks})
    failed = (True, "exitcode: 1 (execution failed)\nCode output: elsewhere")

    assert answer_of(agent, asynchronous) == answer_of(called, asynchronous) == failed
    assert there.seen == [python("print(1)")] * 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_executor_may_be_awaited(asynchronous: bool) -> None:
    agent = ConversableAgent("a", code_execution_config={"executor": awaited})

    assert answer_of(agent, asynchronous) == (True, "exitcode: 0 (execution succeeded)\nCode output: 1 run")


def test_a_class_may_carry_code_out_in_a_way_of_its_own(folder: Path) -> None:
    class Careful(ConversableAgent):
        def execute_code_blocks(self, code_blocks: Any) -> Any:
            return 3, f"refused: {code_blocks}"

    agent = Careful("a", code_execution_config={"use_docker": False})

    assert agent.generate_code_execution_reply(heard(PRINT_1)) == (
        True,
        "exitcode: 3 (execution failed)\nCode output: refused: [('python', 'print(1)')]",
    )


def test_what_is_run_is_shown_in_autogen_s_words(capsys: Any) -> None:
    agent = ConversableAgent("a", code_execution_config={"executor": lambda blocks: Outcome(0, "")})
    agent.generate_code_execution_reply(heard(PRINT_1))
    agent.generate_code_execution_reply(heard(f"{PRINT_1}\n```sh\necho\n```"))

    assert capsys.readouterr().out == (
        "\n>>>>>>>> EXECUTING CODE BLOCK (inferred language is python)...\n"
        "\n>>>>>>>> EXECUTING 2 CODE BLOCKS (inferred languages are [python, sh])...\n"
    )


# In a conversation.


def hold(chat: Chat, cache: Cache, **config: Any) -> Any:
    user = UserProxyAgent(
        "user",
        human_input_mode="NEVER",
        is_termination_msg=ends,
        code_execution_config={"use_docker": False, **config},
    )
    return chat(user, AssistantAgent("assistant", llm_config=LLM), message="6 × 7?", cache=cache)


def test_a_chat_that_runs_code_is_repeated_for_nothing_and_its_files_come_to_be(
    chat: Chat, emulator: Emulator, folder: Path
) -> None:
    code = "import os\nopen('made', 'w').close()\nprint(6 * 7, os.getcwd(), {'a', 'b', 'c', 'd'})\nraise KeyError"
    emulator.script(Reply(text=f"Run this:\n```python\n{code}\n```"), Reply(text="It is 42. TERMINATE"))
    results = []
    for name in ("one", "other"):
        with Cache.disk(cache_path_root=folder / "cache") as cache:
            results.append(hold(chat, cache, work_dir=folder / name))

    assert results[0].chat_history == results[1].chat_history
    assert "exitcode: 1 (execution failed)\nCode output: \n42 . {" in contents(results[0])[2]
    assert 'File "tmp_code_' in contents(results[0])[2]
    assert (folder / "one" / "made").exists()
    assert (folder / "other" / "made").exists()
    assert len(emulator.calls) == 2


def test_what_came_of_code_is_repeated_with_the_conversation_where_that_was_asked_for(
    chat: Chat, emulator: Emulator, folder: Path
) -> None:
    code = "```python\nimport time\nprint(time.time_ns())\nopen('ran', 'a').write('x')\n```"
    emulator.script(Reply(text=code), Reply(text=f"Once more:\n{code}"), Reply(text="TERMINATE"))
    store = Cache.memory().store
    first, second, replayed = (
        hold(chat, Cache(store=store, mode=mode), work_dir=folder / "work", record=True)
        for mode in ("default_on", "default_on", "replay")
    )

    assert first.chat_history == second.chat_history == replayed.chat_history
    assert contents(first)[2] != contents(first)[4]
    assert (folder / "work" / "ran").read_text() == "xx"
    assert len(emulator.calls) == 3


def test_code_that_is_not_on_record_does_not_run_in_replay_mode() -> None:
    there = Elsewhere()
    agent = ConversableAgent("a", code_execution_config={"executor": there, "record": True}, llm_config=LLM)

    with Cache(mode="replay"), pytest.raises(ReplayMissError, match="nothing is run in replay mode"):
        agent.generate_code_execution_reply(heard(PRINT_1))
    assert there.seen == []


def test_recording_without_a_cache_is_said(caplog: pytest.LogCaptureFixture) -> None:
    agent = ConversableAgent(
        "a",
        code_execution_config={"executor": lambda blocks: Outcome(0, "1"), "record": True},
        llm_config={**LLM, "cache_seed": None},
    )

    assert agent.generate_code_execution_reply(heard(PRINT_1))[0]
    assert "has no cache" in caplog.text
