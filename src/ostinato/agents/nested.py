"""Chats that an agent holds with others before it answers: what they leave is its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ostinato.agents.chats import Chat, a_initiate_chats, in_order
from ostinato.agents.memory import Message
from ostinato.agents.steps import Call, Steps, arun, twins
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

FROM_SUMMARY = "summary_from_nested_chats"


def nested_reply(
    chat_queue: Iterable[Mapping[str, Any]], reply_func: str | Callable[..., Any], *, use_async: bool
) -> Callable[..., Any]:
    """Return the reply function that holds these chats.

    Args:
        chat_queue: the keywords of `initiate_chat`, each with a `recipient`; see `chats_to_hold`.
        reply_func: `summary_from_nested_chats`, or `f(chat_queue, recipient, messages, sender, config)`.
        use_async: hold them side by side, as their `prerequisites` allow; the function has to be awaited then.

    Raises: ConfigurationError: another name, or a chat without `chat_id` where they are held side by side.
    """
    queue = [dict(chat) for chat in chat_queue]
    if use_async and any(chat.get("chat_id") is None for chat in queue):
        raise ConfigurationError("chats that are held side by side need a chat_id each")
    if callable(reply_func):
        return _of_the_user(queue, reply_func)
    if reply_func != FROM_SUMMARY:
        raise ConfigurationError(
            f"reply_func_from_nested_chats must be {FROM_SUMMARY!r} or a function, not {reply_func!r}"
        )
    return _side_by_side(queue) if use_async else _one_after_another(queue)


def _of_the_user(queue: list[Chat], reply_func: Callable[..., Any]) -> Callable[..., Any]:
    def steps(
        recipient: Agent, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        answer: tuple[bool, Any] = yield Call(reply_func, (queue, recipient, messages, sender, config))
        return answer

    return twins(steps, "nested_reply")[0]


def _one_after_another(queue: list[Chat]) -> Callable[..., Any]:
    def steps(
        recipient: Agent, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        chats = yield from chats_to_hold(queue, recipient, messages or [], sender, config)
        results = yield from in_order(chats)
        return True, results[-1].summary if results else None

    return twins(steps, "nested_reply")[0]


def _side_by_side(queue: list[Chat]) -> Callable[..., Any]:
    async def nested_reply(
        recipient: Agent, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> tuple[bool, Any]:
        chats = await arun(chats_to_hold(queue, recipient, messages or [], sender, config))
        results = await a_initiate_chats(chats)
        return True, results[chats[-1]["chat_id"]].summary if chats else None

    return nested_reply


def chats_to_hold(
    queue: list[Chat], recipient: Agent, messages: list[Message], sender: Agent | None, config: Any
) -> Steps[list[Chat]]:
    """Return the chats that have a message: the first one the last message of the outer chat, unless it has its own.

    A chat without a `sender` is begun by `recipient`, whose answer they make. A message may be a function
    `f(recipient, messages, sender, config)`.
    """
    chats: list[Chat] = []
    for number, chat in enumerate(queue):
        message = chat.get("message")
        if message is None and number == 0 and messages:
            message = messages[-1].get("content")
        if callable(message):
            message = yield Call(message, (recipient, messages, sender, config))
        if message:
            chats.append({**chat, "sender": chat.get("sender") or recipient, "message": message})
    return chats
