"""Hold files and functions to a size that a reader can keep in mind.

    a file          400 lines
    a function       60 lines, 8 parameters (`self` aside), McCabe complexity 10

What must be larger stands in shape_allow.toml with its exact size and the reason. An entry that is larger
than the truth is an error as well, so the list can only shrink.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CODE = ("src", "tests", "scripts", "bench", "examples")
FILE_LIMITS = {"lines": 400}
FUNCTION_LIMITS = {"lines": 60, "parameters": 8, "complexity": 10}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Excess:
    """One measure above its limit."""

    place: str
    """`path` of a file or `path::Class.method` of a function; the allow-list's key."""
    line: int
    measure: str
    value: int
    limit: int


def excesses(path: str, source: str) -> Iterator[Excess]:
    """Yield what is over a limit in `source`, the file as a whole first."""
    lines = len(source.splitlines())
    if lines > FILE_LIMITS["lines"]:
        yield Excess(path, 1, "lines", lines, FILE_LIMITS["lines"])
    for name, function in functions(ast.parse(source, path)):
        for measure, value in measures(function).items():
            if value > FUNCTION_LIMITS[measure]:
                yield Excess(f"{path}::{name}", function.lineno, measure, value, FUNCTION_LIMITS[measure])


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yield every function below `node` with its dotted name, nested ones too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield prefix + child.name, child
        if isinstance(child, Function | ast.ClassDef):
            yield from functions(child, f"{prefix}{child.name}.")
        else:
            yield from functions(child, prefix)


def measures(function: Function) -> dict[str, int]:
    """Return the size of `function`: lines with its docstring, parameters, complexity."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    if names and names[0] in {"self", "cls"}:
        del names[0]
    return {
        "lines": (function.end_lineno or function.lineno) - function.lineno + 1,
        "parameters": len(names) + (given.vararg is not None) + (given.kwarg is not None),
        "complexity": 1 + sum(map(_decisions, function.body)),
    }


def _decisions(node: ast.AST) -> int:
    """Count the branches of a statement, as McCabe does; a nested function answers for itself."""
    if isinstance(node, Function):
        return 0
    own = isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler | ast.match_case)
    if isinstance(node, ast.Try | ast.TryStar) and node.orelse:
        own = True
    if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None:
        own = node.guard is not None
    return own + sum(map(_decisions, ast.iter_child_nodes(node)))


def complaints(found: list[Excess], allowed: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each excess that is not allowed and each allowance that is not needed."""
    truth = {(excess.place, excess.measure): excess.value for excess in found}
    for excess in found:
        if allowed.get(excess.place, {}).get(excess.measure, 0) < excess.value:
            path, _, name = excess.place.partition("::")
            what = f"{name or 'file'}: {excess.measure} {excess.value}"
            yield f"{path}:{excess.line}: {what}, the limit is {excess.limit}"
    for place, entry in allowed.items():
        if not entry.get("reason"):
            yield f"shape_allow.toml: {place} has no reason"
        for measure, value in entry.items():
            if measure != "reason" and truth.get((place, measure), 0) < value:
                now = truth.get((place, measure))
                yield f"shape_allow.toml: {place}: " + (
                    f"{measure} is {now}, lower the entry"
                    if now
                    else f"{measure} is within the limit, delete the entry"
                )


def main() -> int:
    """Check the project; print what is too large and return the exit code."""
    files = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        excess
        for path in files
        for excess in excesses(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    allowed = tomllib.loads((ROOT / "scripts" / "shape_allow.toml").read_text(encoding="utf-8"))
    problems = list(complaints(found, allowed))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"shape: {len(files)} files within their limits, {len(allowed)} allowed beyond")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
