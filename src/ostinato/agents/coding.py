"""Who carries code out: this machine where that was asked for, or whom the user names. AutoGen's `autogen.coding`.

Whoever answers a message decides what runs here, a model among them. So nothing runs unless the agent's
`code_execution_config` says `use_docker=False` or names an executor.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from ostinato.agents.code import Block, HowFar, Outcome
from ostinato.agents.program import Program
from ostinato.agents.steps import Call, Do, Steps, twins
from ostinato.errors import ConfigurationError

CodeBlock = Block
CodeResult = Outcome
CommandLineCodeResult = Outcome
USUAL_TIMEOUT_S = 60.0

_FILE_NAME = re.compile(r"\A\s*#[ \t]*filename:[ \t]*(?P<name>[^\n]*?)[ \t]*(?:\n|\Z)")
_SHELLS = frozenset({"sh", "shell", "bash"})
_PYTHONS = frozenset({"python", "py", "python3"})
_SETTINGS = ("executor", "last_n_messages", "record", "timeout", "use_docker", "work_dir")


class LocalCommandLineCodeExecutor:
    """Runs Python and shell on this machine, as the models say and with your rights."""

    def __init__(self, timeout: float = USUAL_TIMEOUT_S, work_dir: str | Path | None = None, *, lead: str = "") -> None:
        """Take a limit and a folder; neither is used before something runs.

        Args:
            timeout: seconds for one block; then it is ended with all it began.
            work_dir: where code is written and run, made where it is missing; unless given, a folder of this
                executor alone, which goes when it goes.
            lead: what stands before the output of each block.

        Raises: ConfigurationError: a timeout that is none.
        """
        self._timeout_s = _seconds(timeout)
        self._given = None if work_dir is None else Path(work_dir)
        self._own: Path | None = None
        self._lead = lead

    def _execute_code_blocks(self, code_blocks: Sequence[Block]) -> Steps[Outcome]:
        """Carry blocks out one after another, up to the first that fails."""
        exit_code, output = 0, ""
        for block in code_blocks:
            exit_code, said = yield from self._one(block)
            output += f"{self._lead}{said}"
            if exit_code != 0:
                break
        return Outcome(exit_code, output)

    execute_code_blocks, a_execute_code_blocks = twins(_execute_code_blocks, "execute_code_blocks")

    def _one(self, block: Block) -> Steps[tuple[int, str]]:
        if block.language not in _SHELLS | _PYTHONS:
            return 1, f"unknown language {block.language}"
        try:
            folder = self._folder()
        except OSError as exc:
            return 1, f"there is no folder to run it in: {exc.strerror}"
        try:
            path = place_of(block, folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8", errors="replace")
            program = Program([_interpreter(block.language), str(path)], folder, self._timeout_s)
            exit_code, said = yield Do(program.run, program.arun)
        except (OSError, ValueError) as exc:  # the model reads it
            exit_code, said = 1, f"the code cannot be run: {exc}"
        # Where the folder lies differs from run to run, and what is said must not.
        return exit_code, said.replace(f"{folder}/", "").replace(str(folder), ".")

    def _folder(self) -> Path:
        if self._given is not None:
            self._given.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._given.resolve()
        if self._own is None:
            self._own = Path(tempfile.mkdtemp(prefix="ostinato-code-")).resolve()
            weakref.finalize(self, shutil.rmtree, self._own, ignore_errors=True)
        return self._own


def place_of(block: Block, folder: Path) -> Path:
    """Return where a block is written: the file that its first line names, or one named by what is in it.

    Raises: ValueError: the name leads out of the folder, or is none.
    """
    named = _FILE_NAME.match(block.code)
    ending = "py" if block.language in _PYTHONS else "sh"
    digest = sha256(block.code.encode("utf-8", "replace")).hexdigest()
    name = named["name"] if named else f"tmp_code_{digest[:16]}.{ending}"
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"the file name {name!r} leads out of the folder")
    return path


def _interpreter(language: str) -> str:
    if language in _PYTHONS:
        return sys.executable
    return "bash" if language == "bash" and shutil.which("bash") else "sh"


class Workshop:
    """How one agent has code carried out."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take the settings of `code_execution_config`.

        Args:
            config: `use_docker=False` runs code on this machine, in `work_dir` (a new folder unless given), each block
                for `timeout` seconds; `executor` runs it elsewhere: an object with `execute_code_blocks`, or such a
                function, of a list of `Block` that returns an `Outcome`. `last_n_messages` is how far back code is
                looked for; `"auto"`: to the agent's own last word. `record=True` keeps what came of it in the
                conversation's cache, and repeats it there.

        Raises: ConfigurationError: code would have to run in Docker, or a setting is wrong.
        """
        unknown = sorted(set(config) - set(_SETTINGS))
        if unknown:
            raise ConfigurationError(f"code_execution_config has no {unknown[0]!r}; it has {', '.join(_SETTINGS)}")
        self.how_far = _how_far(config.get("last_n_messages", "auto"))
        self.records = bool(config.get("record"))
        self._executor = _executor_of(config)

    def carry_out(self, blocks: list[Block]) -> Steps[Outcome]:
        """Return what came of blocks."""
        executor = self._executor
        run = getattr(executor, "execute_code_blocks", executor)
        if type(executor) is LocalCommandLineCodeExecutor:
            outcome = yield Do(run, executor.a_execute_code_blocks, (blocks,))
        elif inspect.iscoroutinefunction(run):
            outcome = yield Call(run, (blocks,))
        else:
            outcome = yield Do(run, partial(asyncio.to_thread, run), (blocks,))
        return Outcome(int(outcome.exit_code), str(outcome.output))


def _executor_of(config: Mapping[str, Any]) -> Any:
    executor = config.get("executor")
    if executor is not None:
        if not callable(getattr(executor, "execute_code_blocks", executor)):
            raise ConfigurationError(f"executor must have execute_code_blocks, or be a function, not {executor!r}")
        misplaced = [name for name in ("timeout", "use_docker", "work_dir") if name in config]
        if misplaced:
            raise ConfigurationError(f"{misplaced[0]!r} is the executor's own affair where there is an 'executor'")
        return executor
    if config.get("use_docker", True) is not False:
        raise ConfigurationError(
            "code runs in Docker unless told otherwise, and no Docker is driven here: pass an 'executor' that runs"
            " it there, or 'use_docker': False to run it on this machine, as the models say and with your rights"
        )
    timeout = config.get("timeout")
    return LocalCommandLineCodeExecutor(
        USUAL_TIMEOUT_S if timeout is None else timeout,
        config.get("work_dir"),
        lead="\n",  # as AutoGen's agents write it
    )


def _seconds(said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < float("inf"):
        raise ConfigurationError(f"timeout must be a number of seconds above 0, not {said!r}")
    return said


def _how_far(said: Any) -> HowFar:
    if said == "auto" or (isinstance(said, int) and not isinstance(said, bool) and said >= 0):
        how_far: HowFar = said
        return how_far
    raise ConfigurationError(f"last_n_messages must be a whole number from 0 up, or 'auto', not {said!r}")
