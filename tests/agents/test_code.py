from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import AssistantAgent, Cache, ConversableAgent, UserProxyAgent
from ostinato.agents.code import MAX_OUTPUT_BYTES, Block, Outcome, Workshop, blocks_in, latest_code
from ostinato.errors import ConfigurationError
from ostinato.testing.emulator import Emulator, Reply
from tests.agents.casts import LLM, ends


def shop(folder: Path, **more: Any) -> Workshop:
    return Workshop({"use_docker": False, "work_dir": str(folder), **more})


def python(code: str) -> list[Block]:
    return [Block("python", code)]


def test_code_is_found_between_fences_with_its_language() -> None:
    text = (
        "First:\n```python\nprint(1)\n```\nthen\n```sh\necho 2\n```\nand\n```\nprint(3)\n```\n```\nno code at all\n```"
    )

    assert blocks_in(text) == [Block("python", "print(1)"), Block("sh", "echo 2"), Block("python", "print(3)")]
    assert blocks_in("```\npip install x\n```") == [Block("sh", "pip install x")]
    assert blocks_in("`print(1)` in a sentence") == []
    assert blocks_in("```python\r\nprint(1)\r\n```") == python("print(1)")


@pytest.mark.parametrize("config", [True, {}, {"use_docker": True}, {"use_docker": "python:3"}, {"work_dir": "x"}])
def test_code_in_docker_is_an_error_that_says_what_to_do(config: Any) -> None:
    with pytest.raises(ConfigurationError, match="'use_docker': False"):
        UserProxyAgent("user", code_execution_config=config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"use_docker": False, "workdir": "x"}, "'workdir'"),
        ({"use_docker": False, "last_n_messages": 0}, "last_n_messages"),
    ],
)
def test_a_wrong_setting_is_named(config: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ConversableAgent("a", code_execution_config=config)


def test_nothing_runs_unless_it_was_asked_for() -> None:
    user = UserProxyAgent("user", human_input_mode="NEVER")
    message = {"role": "user", "content": "```python\nprint(1)\n```"}

    assert user.workshop is None
    assert user.generate_code_execution_reply([message]) == (False, None)


def test_blocks_run_in_order_up_to_the_first_that_fails(tmp_path: Path) -> None:
    said = shop(tmp_path).run(
        [Block("python", "print('one')"), Block("sh", "echo two; exit 3"), Block("sh", "echo three")]
    )

    assert said == Outcome(3, "\none\n\ntwo\n")
    assert said.told == "exitcode: 3 (execution failed)\nCode output: \none\n\ntwo\n"
    assert shop(tmp_path).run(python("print(1)")).told == "exitcode: 0 (execution succeeded)\nCode output: \n1\n"
    assert shop(tmp_path).run([Block("cobol", "x")]) == Outcome(1, "\nunknown language cobol")


def test_what_runs_has_a_folder_of_its_own_and_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    code = "import os; print(os.getcwd()); print(sorted(os.environ))"
    said = shop(tmp_path / "work").run(python(code)).output

    assert str((tmp_path / "work").resolve()) in said
    assert "OPENAI_API_KEY" not in said
    assert {path.suffix for path in (tmp_path / "work").iterdir()} == {".py"}


def test_a_folder_that_nobody_named_is_new_and_its_owners_alone() -> None:
    one, other = Workshop({"use_docker": False}), Workshop({"use_docker": False})
    folders = [workshop.run(python("import os; print(os.getcwd())")).output.strip() for workshop in (one, one, other)]

    assert folders[0] == folders[1] != folders[2]
    assert {stat.S_IMODE(Path(folder).stat().st_mode) for folder in folders} == {0o700}


@pytest.mark.parametrize("name", ["../outside.py", "/etc/outside.py", "a/../../outside.py"])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    said = shop(tmp_path / "work").run(python(f"# filename: {name}\nprint(1)"))

    assert said.exit_code == 1
    assert "leads out" in said.output
    assert not (tmp_path / "outside.py").exists()


def test_a_file_name_in_the_folder_is_kept_and_is_no_command(tmp_path: Path) -> None:
    said = shop(tmp_path).run(python("# filename: sub/$(touch${IFS}x);y.py\nprint('ran')"))

    assert said == Outcome(0, "\nran\n")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["$(touch${IFS}x);y.py"]


def test_code_that_takes_too_long_is_ended_with_all_it_began(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    gone = threading.Thread(target=held.read_bytes, daemon=True)  # reads to the end, which is when nobody holds it
    gone.start()
    said = shop(tmp_path, timeout=1).run([Block("sh", f"exec 3>{held}; sleep 600 & echo begun; wait")])
    gone.join(30)

    assert said == Outcome(124, "\nbegun\n\nTimeout")
    assert not gone.is_alive()


def test_output_is_kept_up_to_a_bound(tmp_path: Path) -> None:
    said = shop(tmp_path).run(python(f"print('x' * {MAX_OUTPUT_BYTES * 2})"))

    assert said.exit_code == 0
    assert len(said.output) < MAX_OUTPUT_BYTES + 100
    assert said.output.endswith("bytes are kept)")


def test_an_executor_of_ones_own_runs_it_instead() -> None:
    seen: list[list[Block]] = []

    def run(blocks: list[Block]) -> Outcome:
        seen.append(blocks)
        return Outcome(0, "elsewhere")

    agent = ConversableAgent("a", code_execution_config={"executor": run})
    answer = agent.generate_code_execution_reply([{"role": "user", "content": "```python\nprint(1)\n```"}])

    assert answer == (True, "exitcode: 0 (execution succeeded)\nCode output: elsewhere")
    assert seen == [python("print(1)")]


def test_code_is_looked_for_as_far_back_as_was_said() -> None:
    said = [
        {"role": "user", "content": "```python\nprint('old')\n```"},
        {"role": "assistant", "content": "done"},
        {"role": "user", "content": "```python\nprint('new')\n```"},
        {"role": "user", "content": "and now?"},
    ]

    assert latest_code(said, "auto") == python("print('new')")
    assert latest_code(said, 1) == []
    assert latest_code(said[:2], "auto") == []
    assert latest_code(said[:2], 2) == python("print('old')")
    assert latest_code([{"role": "user", "content": None}], "auto") == []


@pytest.mark.parametrize("awaits", [False, True])
def test_a_chat_that_runs_code_repeats_from_the_cache(emulator: Emulator, tmp_path: Path, *, awaits: bool) -> None:
    emulator.script(Reply(text="Run this:\n```python\nprint(6 * 7)\n```"), Reply(text="It is 42. TERMINATE"))
    results = []
    for _ in range(2):
        user = UserProxyAgent(
            "user",
            human_input_mode="NEVER",
            is_termination_msg=ends,
            code_execution_config={"use_docker": False, "work_dir": str(tmp_path / "work")},
        )
        assistant = AssistantAgent("assistant", llm_config=LLM)
        with Cache.disk(cache_path_root=tmp_path / "cache") as cache:
            if awaits:
                results.append(asyncio.run(user.a_initiate_chat(assistant, message="6 × 7?", cache=cache, silent=True)))
            else:
                results.append(user.initiate_chat(assistant, message="6 × 7?", cache=cache, silent=True))

    assert results[0].chat_history == results[1].chat_history
    assert results[0].chat_history[2]["content"] == "exitcode: 0 (execution succeeded)\nCode output: \n42\n"
    assert len(emulator.calls) == 2
