"""What an agent said and heard, by peer, in the shape that models read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostinato.agents.show import content_text

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

Message = dict[str, Any]

KEPT = (
    "content", "function_call", "tool_calls", "tool_responses", "tool_call_id", "name", "context",
    # What other vendors said beside it, and want to see again.
    "reasoning_content", "thinking_blocks", "content_blocks", "output_items", "reasoning_items",
    "provider_specific_fields",
)  # fmt: skip
"""Members of a message that are remembered."""


def as_message(message: Any) -> Message:
    """Return a message given as a text or a mapping, as a dict of its own."""
    if isinstance(message, str):
        return {"content": message}
    return dict(message)


def remembered(message: Any, role: str, speaker: str) -> Message | None:
    """Return a message as it is remembered, or None where it says nothing.

    Args:
        message: as it was sent or received.
        role: unless it says one of its own: `assistant` for what the agent says, `user` for what it hears.
        speaker: the name that goes with it, unless it has one or calls a tool.
    """
    said = as_message(message)
    kept = {name: said[name] for name in KEPT if said.get(name) is not None}
    calls = "function_call" in kept or "tool_calls" in kept
    if "content" not in kept:
        if not calls:
            return None
        kept["content"] = None
    if said.get("role") in {"function", "tool"}:
        kept["role"] = said["role"]
        if "tool_responses" in kept:
            kept["tool_responses"] = [
                {**answer, "content": content_text(answer.get("content"))} for answer in kept["tool_responses"]
            ]
    else:
        kept["role"] = said.get("override_role", role)
    if calls:
        kept["role"] = "assistant"
    elif "name" not in kept:
        kept["name"] = speaker
    return kept


class Memory:
    """Messages by peer, the oldest first."""

    def __init__(self, given: Mapping[Agent, list[Message]] | None = None) -> None:
        self.by_peer: dict[Agent, list[Message]] = defaultdict(list, given or {})

    def last(self, peer: Agent | None) -> Message | None:
        """Return the last message with `peer`; without one, of the only conversation there is.

        Raises: ValueError: there are several conversations. KeyError: none with `peer`.
        """
        if peer is None:
            if not self.by_peer:
                return None
            if len(self.by_peer) > 1:
                raise ValueError("more than one conversation is found; name the other agent")
            return next(iter(self.by_peer.values()))[-1]
        if peer not in self.by_peer:
            raise KeyError(f"agent {peer.name!r} is not present in any conversation of this agent")
        return self.by_peer[peer][-1]

    def forget(self, peer: Agent | None, preserve: int | None = None) -> None:
        """Forget what was said with `peer`, or with all; keep the last `preserve` messages."""
        for other in [*self.by_peer] if peer is None else [peer]:
            kept = _tail(self.by_peer[other], preserve)
            self.by_peer[other].clear()
            self.by_peer[other].extend(kept)
        if peer is None and not preserve:
            self.by_peer.clear()


def _tail(messages: list[Message], count: int | None) -> list[Message]:
    """Return the last `count` messages, one more where they would begin with the answer to a tool call."""
    if not count:
        return []
    start = max(0, len(messages) - count)
    while start and messages[start].get("role") in {"tool", "function"}:
        start -= 1
    return messages[start:]
