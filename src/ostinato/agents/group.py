"""A group of agents: who is in it, what was said, and who may speak after whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ostinato.agents.agent import Agent
from ostinato.agents.memory import Message
from ostinato.agents.show import content_text
from ostinato.errors import ConfigurationError

METHODS = ("auto", "manual", "random", "round_robin")
"""How the next speaker may be found; a function of the last speaker and the group finds one too."""

Transitions = Mapping[Agent, Sequence[Agent]]


class NoEligibleSpeakerError(Exception):
    """Nobody may speak next: the group's chat is over."""


@dataclass
class GroupChat:
    """A group of agents who hear everything that one of them says."""

    agents: Sequence[Agent]
    messages: list[Message] = field(default_factory=list)
    """What was said, each message with its speaker's name."""
    max_round: int = 10
    """Messages, the first one included."""
    admin_name: str = "Admin"
    """Who speaks when Ctrl-C interrupts a speaker."""
    func_call_filter: bool = True
    """Let only those answer a call of a tool who can carry it out."""
    speaker_selection_method: str | Callable[[Agent, GroupChat], Agent | str | None] = "auto"
    """`auto` asks the manager's model; `manual` a person; `random` draws, and repeats the draw with the conversation;
    `round_robin` goes round. A function of the last speaker and the group returns an agent, a method, or None to end.
    """
    max_retries_for_selecting_speaker: int = 2
    """How often a model that named nobody, or several, is asked again."""
    allow_repeat_speaker: bool | Sequence[Agent] | None = None
    """Who may speak twice in a row: all (True or None), none (False), or these."""
    allowed_or_disallowed_speaker_transitions: Transitions | None = None
    speaker_transitions_type: Literal["allowed", "disallowed"] | None = None
    enable_clear_history: bool = False
    """Let an agent that says CLEAR HISTORY, with a name or a number behind it, have just that."""
    send_introductions: bool = False
    """Tell everybody first who is there."""
    select_speaker_message_template: str = (
        "Several roles take part in this conversation:\n{roles}\n\n"
        "Read what was said, and decide which one of {agentlist} should speak next. Answer with its name alone."
    )
    select_speaker_prompt_template: str | None = (
        "Which one of {agentlist} should speak next? Answer with its name alone."
    )
    select_speaker_auto_multiple_template: str = (
        "You named more than one. Choose the one of {agentlist} who should speak next; if the last message asked for "
        "somebody, choose that one. Answer with one name alone, written exactly as here."
    )
    select_speaker_auto_none_template: str = (
        "You named nobody of {agentlist}. Choose the one who should speak next. Answer with one name alone, written "
        "exactly as here."
    )
    select_speaker_auto_verbose: bool = False
    """Print what is asked and answered about the next speaker."""
    role_for_select_speaker_messages: str = "system"

    def __post_init__(self) -> None:
        if len({agent.name for agent in self.agents}) < len(self.agents):
            raise ConfigurationError(f"the agents of a group need names of their own, not {self.agent_names}")
        method = self.speaker_selection_method
        if not callable(method) and str(method).lower() not in METHODS:
            raise ConfigurationError(
                f"speaker_selection_method must be a function or one of {', '.join(METHODS)}, not {method!r}"
            )
        if self.max_round < 1 or self.max_retries_for_selecting_speaker < 0:
            raise ConfigurationError("max_round must be 1 or more, max_retries_for_selecting_speaker 0 or more")
        self._check_transitions()

    def _check_transitions(self) -> None:
        transitions, kind = self.allowed_or_disallowed_speaker_transitions, self.speaker_transitions_type
        if transitions is None:
            return
        if self.allow_repeat_speaker is not None:
            raise ConfigurationError("allow_repeat_speaker and transitions say the same; give one of them")
        if kind not in {"allowed", "disallowed"}:
            raise ConfigurationError(f"speaker_transitions_type must be 'allowed' or 'disallowed', not {kind!r}")
        named = [*transitions, *(agent for others in transitions.values() for agent in others)]
        strangers = sorted({agent.name for agent in named if agent not in self.agents})
        if strangers:
            raise ConfigurationError(f"the transitions name agents who are not in the group: {', '.join(strangers)}")

    @property
    def agent_names(self) -> list[str]:
        """The names, in the order of the agents."""
        return [agent.name for agent in self.agents]

    def agent_by_name(self, name: str) -> Agent | None:
        """Return the agent of that name, or None."""
        return next((agent for agent in self.agents if agent.name == name), None)

    def append(self, message: Mapping[str, Any], speaker: Agent) -> None:
        """Take a message into the group's own memory, under its speaker's name."""
        said = dict(message)
        if said.get("role") != "function":
            said["name"] = speaker.name
        if said.get("content") is not None:
            said["content"] = content_text(said["content"])
        self.messages.append(said)

    def reset(self) -> None:
        """Forget what was said."""
        self.messages.clear()

    def next_agent(self, agent: Agent, agents: Sequence[Agent] | None = None) -> Agent:
        """Return who comes after `agent` in the group's order, of `agents` where given."""
        among = self.agents if agents is None else agents
        start = self.agents.index(agent) + 1 if agent in self.agents else 0
        after = [*self.agents[start:], *self.agents[:start]]
        return next(other for other in after if other in among)

    def may_follow(self, last: Agent) -> Sequence[Agent]:
        """Return who may speak after `last`: whom the transitions let, and who can carry out the call it made.

        Raises:
            NoEligibleSpeakerError: the transitions let nobody.
            ConfigurationError: nobody can carry out the call, or there are too few agents to choose from.
        """
        if len(self.agents) < 2:
            raise ConfigurationError(f"a group needs two agents or more, not {len(self.agents)}")
        agents = self._able()
        if len(agents) == 1 and agents != self.agents:
            return agents
        if last not in self.agents:
            return agents
        followers = self._followers(last)
        if not followers:
            raise NoEligibleSpeakerError(f"nobody may speak after {last.name!r}")
        return [agent for agent in agents if agent in followers] or self.agents

    def _followers(self, last: Agent) -> list[Agent]:
        transitions = self.allowed_or_disallowed_speaker_transitions
        if transitions is not None:
            named = transitions.get(last, ())
            wanted = self.speaker_transitions_type == "allowed"
            return [agent for agent in self.agents if (agent in named) is wanted]
        repeats = self.allow_repeat_speaker
        again = repeats is None or repeats is True or (isinstance(repeats, Sequence) and last in repeats)
        return [agent for agent in self.agents if again or agent is not last]

    def _able(self) -> Sequence[Agent]:
        """Return who can answer the last message: everybody, or where it calls tools those who carry them out."""
        message = self.messages[-1] if self.messages and self.func_call_filter else {}
        called = [call["function"]["name"] for call in message.get("tool_calls") or () if call.get("function")]
        if message.get("function_call"):
            called.append(message["function_call"]["name"])
        if not called:
            return self.agents
        able = [agent for agent in self.agents if _carries_out(agent, called)]
        able = able or [agent for agent in self.agents if getattr(agent, "function_map", None)]
        if not able:
            raise ConfigurationError(f"no agent of the group can execute {', '.join(called)}; check their function_map")
        return able

    def introductions_msg(self, agents: Sequence[Agent] | None = None) -> str:
        """Return what everybody is told of who is there."""
        among = self.agents if agents is None else agents
        return f"Hello everybody. These are in the conversation:\n\n{self.roles(among)}"

    @staticmethod
    def roles(agents: Sequence[Agent]) -> str:
        """Return names and descriptions, a line each."""
        return "\n".join(f"{agent.name}: {agent.description}".strip() for agent in agents)

    def filled(self, template: str, agents: Sequence[Agent]) -> str:
        """Return one of the templates for a choice among `agents`."""
        return template.format(roles=self.roles(agents), agentlist=[agent.name for agent in agents])


def _carries_out(agent: Agent, names: list[str]) -> bool:
    can = getattr(agent, "can_execute_function", None)
    return can is not None and bool(can(names))
