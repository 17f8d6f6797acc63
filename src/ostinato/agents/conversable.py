"""An agent that talks with a model, uses tools, asks people, and begins chats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from ostinato.agents.agent import Agent
from ostinato.agents.chat import ChatResult, Opening, hold_chat
from ostinato.agents.chats import Chat, a_initiate_chats, in_order
from ostinato.agents.code_runner import CodeRunner, workshop_of
from ostinato.agents.human import ask_person
from ostinato.agents.memory import Memory, Message
from ostinato.agents.nested import FROM_SUMMARY, nested_reply
from ostinato.agents.show import show_note
from ostinato.agents.steps import Steps, run, twins
from ostinato.agents.stream import IOStream
from ostinato.agents.summary import DEFAULT_SUMMARY_METHOD, DEFAULT_SUMMARY_PROMPT, SummaryMethod
from ostinato.agents.tool_user import LLMConfig
from ostinato.agents.turns import HumanInputMode, Question, Turns, question
from ostinato.caching.cache import Cache


class ConversableAgent(CodeRunner):
    """An agent that talks with a model, uses tools, asks people, and begins chats."""

    MAX_CONSECUTIVE_AUTO_REPLY: ClassVar[int] = 100
    DEFAULT_SUMMARY_METHOD: ClassVar[str] = DEFAULT_SUMMARY_METHOD
    DEFAULT_SUMMARY_PROMPT: ClassVar[str] = DEFAULT_SUMMARY_PROMPT

    def __init__(
        self,
        name: str,
        system_message: str | list[Any] | None = "You are a helpful AI Assistant.",
        is_termination_msg: Callable[[Mapping[str, Any]], Any] | None = None,
        max_consecutive_auto_reply: int | None = None,
        human_input_mode: HumanInputMode = "TERMINATE",
        function_map: Mapping[str, Callable[..., Any]] | None = None,
        code_execution_config: Mapping[str, Any] | bool = False,
        llm_config: LLMConfig = None,
        default_auto_reply: Any = "",
        description: str | None = None,
        chat_messages: Mapping[Agent, list[Message]] | None = None,
        silent: bool | None = None,
        *,
        record_human_input: bool = False,
    ) -> None:
        """Make an agent.

        Args:
            name: stands in its messages, so it is part of what is cached.
            system_message: what its model is told first.
            is_termination_msg: whether a message ends the conversation; unless given, one that says TERMINATE.
            max_consecutive_auto_reply: answers in a row that no person gives.
            human_input_mode: when a person is asked: `ALWAYS`, `TERMINATE` (at the end, or at the limit), `NEVER`.
            function_map: functions that it carries out, by name.
            code_execution_config: how it runs code, as `ostinato.agents.coding.Workshop` takes it; False: not at all.
            llm_config: what `OpenAIWrapper` takes; False: it has no model; None: the class's `DEFAULT_CONFIG`.
            default_auto_reply: what it answers where nothing else does.
            description: what others are told of it; unless given, the system message.
            chat_messages: what it remembers from before.
            silent: print nothing (True), or also in a silent chat (False); None: as the chat says.
            record_human_input: keep what people say in the cache, and repeat it with the conversation.

        Raises: ConfigurationError: an `llm_config` without a model, or code that would have to run in Docker.
        """
        super().__init__(
            name,
            system_message,
            llm_config=llm_config,
            function_map=function_map,
            description=description,
            silent=silent,
        )
        self.memory = Memory(chat_messages)
        self.turns = Turns(
            human_input_mode,
            self.MAX_CONSECUTIVE_AUTO_REPLY if max_consecutive_auto_reply is None else max_consecutive_auto_reply,
            is_termination_msg,
        )
        self.default_auto_reply = default_auto_reply
        self.record_human_input = record_human_input
        self.workshop = workshop_of(code_execution_config)
        for ours, theirs in reversed(_CHAIN):
            self.register_reply([Agent, None], getattr(ConversableAgent, ours))
            self.register_reply([Agent, None], getattr(ConversableAgent, theirs), ignore_async_in_sync_chat=True)

    @property
    def human_input_mode(self) -> HumanInputMode:
        """When a person is asked."""
        return self.turns.mode

    @human_input_mode.setter
    def human_input_mode(self, mode: HumanInputMode) -> None:
        self.turns.mode = mode

    def max_consecutive_auto_reply(self, sender: Agent | None = None) -> int:
        """Return how many answers in a row it gives `sender` without a person."""
        return self.turns.limit_with(sender)

    def update_max_consecutive_auto_reply(self, value: int, sender: Agent | None = None) -> None:
        """Let it give so many answers in a row without a person, to `sender` or to everybody."""
        self.turns.set_limit(value, sender)

    def reset_consecutive_auto_reply_counter(self, sender: Agent | None = None) -> None:
        """Count its answers to `sender`, or to everybody, from nothing again."""
        self.turns.reset(sender)

    def reset(self) -> None:
        """Forget everything that was said, and what was used."""
        super().reset()
        self.turns.reset(None)

    def begin_chat(self, peer: Agent, *, clear_history: bool, reply_at_receive: bool) -> None:
        """Make ready for a chat with `peer`."""
        self.turns.reset(peer)
        super().begin_chat(peer, clear_history=clear_history, reply_at_receive=reply_at_receive)

    # Who answers, in this order.

    def _check_termination_and_human_reply(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Return whether the conversation ends or a person answers, and that answer; see `human_input_mode`."""
        messages = self._of(messages, sender)
        turns, message = self.turns, messages[-1] if messages else {}
        spent = turns.taken[sender] >= turns.limit_with(sender)
        terminal = turns.ends(message)
        asked = question(
            turns.mode, spent=spent, terminal=terminal, name=self.name, sender=sender.name if sender else "the sender"
        )
        said: str = asked if isinstance(asked, str) else ""
        if isinstance(asked, Question):
            said = yield from ask_person(self, asked.prompt, messages, sender)
            if not said:
                show_note(self, "NO HUMAN INPUT RECEIVED.")
                said = "exit" if asked.ends else ""
        if said == "exit":
            turns.reset(sender)
            return True, None
        if said or turns.limit_with(sender) == 0:
            turns.reset(sender)
            return True, _said_by_a_person(said, message)
        turns.taken[sender] += 1
        if turns.mode != "NEVER":
            show_note(self, "USING AUTO REPLY...")
        return False, None

    check_termination_and_human_reply, a_check_termination_and_human_reply = twins(
        _check_termination_and_human_reply, "check_termination_and_human_reply"
    )

    # People.

    def get_human_input(self, prompt: str) -> str:
        """Return what a person answers to `prompt`. Override it to ask in another way."""
        return IOStream.get_default().input(prompt)

    async def a_get_human_input(self, prompt: str) -> str:
        """Return what a person answers to `prompt`, without holding up whatever else is awaited."""
        return await asyncio.to_thread(self.get_human_input, prompt)

    # Chats.

    def _initiate_chat(
        self,
        recipient: Agent,
        clear_history: bool = True,
        silent: bool | None = False,
        cache: Cache | None = None,
        max_turns: int | None = None,
        summary_method: SummaryMethod = DEFAULT_SUMMARY_METHOD,
        summary_args: Mapping[str, Any] | None = None,
        message: Any = None,
        **kwargs: Any,
    ) -> Steps[ChatResult]:
        """Hold a chat with `recipient`, and return what it was.

        Args:
            recipient: who is spoken to.
            clear_history: begin with nothing remembered of each other.
            silent: print nothing.
            cache: a block around this chat, for everything inside it.
            max_turns: round trips at most; unless given, the chat goes on until somebody ends it.
            summary_method: `last_msg`, `reflection_with_llm`, None, or `f(sender, recipient, summary_args)`.
            summary_args: `summary_prompt`, `summary_role` and `cache` of a reflection; all goes to a function.
            message: a text, a message, or `f(sender, recipient, kwargs)`; unless given, a person is asked.
            kwargs: `carryover`, a text or a list that is added to the message; `sample_index`, which of several draws
                of the whole chat this is; `record_human_input`, whether what people say is kept and repeated;
                whatever else a message function wants to know.

        Raises: RuntimeError: an asynchronous reply function in a chat that waits.
        """
        method = self.DEFAULT_SUMMARY_METHOD if summary_method == DEFAULT_SUMMARY_METHOD else summary_method
        opening = Opening(
            message,
            kwargs,
            clear_history=clear_history,
            silent=silent,
            cache=cache,
            max_turns=max_turns,
            summary_method=method,
            summary_args=summary_args or {},
        )
        return (yield from hold_chat(self, recipient, opening))

    initiate_chat, a_initiate_chat = twins(_initiate_chat, "initiate_chat")

    def initiate_chats(self, chat_queue: Iterable[Chat]) -> list[ChatResult]:
        """Hold chats with several recipients one after another; see `ostinato.agents.initiate_chats`."""
        return run(in_order([{**chat, "sender": self} for chat in chat_queue]))

    async def a_initiate_chats(self, chat_queue: Iterable[Chat]) -> dict[Any, ChatResult]:
        """Hold chats with several recipients as their prerequisites allow; see `ostinato.agents.a_initiate_chats`."""
        return await a_initiate_chats([{**chat, "sender": self} for chat in chat_queue])

    def register_nested_chats(
        self,
        chat_queue: Iterable[Mapping[str, Any]],
        trigger: Any,
        reply_func_from_nested_chats: str | Callable[..., Any] = FROM_SUMMARY,
        position: int = 2,
        use_async: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Answer whom `trigger` names with what is left of chats with others; they are inside the chat they answer.

        Args:
            chat_queue: the keywords of `initiate_chat`, each with a `recipient`. The first begins with the last message
                of the outer chat, unless it has a `message`.
            trigger: as for `register_reply`.
            reply_func_from_nested_chats: unless given, the last one's summary is the answer; else
                `f(chat_queue, recipient, messages, sender, config) -> (final, reply)`.
            position: as for `register_reply`; unless given, behind what ends conversations.
            use_async: hold them side by side, as their `prerequisites` allow; each needs a `chat_id` then.
            kwargs: `config`, `reset_config` and `ignore_async_in_sync_chat` of `register_reply`.
        """
        reply = nested_reply(chat_queue, reply_func_from_nested_chats, use_async=bool(use_async))
        self.register_reply(trigger, reply, position, **kwargs)


_CHAIN = (
    ("check_termination_and_human_reply", "a_check_termination_and_human_reply"),
    ("generate_function_call_reply", "a_generate_function_call_reply"),
    ("generate_tool_calls_reply", "a_generate_tool_calls_reply"),
    ("generate_code_execution_reply", "a_generate_code_execution_reply"),
    ("generate_oai_reply", "a_generate_oai_reply"),
)
"""Who answers, from the first asked to the last."""


def _said_by_a_person(said: str, message: Mapping[str, Any]) -> Message:
    """Return a person's answer; open calls of tools are told that somebody came between."""
    answer: Message = {"role": "user", "content": said}
    broken = [
        {"role": "tool", "tool_call_id": tool_call.get("id", ""), "content": "USER INTERRUPTED"}
        for tool_call in message.get("tool_calls") or ()
    ]
    if message.get("function_call"):
        name = message["function_call"].get("name", "")
        broken.insert(0, {"role": "function", "name": name, "content": "USER INTERRUPTED"})
    if broken:
        answer["tool_responses"] = broken
    return answer
