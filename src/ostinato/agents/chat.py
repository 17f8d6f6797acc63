"""One chat from its first message to its summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.agents.human import ask_person
from ostinato.agents.memory import Message
from ostinato.agents.session import Session, running
from ostinato.agents.steps import Call, Do, Steps
from ostinato.agents.summary import SummaryMethod, summarize
from ostinato.caching.cache import Cache
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent
    from ostinato.agents.conversable import ConversableAgent


@dataclass
class ChatResult:
    """What a chat was."""

    chat_id: int | str | None = None
    """The chat's own, where it was one of a sequence that named it."""
    chat_history: list[Message] = None  # type: ignore[assignment]  # AutoGen's default
    """The messages, as who began remembers them."""
    summary: Any = None
    cost: dict[str, dict[str, Any]] = None  # type: ignore[assignment]  # AutoGen's default
    """What this chat used, nested chats and all who took part included: `usage_including_cached_inference` and
    `usage_excluding_cached_inference`, each with `total_cost` in US dollars and the counts of each model."""
    human_input: list[str] = None  # type: ignore[assignment]  # AutoGen's default
    """What people said, in order."""


class Opening(msgspec.Struct, frozen=True):
    """How a chat is to be led."""

    message: Any
    context: Mapping[str, Any]
    """What a message function is told: `carryover` and whatever the caller adds."""
    clear_history: bool = True
    silent: bool | None = False
    cache: Cache | None = None
    max_turns: int | None = None
    summary_method: SummaryMethod = "last_msg"
    summary_args: Mapping[str, Any] = {}


def hold_chat(sender: ConversableAgent, recipient: Agent, opening: Opening) -> Steps[ChatResult]:
    """Hold the chat that `sender` begins with `recipient`, and return what it was.

    Whatever happens, nothing of it stays behind but what the agents remember.
    """
    if opening.cache is not None and not isinstance(opening.cache, Cache):
        raise ConfigurationError(f"cache= takes a Cache of ostinato, not {opening.cache!r}")
    yield Do(_refuse_async, _accept_async, (sender, recipient))
    context = opening.context
    session = Session(
        silent=bool(opening.silent),
        record_human_input=context.get("record_human_input"),
        sample_index=context.get("sample_index"),
    )
    with running(session, opening.cache):
        unasked = opening.max_turns is None
        sender.begin_chat(recipient, clear_history=opening.clear_history, reply_at_receive=unasked)
        recipient.begin_chat(sender, clear_history=opening.clear_history, reply_at_receive=unasked)
        message = yield from first_message(sender, recipient, opening)
        yield from _take_turns(sender, recipient, message, opening)
        summary = yield from summarize(opening.summary_method, opening.summary_args, sender, recipient)
        return ChatResult(
            chat_id=context.get("chat_id"),
            chat_history=list(sender.chat_messages[recipient]),
            summary=summary,
            cost=session.ledger.cost(),
            human_input=session.human_input,
        )


def _take_turns(sender: ConversableAgent, recipient: Agent, message: Any, opening: Opening) -> Steps[None]:
    """Let them talk until one of them does not answer, or for so many round trips."""
    if opening.max_turns is None:
        yield Do(sender.send, sender.a_send, (message, recipient), {"silent": opening.silent})
        return
    for turn in range(opening.max_turns):
        if turn:
            given = {"messages": sender.chat_messages[recipient], "sender": recipient}
            message = yield Do(sender.generate_reply, sender.a_generate_reply, (), given)
        if message is None:
            return
        spoken = {"request_reply": True, "silent": opening.silent}
        yield Do(sender.send, sender.a_send, (message, recipient), spoken)


def first_message(sender: ConversableAgent, recipient: Agent, opening: Opening) -> Steps[Any]:
    """Return what a chat begins with: a text or message with the carryover, or what a function or a person says."""
    message = opening.message
    if callable(message):
        return (yield Call(message, (sender, recipient, dict(opening.context))))
    if message is None:
        message = yield from ask_person(sender, ">", sender=recipient)
    if isinstance(message, Mapping):
        return {**message, "content": with_carryover(message.get("content"), opening.context.get("carryover"))}
    if not isinstance(message, str):
        raise ConfigurationError(f"message= takes a text, a dict or a function, not {message!r}")
    return with_carryover(message, opening.context.get("carryover"))


def with_carryover(content: Any, carryover: Any) -> Any:
    """Return a message's content with what earlier chats left, in a part of its own where it is a list.

    Raises: ConfigurationError: the carryover is neither a text nor a list.
    """
    if not carryover:
        return content
    if not isinstance(carryover, str | list | tuple):
        raise ConfigurationError(f"carryover must be a text or a list, not {carryover!r}")
    text = f"\nContext: \n{carryover_text(carryover)}"
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return (content or "") + text


def carryover_text(carryover: Any) -> str:
    """Return a carryover as one text, an item a line."""
    items = [carryover] if isinstance(carryover, str) else carryover
    return "\n".join(
        item
        if isinstance(item, str)
        else str(item["content"] if isinstance(item, Mapping) and "content" in item else item)
        for item in items
    )


def _refuse_async(*agents: Agent) -> None:
    names = [
        f"{agent.name}: {reply.function.__name__}"
        for agent in agents
        for reply in agent.replies.chain
        if reply.must_be_awaited
    ]
    if names:
        raise RuntimeError(
            "asynchronous reply functions need a_initiate_chat, or ignore_async_in_sync_chat=True when they are "
            f"registered; found: {', '.join(names)}"
        )


async def _accept_async(*agents: Agent) -> None:
    """Nothing stands in the way of a chat that awaits."""
