"""Who speaks next in a group: found by rule, by chance, by a person or by a model, the same in a second run."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ostinato.agents.agent import Agent
from ostinato.agents.answering import ask_model
from ostinato.agents.group import METHODS, GroupChat, NoEligibleSpeakerError
from ostinato.agents.human import ask_person
from ostinato.agents.memory import Message
from ostinato.agents.precedence import choose_cache
from ostinato.agents.recorded import name_of, recorded
from ostinato.agents.session import current_sample
from ostinato.agents.show import content_text, stream_of
from ostinato.agents.steps import Call, Steps
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.agents.conversable import ConversableAgent


def select_speaker(group: GroupChat, last: Agent, selector: ConversableAgent) -> Steps[Agent]:
    """Return who speaks after `last`. `selector` manages the group, and its model or its person is asked.

    Raises:
        NoEligibleSpeakerError: nobody may speak.
        ConfigurationError: a function chose somebody who is not there, or `auto` has no model to ask.
    """
    method: Any = group.speaker_selection_method
    if callable(method):
        method = yield Call(method, (last, group))
        if method is None:
            raise NoEligibleSpeakerError("the selection function chose nobody")
        if isinstance(method, Agent):
            if method not in group.agents:
                raise ConfigurationError(f"the selection function chose {method.name!r}, who is not in the group")
            return method
    if not isinstance(method, str) or method.lower() not in METHODS:
        raise ConfigurationError(f"the selection function returned {method!r}, neither an agent nor a method")
    agents = group.may_follow(last)
    if len(agents) == 1:
        return agents[0]
    match method.lower():
        case "round_robin":
            return group.next_agent(last, agents)
        case "random":
            return (yield from _drawn(group, agents, selector))
        case "manual":
            return (yield from _chosen_by_a_person(group, last, agents, selector))
        case _:
            return (yield from _chosen_by_the_model(group, last, agents, selector))


def _drawn(group: GroupChat, agents: Sequence[Agent], selector: ConversableAgent) -> Steps[Agent]:
    """Draw a speaker; where there is a cache the draw is kept, so that a second run takes the same way."""
    names = [agent.name for agent in agents]

    def draw() -> Steps[str]:
        drawn: str = yield Call(random.choice, (names,))
        return drawn

    settings = selector.llm_config if isinstance(selector.llm_config, dict) else {}
    name = name_of("speaker", selector.name, names, group.messages, current_sample())
    missed = "nothing is drawn in replay mode, and no record says who spoke next"
    drawn, _ = yield from recorded(choose_cache({}, settings), name, draw, missed=missed)
    return next((agent for agent in agents if agent.name == drawn), agents[0])


def _chosen_by_a_person(
    group: GroupChat, last: Agent, agents: Sequence[Agent], selector: ConversableAgent
) -> Steps[Agent]:
    """Let a person choose by number; who does not gets the next one in order."""
    stream = stream_of(selector)
    listed = "\n".join(f"{number}: {agent.name}" for number, agent in enumerate(agents, 1))
    stream.print("Please select the next speaker from the following list:")
    stream.print(listed)
    prompt = "Enter the number of the next speaker (enter nothing or `q` for the next one in order): "
    for _ in range(3):
        said = yield from ask_person(selector, prompt, group.messages, last)
        if said in {"", "q"}:
            break
        if said.strip().isdecimal() and 1 <= int(said) <= len(agents):
            return agents[int(said) - 1]
        stream.print(f"Invalid input. Please enter a number between 1 and {len(agents)}.")
    return group.next_agent(last, agents)


def _chosen_by_the_model(
    group: GroupChat, last: Agent, agents: Sequence[Agent], selector: ConversableAgent
) -> Steps[Agent]:
    """Ask the manager's model, again where it named nobody or several; in the end the next one in order speaks."""
    if selector.client is None:
        raise ConfigurationError(
            f"speaker_selection_method 'auto' asks the model of {selector.name!r}, who has none: give it an llm_config"
        )
    role = group.role_for_select_speaker_messages
    asked: list[Message] = [
        {"role": "system", "content": group.filled(group.select_speaker_message_template, agents)},
        *_without_open_calls(group.messages),
    ]
    if group.select_speaker_prompt_template:
        asked.append({"role": role, "content": group.filled(group.select_speaker_prompt_template, agents)})
    for _ in range(1 + group.max_retries_for_selecting_speaker):
        answer = yield from ask_model(selector.client, asked, agent=selector)
        said = content_text(answer)
        _show(group, selector, asked[-1]["content"], said)
        named = mentioned(said, agents)
        if len(named) == 1:
            return named[0]
        template = group.select_speaker_auto_multiple_template if named else group.select_speaker_auto_none_template
        asked += [{"role": "assistant", "content": said}, {"role": role, "content": group.filled(template, agents)}]
    return group.next_agent(last, agents)


def _without_open_calls(messages: Sequence[Message]) -> list[Message]:
    """Return the messages, the last one without calls that nobody has answered yet: vendors refuse those."""
    said = list(messages)
    if said and said[-1].keys() & {"tool_calls", "function_call"}:
        last = {name: value for name, value in said[-1].items() if name not in {"tool_calls", "function_call"}}
        said[-1] = {**last, "content": last.get("content") or ""}
    return said


def mentioned(text: str, agents: Sequence[Agent]) -> list[Agent]:
    """Return the agents whose names stand in `text` as words; an underscore may be escaped or a space."""
    return [agent for agent in agents if re.search(_pattern(agent.name), text)]


def _pattern(name: str) -> str:
    ways = {name, name.replace("_", " "), name.replace("_", r"\_")}
    return rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(ways)))})(?!\w)"


def _show(group: GroupChat, selector: Agent, asked: Any, said: str) -> None:
    if group.select_speaker_auto_verbose:
        stream_of(selector).print(f"{selector.name} asks who speaks next:\n{asked}\n>>>>>>>> {said}", flush=True)
