"""Code in messages: where it stands, and what came of it, in AutoGen's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ostinato.agents.show import content_text

_BLOCK = re.compile(
    r"^[ \t]*```[ \t]*(?P<language>[\w+#-]*)[ \t]*\r?\n(?P<code>.*?)^[ \t]*```", re.DOTALL | re.MULTILINE
)
HowFar = int | Literal["auto"]
"""How many of the last messages are looked at; `auto`: those since the agent's own last word."""


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
        """What is said of it."""
        ended = "execution succeeded" if self.exit_code == 0 else "execution failed"
        return f"exitcode: {self.exit_code} ({ended})\nCode output: {self.output}"


def blocks_in(text: str) -> list[Block]:
    """Return the fenced blocks of a message that name a language, or whose language can be told."""
    found = []
    for block in _BLOCK.finditer(text):
        code = block["code"].replace("\r\n", "\n").removesuffix("\n")
        language = block["language"].lower() or language_of(code)
        if language:
            found.append(Block(language, code))
    return found


def language_of(code: str) -> str:
    """Return the language of code that names none: a shell's, Python's, or an empty text."""
    if code.lstrip().startswith(("python ", "python3 ", "pip ")):
        return "sh"
    try:
        compile(code, "block", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return "python"


def latest_code(messages: Sequence[Mapping[str, Any]], how_far: HowFar) -> list[Block]:
    """Return the blocks of the latest message that has any, of those to be looked at."""
    for message in _looked_at(messages, how_far):
        found = blocks_in(content_text(message.get("content")))
        if found:
            return found
    return []


def _looked_at(messages: Sequence[Mapping[str, Any]], how_far: HowFar) -> Iterable[Mapping[str, Any]]:
    """Yield messages, the last one first."""
    for number, message in enumerate(reversed(messages)):
        if number == how_far or (how_far == "auto" and message.get("role") != "user"):
            return
        yield message


def languages_told(blocks: Sequence[Block]) -> str:
    """Return what is shown before blocks run."""
    if len(blocks) == 1:
        return f"EXECUTING CODE BLOCK (inferred language is {blocks[0].language})..."
    languages = ", ".join(block.language for block in blocks)
    return f"EXECUTING {len(blocks)} CODE BLOCKS (inferred languages are [{languages}])..."
