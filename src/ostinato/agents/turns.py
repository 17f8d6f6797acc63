"""Whether an agent goes on by itself, asks a person, or ends the conversation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

HumanInputMode = Literal["ALWAYS", "TERMINATE", "NEVER"]
MODES: tuple[HumanInputMode, ...] = ("ALWAYS", "TERMINATE", "NEVER")


class Question(msgspec.Struct, frozen=True):
    """A person is to be asked."""

    prompt: str
    ends: bool
    """Whether an empty answer ends the conversation."""


def question(
    mode: HumanInputMode, *, spent: bool, terminal: bool, name: str, sender: str
) -> Question | Literal["exit"] | None:
    """Return what to ask a person, `exit` to end, or None to go on.

    Args:
        mode: when people are asked.
        spent: whether the agent has answered by itself as often as it may.
        terminal: whether the message ends the conversation.
        name: the agent's.
        sender: who is answered.
    """
    if mode == "ALWAYS":
        skip = "Press enter to skip and use auto-reply, or type 'exit' to end the conversation: "
        return Question(f"Replying as {name}. Provide feedback to {sender}. {skip}", terminal)
    if not spent and not terminal:
        return None
    if mode == "NEVER":
        return "exit"
    skip = "Press enter" if terminal else "Press enter to skip and use auto-reply,"
    return Question(f"Please give feedback to {sender}. {skip} or type 'exit' to stop the conversation: ", terminal)


def is_terminate(message: Mapping[str, Any]) -> bool:
    """Return whether a message says TERMINATE and nothing else."""
    return message.get("content") == "TERMINATE"


class Turns:
    """How often an agent may answer by itself, and when a conversation ends."""

    def __init__(
        self,
        mode: HumanInputMode,
        limit: int,
        is_termination_msg: Callable[[Mapping[str, Any]], Any] | None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"human_input_mode must be one of {', '.join(MODES)}, not {mode!r}")
        self.mode: HumanInputMode = mode
        self.limit = limit
        self._limits: dict[Agent, int] = {}
        self._is_termination_msg = is_termination_msg or is_terminate
        self.taken: dict[Agent | None, int] = defaultdict(int)
        """Answers in a row that no person gave, by peer."""

    def limit_with(self, peer: Agent | None) -> int:
        """Return how many answers in a row this agent gives `peer`."""
        return self.limit if peer is None else self._limits.get(peer, self.limit)

    def set_limit(self, limit: int, peer: Agent | None) -> None:
        """Allow `limit` answers in a row to `peer`, or to everybody."""
        if peer is None:
            self.limit = limit
            self._limits.clear()
        else:
            self._limits[peer] = limit

    def ends(self, message: Mapping[str, Any]) -> bool:
        """Return whether `message` ends the conversation. A test that trips over empty content finds an empty text."""
        if message.get("content") is None:
            message = {**message, "content": ""}
        return bool(self._is_termination_msg(message))

    def reset(self, peer: Agent | None) -> None:
        """Count from nothing again, with `peer` or with everybody."""
        if peer is None:
            self.taken.clear()
        else:
            self.taken[peer] = 0
