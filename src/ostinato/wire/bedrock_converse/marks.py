"""Cache marks: where the prompt may be kept. Converse has a block of its own for them, behind what it closes.

At most four stand in a request, and which models know them, where and for how long is in `models`:
https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html (read 2026-11-22).
"""

from __future__ import annotations

from typing import Any

from ostinato.wire.bedrock_converse.models import Traits
from ostinato.wire.contract import Json
from ostinato.wire.values import Flaw, kind_of

LIMIT = 4
POINT = "cachePoint"

_UNKEYED = frozenset({"requestMetadata", "performanceConfig"})


def point_of(control: Any) -> Json | None:
    """Return the block that a `cache_control` asks for, or None for none. Raises: Flaw: it is no mark."""
    if control is None:
        return None
    if not isinstance(control, dict):
        raise Flaw(f"must be a mapping, not {kind_of(control)}", "cache_control")
    if control.get("type") != "ephemeral":
        raise Flaw(f"must be 'ephemeral', not {control.get('type')!r}", "type", "cache_control")
    ttl = control.get("ttl")
    return {POINT: {"type": "default"} if ttl is None else {"type": "default", "ttl": ttl}}


def mark_end(blocks: list[Json], point: Json | None) -> None:
    """Put `point` behind the last block that can carry one. Reasoning cannot."""
    if point is None:
        return
    for place in range(len(blocks), 0, -1):
        if POINT in blocks[place - 1]:
            return
        if "reasoningContent" not in blocks[place - 1]:
            blocks.insert(place, point)
            return


NO_HOUR = "this model keeps marked prompts for 5 minutes: the ttl of a cache mark was left out"


def settle(body: Json, traits: Traits) -> tuple[str, ...]:
    """Leave in `body` the marks that its model takes, four at most: the oldest of the messages give way first.

    Lists of blocks are replaced, blocks are not changed. Return what could not be kept.
    """
    notes: tuple[str, ...] = ()
    tools = body.get("toolConfig", {}).get("tools")
    lists: list[tuple[Json, str, bool]] = [(body["toolConfig"], "tools", True)] if isinstance(tools, list) else []
    if isinstance(body.get("system"), list):
        lists.append((body, "system", False))
    lists += [(turn, "content", False) for turn in body["messages"]]
    found: list[tuple[Json, str, int]] = []
    for holder, name, is_tools in lists:
        blocks = holder[name]
        if any(POINT in block for block in blocks):
            if traits.caches and not traits.hour and any("ttl" in block.get(POINT, ()) for block in blocks):
                notes = (NO_HOUR,)
            holder[name] = blocks = _taken(blocks, traits, tools=is_tools)
            found += [(holder, name, index) for index, block in enumerate(blocks) if POINT in block]
    over = len(found) - LIMIT
    if over > 0:
        in_order = [mark for mark in found if mark[1] == "content"] + [mark for mark in found if mark[1] != "content"]
        for holder, name, index in sorted(in_order[:over], key=lambda mark: -mark[2]):
            holder[name] = [block for place, block in enumerate(holder[name]) if place != index]
    return notes


def _taken(blocks: list[Json], traits: Traits, *, tools: bool) -> list[Json]:
    """Return `blocks` with those marks that can stand where they are."""
    kept: list[Json] = []
    for block in blocks:
        if POINT not in block:
            kept.append(block)
        elif traits.caches and kept and _may_follow(kept[-1], traits, tools=tools):
            kept.append(block if traits.hour else {POINT: _without_ttl(block[POINT])})
    return kept


def _may_follow(block: Json, traits: Traits, *, tools: bool) -> bool:
    """Say whether a mark can stand behind this block, which is one of the tools or of a message."""
    return POINT not in block and (traits.caches_tools or not (tools or "toolResult" in block))


def _without_ttl(point: Json) -> Json:
    return {name: value for name, value in point.items() if name != "ttl"}


def keyed_body(body: Json) -> Json:
    """Return `body` without the paths that are no part of a key: marks, and what is accounting or speed."""
    keyed = {name: value for name, value in body.items() if name not in _UNKEYED}
    if _marked(keyed.get("system")):
        keyed["system"] = _unmarked(keyed["system"])
    tools = keyed.get("toolConfig")
    if isinstance(tools, dict) and _marked(tools.get("tools")):
        keyed["toolConfig"] = {**tools, "tools": _unmarked(tools["tools"])}
    messages = keyed.get("messages")
    if isinstance(messages, list) and any(_is_marked_turn(turn) for turn in messages):
        keyed["messages"] = [
            {**turn, "content": _unmarked(turn["content"])} if _is_marked_turn(turn) else turn for turn in messages
        ]
    return keyed


def _is_marked_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and _marked(turn.get("content"))


def _marked(blocks: Any) -> bool:
    return isinstance(blocks, list) and any(isinstance(block, dict) and POINT in block for block in blocks)


def _unmarked(blocks: list[Any]) -> list[Any]:
    return [block for block in blocks if not (isinstance(block, dict) and POINT in block)]
