"""Where a prompt is warm: the part of a request that its neighbours share, and whom it belongs to.

Vendors keep prefixes of prompts where they were processed. The turns of a conversation share everything up to
its first message from the user, so this much is hashed; each deployment then gets a score from that hash, and
the highest answers. Nothing is remembered: all workers agree, also after a restart, and a deployment that comes
or goes moves only the conversations that were, or will be, its own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ostinato.gateway.models import Deployment

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_HEAD = ("tools", "functions", "system", "instructions")
_MARKS = ("cache_control", "cachePoint", "prompt_cache_breakpoint")


def prefix_of(body: Mapping[str, Any]) -> bytes | None:
    """Return a digest of what calls of one conversation share, or None where there is nothing to share.

    `body` is a request in OpenAI's or Anthropic's shape. Where the caller marked a part of that to be cached, and
    nothing after it, only what stands up to the last mark counts: calls that share a marked document and ask
    different things belong together.
    """
    units = [[name, block] for name in _HEAD for block in _listed(body.get(name))]
    turns = [turn for name in ("messages", "input") for turn in _listed(body.get(name))]
    opening = _opening(turns)
    units += [unit for turn in turns[:opening] for unit in _blocks(turn)]
    if not units:
        return None
    marked = [index for index, unit in enumerate(units) if _is_marked(unit)]
    moving = body.get("cache_control") or any(_is_marked(unit) for turn in turns[opening:] for unit in _blocks(turn))
    shared = units[: marked[-1] + 1] if marked and not moving else units
    digest = hashlib.sha256()
    for unit in shared:
        packed = _encode(_unmarked(unit))
        digest.update(len(packed).to_bytes(8, "big") + packed)
    return digest.digest()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _opening(turns: Sequence[Any]) -> int:
    """Return how many turns there are up to the first one from the user, that one included."""
    for index, turn in enumerate(turns):
        if not isinstance(turn, Mapping) or turn.get("role") == "user":
            return index + 1
    return len(turns)


def _blocks(turn: Any) -> list[Any]:
    if not isinstance(turn, Mapping):
        return [[turn]]
    rest = {name: value for name, value in turn.items() if name not in {"content", "id", "status"}}
    content = turn.get("content")
    return [[rest, block] for block in content] if isinstance(content, list) else [[rest, content]]


def _is_marked(unit: Sequence[Any]) -> bool:
    return any(
        isinstance(part, Mapping) and (any(part.get(mark) for mark in _MARKS) or _is_marked([part.get("function")]))
        for part in unit
    )


def _unmarked(value: Any) -> Any:
    """Return `value` without marks: they move from turn to turn, and a text is a text with and without."""
    if isinstance(value, Mapping):
        plain = {str(name): _unmarked(item) for name, item in value.items() if name not in _MARKS}
        return plain["text"] if plain.keys() == {"type", "text"} else plain
    if isinstance(value, list | tuple):
        return [_unmarked(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool | bytes) else str(value)


def ranked(deployments: Iterable[Deployment], prefix: bytes) -> list[Deployment]:
    """Return the deployments that take calls, the one that `prefix` belongs to first.

    Weighted rendezvous hashing: a deployment is first for a share of all prefixes that is its weight's.
    Source: https://www.ietf.org/archive/id/draft-ietf-bess-weighted-hrw-00.html (read 2026-11-24).
    """
    taking = [deployment for deployment in deployments if deployment.weight > 0]
    if len(taking) == 1:
        return taking
    scored = [(each.order, -_score(each, prefix), each.id, each) for each in taking]
    return [deployment for *_, deployment in sorted(scored)]


def _score(deployment: Deployment, prefix: bytes) -> float:
    drawn = int.from_bytes(hashlib.sha256(prefix + deployment.id.encode()).digest()[:8], "big")
    return deployment.weight / -math.log((drawn + 0.5) / 2**64)
