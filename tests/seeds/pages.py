"""The snippets of two pages of LiteLLM's documentation, read where the pages lie and made runnable.

The pages came without the indentation of their code, so blocks are indented anew: of a `for` its first statement,
of a `def` all up to its `return`.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SEEDS = Path(__file__).resolve().parents[3] / "shared" / "seeds"
REDIS_PAGE = "000_c8bcf7282b626a51.txt"
"""Redis Cache, of 2023."""
PROMPT_CACHING_PAGE = "001_ed72aaa64d0fc547.txt"
"""Prompt Caching, in Chinese."""

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BEGINS = re.compile(r"(from (litellm|openai)|import litellm|cost = )")
_PROSE = re.compile(r".*[\u3000-\u9fff]|- |model_list:")
_PLACEHOLDER = re.compile(r'^(os\.environ\["\w+"\] = )""$', re.MULTILINE)
_BRACKETED = re.compile(r"=<(host|port|password)>")


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code of a page."""

    line: int
    """Where it begins, from 1."""
    code: str

    @property
    def asks_a_proxy(self) -> bool:
        """Whether it talks to LiteLLM's proxy through OpenAI's client."""
        return "from openai import" in self.code

    def run(self, namespace: dict[str, object]) -> dict[str, object]:
        """Run it with `litellm` renamed and its placeholders filled in: those of Redis from the environment."""
        code = _PLACEHOLDER.sub(r'\1"any"', re.sub(r"\blitellm\b", "ostinato", self.code))
        code = _BRACKETED.sub(lambda found: f"=os.environ['REDIS_{found[1].upper()}']", code)
        namespace.setdefault("os", os)
        exec(compile(code, f"line {self.line}", "exec"), namespace)
        return namespace


def page(name: str) -> str:
    """Return the text of a page; skip the test where it is not."""
    path = SEEDS / name
    if not path.is_file():
        pytest.skip(f"the page is not at {path}, and no copy of it belongs here")
    return path.read_text(encoding="utf-8")


def snippets(name: str) -> list[Snippet]:
    """Return the code of a page, in its order; skip the test where the page is not."""
    text = page(name)
    if "```python" in text:
        return [
            Snippet(text.count("\n", 0, match.start(1)) + 1, indented(match[1].splitlines()))
            for match in _FENCE.finditer(text)
        ]
    return list(_unfenced(text.splitlines()))


def snippet(name: str, *parts: str) -> Snippet:
    """Return the first snippet for the SDK that holds all these parts."""
    return next(
        found for found in snippets(name) if not found.asks_a_proxy and all(part in found.code for part in parts)
    )


def _unfenced(lines: list[str]) -> Iterator[Snippet]:
    """Yield what stands between a line that begins code and one of prose."""
    start = None
    for number, line in enumerate([*lines, "- "]):
        if start is None and _BEGINS.match(line):
            start = number
        elif start is not None and _PROSE.match(line):
            yield Snippet(start + 1, indented(lines[start:number]))
            start = None


def indented(lines: list[str]) -> str:
    """Return code whose blocks lost their indentation."""
    done: list[str] = []
    rest = list(lines)
    while rest:
        line = rest.pop(0)
        done.append(line)
        if re.match(r"(for|def) .*:$", line):
            end = _return(rest) if line.startswith("def") else _statement(rest)
            done += [f"    {part}" for part in rest[:end]]
            del rest[:end]
    return "\n".join(done) + "\n"


def _return(lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines, 1) if line.startswith("return"))


def _statement(lines: list[str]) -> int:
    """Return how many lines the first statement takes."""
    for number in range(1, len(lines) + 1):
        try:
            ast.parse("\n".join(lines[:number]))
        except SyntaxError:
            continue
        return number
    raise AssertionError(f"no statement begins with {lines[0]!r}")
