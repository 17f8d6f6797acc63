"""Cache marks in a built body: where they stand, how many may, and the body without them.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (read 2026-11-22).
"""

from __future__ import annotations

from typing import Any

from ostinato.wire.contract import Json

MARK = "cache_control"

MAX_MARKS = 4
"""Breakpoints that a request may have; the automatic one of the request itself is one of them."""

UNKEYED = frozenset({"stream", "metadata", "service_tier", MARK, "diagnostics"})
"""Members of the body that are no part of a key: transport, accounting, price, prompt-cache marks."""

Path = tuple[Any, ...]


def limit_marks(body: Json) -> Json:
    """Return `body` with at most `MAX_MARKS` marks: the oldest of the messages give way, then of system and tools."""
    found = [path for path in mark_paths(body) if _at(body, path) is not None]
    excess = len(found) + (body.get(MARK) is not None) - MAX_MARKS
    if excess > 0:
        found.sort(key=lambda path: ("messages", "system", "tools").index(path[0]))
        for path in found[:excess]:
            body = _without(body, path)
    return body


def keyed_body(body: Json) -> Json:
    """Return `body` without the paths that are no part of a key.

    A tool that says it is a custom one is one that does not say what it is.
    """
    keyed = {name: value for name, value in body.items() if name not in UNKEYED}
    for path in mark_paths(body):
        keyed = _without(keyed, path)
    tools = keyed.get("tools")
    if isinstance(tools, list) and any(map(_says_custom, tools)):
        keyed["tools"] = [_without(tool, ("type",)) if _says_custom(tool) else tool for tool in tools]
    return keyed


def _says_custom(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == "custom"


def mark_paths(body: Json) -> list[Path]:
    """Return the paths of the marks on tools, system blocks and content blocks, in the order of the prompt."""
    found: list[Path] = []
    for name in ("tools", "system"):
        items = body.get(name)
        if isinstance(items, list):
            marked = [isinstance(item, dict) and MARK in item for item in items]
            found += [(name, index, MARK) for index, has in enumerate(marked) if has]
    turns = body.get("messages")
    for index, turn in enumerate(turns if isinstance(turns, list) else ()):
        content = turn.get("content") if isinstance(turn, dict) else None
        if type(content) is list:
            _collect(content, ("messages", index, "content"), found)
    return found


def _collect(blocks: list[Any], path: Path, found: list[Path]) -> None:
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            continue
        inner, source = block.get("content"), block.get("source")
        if type(inner) is list:
            _collect(inner, (*path, index, "content"), found)
        if isinstance(source, dict) and type(source.get("content")) is list:
            _collect(source["content"], (*path, index, "source", "content"), found)
        if MARK in block:
            found.append((*path, index, MARK))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _without(value: Any, path: Path) -> Any:
    """Return a copy of `value` without what stands at `path`; the copy shares everything beside the path."""
    copy = list(value) if isinstance(value, list) else dict(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(copy[path[0]], path[1:])
    return copy
