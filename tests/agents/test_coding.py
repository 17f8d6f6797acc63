"""Code in processes of its own: a folder, a time limit, a bound on what it prints, no keys, and nothing left over."""

from __future__ import annotations

import asyncio
import gc
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ostinato.agents import ConversableAgent
from ostinato.agents.coding import CodeBlock, CommandLineCodeResult, LocalCommandLineCodeExecutor
from ostinato.agents.program import MOST_PRINTED, TIMED_OUT

Execute = Callable[..., CommandLineCodeResult]


def execute_sync(executor: LocalCommandLineCodeExecutor, *blocks: CodeBlock) -> CommandLineCodeResult:
    return executor.execute_code_blocks(blocks)


def execute_async(executor: LocalCommandLineCodeExecutor, *blocks: CodeBlock) -> CommandLineCodeResult:
    return asyncio.run(executor.a_execute_code_blocks(blocks))


@pytest.fixture(params=[execute_sync, execute_async], ids=["sync", "async"])
def execute(request: pytest.FixtureRequest) -> Execute:
    """Carry blocks out, in either world."""
    run: Execute = request.param
    return run


@pytest.fixture
def here(tmp_path: Path) -> LocalCommandLineCodeExecutor:
    return LocalCommandLineCodeExecutor(work_dir=tmp_path / "work")


def python(code: str) -> CodeBlock:
    return CodeBlock(language="python", code=code)


def sh(code: str) -> CodeBlock:
    return CodeBlock(language="sh", code=code)


def test_blocks_run_in_order_up_to_the_first_that_fails(execute: Execute, here: LocalCommandLineCodeExecutor) -> None:
    said = execute(here, python("print('one')"), sh("echo two; exit 3"), sh("echo three"))

    assert said == CommandLineCodeResult(exit_code=3, output="one\ntwo\n")
    assert execute(here, python("")) == CommandLineCodeResult(0, "")
    assert execute(here, CodeBlock("cobol", "x")) == CommandLineCodeResult(1, "unknown language cobol")


def test_an_agent_tells_it_in_autogen_s_words(tmp_path: Path) -> None:
    agent = ConversableAgent("a", code_execution_config={"use_docker": False, "work_dir": str(tmp_path)})
    message = {"role": "user", "content": "```python\nprint(1)\n```\n```sh\necho 2; exit 3\n```"}

    assert agent.generate_code_execution_reply([message]) == (
        True,
        "exitcode: 3 (execution failed)\nCode output: \n1\n\n2\n",
    )
    assert agent.execute_code_blocks([("python", "print(1)")]) == (0, "\n1\n")


def test_errors_are_heard_with_the_rest(here: LocalCommandLineCodeExecutor) -> None:
    said = execute_sync(here, python("import sys; print('one', flush=True); sys.exit('two')"))

    assert said == CommandLineCodeResult(1, "one\ntwo\n")


def test_bash_is_bash(here: LocalCommandLineCodeExecutor) -> None:
    said = execute_sync(here, CodeBlock("bash", "a=(1 2); echo ${a[1]}"))

    assert said == CommandLineCodeResult(0, "2\n")


def test_what_runs_gets_no_key(here: LocalCommandLineCodeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    monkeypatch.setenv("DATABASE", "planted")
    said = execute_sync(here, sh("env"))

    assert "planted" not in said.output
    assert "PATH=" in said.output


def test_where_the_folder_lies_is_not_told(tmp_path: Path) -> None:
    code = python("import os; print(os.getcwd(), __file__, {'a', 'b', 'c', 'd', 'e'}); raise KeyError")
    said = [execute_sync(LocalCommandLineCodeExecutor(work_dir=tmp_path / name), code) for name in ("one", "other")]

    assert said[0] == said[1]
    assert said[0].output.startswith(". tmp_code_")


def test_a_folder_that_nobody_named_is_its_executor_s_alone_and_goes_with_it(execute: Execute) -> None:
    one, other = LocalCommandLineCodeExecutor(), LocalCommandLineCodeExecutor()
    execute(one, sh("touch kept"))

    assert execute(one, sh("ls kept")).exit_code == 0
    assert execute(other, sh("ls kept")).exit_code != 0
    folders = [executor._folder() for executor in (one, other)]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    del one, other
    gc.collect()
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    "name", ["../outside.py", "/etc/outside.py", "a/../../outside.py", ".", "..", "", "link", "a\0b.py", "x" * 300]
)
def test_a_file_name_that_cannot_be_or_leads_out_of_the_folder_is_told(
    tmp_path: Path, here: LocalCommandLineCodeExecutor, name: str
) -> None:
    execute_sync(here, sh(f"ln -s {tmp_path / 'outside.py'} link; mkdir sub"))
    said = execute_sync(here, python(f"# filename: {name}\nprint(1)"))

    assert said.exit_code == 1
    assert "the code cannot be run" in said.output
    assert str(tmp_path) not in said.output
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


@pytest.mark.parametrize("name", ["sub/$(touch${IFS}x);y.py", "-c.py", "a b; touch x.py", "`touch x`.py"])
def test_a_file_name_in_the_folder_is_kept_and_is_no_command(
    tmp_path: Path, here: LocalCommandLineCodeExecutor, name: str
) -> None:
    said = execute_sync(here, python(f"# filename: {name}\nprint('ran')"))

    assert said == CommandLineCodeResult(0, "ran\n")
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == [tmp_path / "work" / name]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = execute_sync(LocalCommandLineCodeExecutor(work_dir=tmp_path / "file" / "work"), sh("echo"))

    assert said == CommandLineCodeResult(1, "there is no folder to run it in: Not a directory")


def test_text_that_no_file_can_hold_is_no_crash(here: LocalCommandLineCodeExecutor) -> None:
    assert execute_sync(here, python("print('\ud800')")) == CommandLineCodeResult(0, "?\n")


class Held:
    """A pipe that is read to its end, which is when nobody holds it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self.begun = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.path.open("rb") as pipe:
            pipe.read(1)
            self.begun.set()
            pipe.read()

    def is_let_go(self) -> bool:
        self._reader.join(30)
        return not self._reader.is_alive()


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path / "held")


def test_code_that_takes_too_long_is_ended_with_all_it_began(execute: Execute, tmp_path: Path, held: Held) -> None:
    executor = LocalCommandLineCodeExecutor(timeout=1, work_dir=tmp_path / "work")
    said = execute(executor, sh(f"exec 3>{held.path}; echo x >&3; sleep 600 & echo begun; wait"), sh("echo never"))

    assert said == CommandLineCodeResult(TIMED_OUT, "begun\n\nTimeout")
    assert held.is_let_go()


def test_what_goes_on_behind_code_that_is_done_is_ended(here: LocalCommandLineCodeExecutor, held: Held) -> None:
    said = execute_sync(here, sh(f"exec 3>{held.path}; echo x >&3; sleep 600 & echo done"))

    assert said == CommandLineCodeResult(0, "done\n")
    assert held.is_let_go()


def test_code_whose_chat_is_cut_off_is_ended(here: LocalCommandLineCodeExecutor, held: Held) -> None:
    async def cut_off() -> None:
        code = sh(f"exec 3>{held.path}; echo x >&3; sleep 600 & wait")
        task = asyncio.create_task(here.a_execute_code_blocks([code]))
        await asyncio.to_thread(held.begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(held.is_let_go)

    asyncio.run(cut_off())


def test_of_endless_output_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    executor = LocalCommandLineCodeExecutor(work_dir=tmp_path)
    said = execute_sync(executor, python(f"print('begun'); print('x' * {50 * MOST_PRINTED}); print('ended')"))

    assert said.exit_code == 0
    assert said.output.startswith("begun\nxxx")
    assert said.output.endswith("xxx\nended\n")
    assert "bytes left out" in said.output
    assert len(said.output) < MOST_PRINTED + 100


def test_what_is_printed_by_what_never_ends_fills_no_disk(tmp_path: Path) -> None:
    executor = LocalCommandLineCodeExecutor(timeout=1, work_dir=tmp_path)
    said = execute_sync(executor, sh("yes"))

    assert said.exit_code == TIMED_OUT
    assert len(said.output) < MOST_PRINTED + 200
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 1000


def test_what_runs_does_not_read_what_is_typed(here: LocalCommandLineCodeExecutor) -> None:
    kept, (reads, writes) = os.dup(0), os.pipe()
    try:
        os.dup2(reads, 0)
        os.write(writes, b"typed\n")
        said = execute_sync(here, python("print(input())"))
    finally:
        os.dup2(kept, 0)
        for descriptor in (kept, reads, writes):
            os.close(descriptor)

    assert "EOFError" in said.output


def test_blocks_of_two_chats_run_side_by_side(tmp_path: Path) -> None:
    """Each waits for the other's file."""

    def code(mine: str, other: str) -> CodeBlock:
        return sh(f"touch {tmp_path}/{mine}; while ! test -e {tmp_path}/{other}; do sleep 0.01; done")

    async def both() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(LocalCommandLineCodeExecutor(timeout=30).a_execute_code_blocks([block]))
                for block in (code("a", "b"), code("b", "a"))
            ]
        return [task.result().exit_code for task in tasks]

    assert asyncio.run(both()) == [0, 0]
