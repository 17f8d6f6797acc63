"""The agent that leads a group's chat: it passes on what each one says, and finds who speaks next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ostinato.agents.agent import Agent
from ostinato.agents.conversable import ConversableAgent
from ostinato.agents.conversation import converse
from ostinato.agents.group import GroupChat, NoEligibleSpeakerError
from ostinato.agents.memory import Message
from ostinato.agents.selection import select_speaker
from ostinato.agents.show import stream_of
from ostinato.agents.steps import Do, Steps, twins
from ostinato.agents.turns import HumanInputMode
from ostinato.errors import ConfigurationError


class GroupChatManager(ConversableAgent):
    """The agent that leads a group's chat."""

    def __init__(
        self,
        groupchat: GroupChat,
        name: str = "chat_manager",
        max_consecutive_auto_reply: int | None = sys.maxsize,
        human_input_mode: HumanInputMode = "NEVER",
        system_message: str | list[Any] | None = "Group chat manager.",
        silent: bool = False,
        **kwargs: Any,
    ) -> None:
        """Make a manager; the further parameters are those of `ConversableAgent`.

        Raises: ConfigurationError: tools in its `llm_config`: it speaks for nobody, and calls nothing.
        """
        llm_config = kwargs.get("llm_config")
        if isinstance(llm_config, dict) and (llm_config.get("tools") or llm_config.get("functions")):
            raise ConfigurationError("a GroupChatManager calls no tools: leave them out of its llm_config")
        super().__init__(
            name,
            system_message,
            max_consecutive_auto_reply=max_consecutive_auto_reply,
            human_input_mode=human_input_mode,
            silent=silent or None,
            **kwargs,
        )
        self.groupchat = groupchat
        self.last_speaker: Agent | None = None
        """Who spoke last."""
        for function in (GroupChatManager.run_chat, GroupChatManager.a_run_chat):
            self.register_reply(Agent, function, ignore_async_in_sync_chat=True)

    def begin_chat(self, peer: Agent, *, clear_history: bool, reply_at_receive: bool) -> None:
        """Make ready for a chat that `peer` begins, and the group with it."""
        super().begin_chat(peer, clear_history=clear_history, reply_at_receive=reply_at_receive)
        if clear_history:
            self.groupchat.reset()
        for agent in self.groupchat.agents:
            if agent is not peer:
                agent.begin_chat(self, clear_history=clear_history, reply_at_receive=False)
                super().begin_chat(agent, clear_history=clear_history, reply_at_receive=False)

    def reset(self) -> None:
        """Forget everything that was said, also in the group."""
        super().reset()
        self.groupchat.reset()

    def chat_messages_for_summary(self, agent: Agent) -> list[Message]:
        """Return what was said in the group."""
        return self.groupchat.messages

    def _run_chat(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Lead the chat that `sender` begins with its last message, until it ends; nothing is answered then."""
        assert sender is not None  # noqa: S101  # the trigger asks for an agent
        group, speaker = self.groupchat, sender
        message = self._of(messages, sender)[-1]
        if group.send_introductions:
            for agent in group.agents:
                yield from converse(self, agent, group.introductions_msg(), request_reply=False, silent=True)
        for number in range(1, group.max_round + 1):
            self.last_speaker = speaker
            group.append(message, speaker)
            for agent in group.agents:
                if agent is not speaker:
                    yield from converse(self, agent, group.messages[-1], request_reply=False, silent=True)
            if number == group.max_round or self.turns.ends(message):
                break
            try:
                speaker = yield from select_speaker(group, speaker, self)
            except NoEligibleSpeakerError:
                break
            stream_of(self).print(f"\nNext speaker: {speaker.name}\n", flush=True)
            speaker, reply = yield from self._answer(speaker)
            if reply is None:
                break
            if group.enable_clear_history:
                reply = cleared(reply, group)
            yield Do(speaker.send, speaker.a_send, (reply, self), {"request_reply": False, "silent": bool(self.silent)})
            message = self.memory.by_peer[speaker][-1]
        return True, None

    def _answer(self, speaker: Agent) -> Steps[tuple[Agent, Any]]:
        """Return who answers, and what: `speaker`, or when Ctrl-C interrupts it the admin."""
        try:
            return speaker, (yield Do(speaker.generate_reply, speaker.a_generate_reply, (), {"sender": self}))
        except KeyboardInterrupt:
            admin = self.groupchat.agent_by_name(self.groupchat.admin_name)
            if admin is None:
                raise
            return admin, (yield Do(admin.generate_reply, admin.a_generate_reply, (), {"sender": self}))

    run_chat, a_run_chat = twins(_run_chat, "run_chat")


def cleared(reply: Any, group: GroupChat) -> Any:
    """Return a reply without its CLEAR HISTORY, once that is done: for the agent it names or all, but for the last few.

    `CLEAR HISTORY coder 2` leaves the coder its last two messages.
    """
    content = reply.get("content") if isinstance(reply, dict) else reply
    words = content.split() if isinstance(content, str) else []
    pairs = [(word.upper(), after.upper().rstrip(".,;:!")) for word, after in pairwise(words)]
    if ("CLEAR", "HISTORY") not in pairs:
        return reply
    start = pairs.index(("CLEAR", "HISTORY"))
    end = start + 2
    agents: Sequence[Agent] = group.agents
    count = None
    for word in words[start + 2 : start + 4]:
        plain = word.rstrip(".,;:!")
        named = group.agent_by_name(plain)
        if named is not None:
            agents = [named]
        elif plain.isdecimal():
            count = int(plain)
        else:
            break
        end += 1
    for agent in agents:
        agent.clear_history(nr_messages_to_preserve=count)
    if agents is group.agents:
        group.messages[:] = group.messages[-count:] if count else []
    rest = " ".join(words[:start] + words[end:])
    return {**reply, "content": rest} if isinstance(reply, dict) else rest
