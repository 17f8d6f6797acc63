"""Code in messages: found, and carried out in a process of its own where that was asked for.

Whoever answers a message decides what runs here, a model among them. So nothing runs unless the agent's
`code_execution_config` says `use_docker=False`; what runs has a folder of its own, a time limit, and nothing of
this process's environment but what a program cannot do without: no keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from ostinato.errors import ConfigurationError

MAX_OUTPUT_BYTES = 1 << 20
"""What is kept of the output of one block."""
USUAL_TIMEOUT_S = 60.0

_BLOCK = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+#-]*)[ \t]*\r?\n(?P<code>.*?)\r?\n[ \t]*```", re.DOTALL | re.MULTILINE
)
_FILE_NAME = re.compile(r"\A\s*(?:#|//|<!--)\s*filename:\s*(?P<name>\S+)")
_SHELLS = frozenset({"sh", "shell", "bash"})
_PYTHONS = frozenset({"python", "py", "python3"})
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TZ")
_SETTINGS = ("executor", "last_n_messages", "timeout", "use_docker", "work_dir")


class Block(msgspec.Struct, frozen=True):
    """One piece of code."""

    language: str
    code: str


class Outcome(msgspec.Struct, frozen=True):
    """What came of the blocks of one message: that of the last that ran, and the output of all."""

    exit_code: int
    output: str

    @property
    def told(self) -> str:
        """What is said of it, in AutoGen's words."""
        ended = "execution succeeded" if self.exit_code == 0 else "execution failed"
        return f"exitcode: {self.exit_code} ({ended})\nCode output: {self.output}"


Executor = Callable[[list[Block]], Outcome]


def blocks_in(text: str) -> list[Block]:
    """Return the fenced blocks of a message that name a language, or whose language can be told."""
    found = (
        Block(block["language"].lower() or _language_of(block["code"]), block["code"])
        for block in _BLOCK.finditer(text)
    )
    return [block for block in found if block.language]


def _language_of(code: str) -> str:
    if code.lstrip().startswith(("python ", "python3 ", "pip ", "$ ")):
        return "sh"
    try:
        compile(code, "block", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return "python"


class Workshop:
    """Where one agent's code runs."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Take the settings of `code_execution_config`.

        Args:
            config: `use_docker=False` runs code on this machine, in `work_dir` (a new folder unless given), each block
                for `timeout` seconds; `executor`, a function of a list of `Block` that returns an `Outcome`, runs it
                elsewhere. `last_n_messages` is how far back code is looked for; `"auto"`: to its own last word.

        Raises: ConfigurationError: code would have to run in Docker, or a setting is wrong.
        """
        unknown = sorted(set(config) - set(_SETTINGS))
        if unknown:
            raise ConfigurationError(f"code_execution_config has no {unknown[0]!r}; it has {', '.join(_SETTINGS)}")
        self.last_n_messages: int | str = config.get("last_n_messages", "auto")
        if self.last_n_messages != "auto" and not (isinstance(self.last_n_messages, int) and self.last_n_messages > 0):
            raise ConfigurationError(
                f"last_n_messages must be a number above 0, or 'auto', not {self.last_n_messages!r}"
            )
        self._timeout_s = float(config.get("timeout") or USUAL_TIMEOUT_S)
        self._executor: Executor | None = config.get("executor")
        self._folder: str | None = config.get("work_dir")
        if self._executor is None and config.get("use_docker", True) is not False:
            raise ConfigurationError(
                "code runs in Docker unless told otherwise, and no Docker is driven here: pass an 'executor' that runs"
                " it there, or 'use_docker': False to run it on this machine, as the models say and with your rights"
            )

    def run(self, blocks: list[Block]) -> Outcome:
        """Carry blocks out one after another, up to the first that fails."""
        if self._executor is not None:
            return self._executor(blocks)
        exit_code, output = 0, ""
        for block in blocks:
            exit_code, said = self._run_one(block)
            output += f"\n{said}"
            if exit_code != 0:
                break
        return Outcome(exit_code, output)

    async def arun(self, blocks: list[Block]) -> Outcome:
        """Carry blocks out as `run` does, without holding up whatever else is awaited."""
        return await asyncio.to_thread(self.run, blocks)

    def _run_one(self, block: Block) -> tuple[int, str]:
        if block.language not in _SHELLS | _PYTHONS:
            return 1, f"unknown language {block.language}"
        folder = Path(self._prepared())
        named = _FILE_NAME.match(block.code)
        ending = "py" if block.language in _PYTHONS else "sh"
        name = named["name"] if named else f"tmp_code_{sha256(block.code.encode()).hexdigest()[:16]}.{ending}"
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            return 1, f"the file name {name!r} leads out of the folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
        command = [sys.executable if ending == "py" else "sh", str(path)]
        return _ran(command, folder, self._timeout_s)

    def _prepared(self) -> str:
        """Return the folder, made where it is missing; a new one is for its owner alone."""
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="ostinato-code-")
        folder = Path(self._folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)


def workshop_of(config: Mapping[str, Any] | bool) -> Workshop | None:  # AutoGen's type
    """Return where code runs by an agent's `code_execution_config`, or None where none does."""
    if config is False or config is None:
        return None
    return Workshop({} if config is True else config)


def _ran(command: list[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    """Run a command with nothing to read, and return its exit code and what it printed; 124 where it took too long."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryFile() as printed:
        try:
            process = subprocess.Popen(  # noqa: S603  # it is what the user asked for
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as exc:
            return 127, f"{command[0]!r} cannot be run: {exc.strerror}"
        try:
            exit_code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            exit_code = 124
        finally:
            _end(process)
        printed.seek(0)
        said = printed.read(MAX_OUTPUT_BYTES).decode("utf-8", "replace")
        if printed.read(1):
            said += f"\n… (only the first {MAX_OUTPUT_BYTES} bytes are kept)"
    return exit_code, said if exit_code != 124 else f"{said}\nTimeout"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what a command left running: the whole group that it began."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def latest_code(messages: list[Any], last_n_messages: int | str) -> list[Block]:
    """Return the blocks of the latest message that has any, of those to be looked at."""
    for message in reversed(list(_looked_at(messages, last_n_messages))):
        content = message.get("content")
        found = blocks_in(content) if isinstance(content, str) else []
        if found:
            return found
    return []


def _looked_at(messages: list[Any], last_n_messages: int | str) -> Iterable[Any]:
    if isinstance(last_n_messages, int):
        return messages[-last_n_messages:]
    heard = 0
    for message in reversed(messages):
        if message.get("role") != "user":
            break
        heard += 1
    return messages[len(messages) - heard :]
