"""Chats one after another, or as soon as those are over that they wait for; what each leaves is carried on."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ostinato.agents.chat import carryover_text
from ostinato.agents.show import show_new_chat
from ostinato.agents.steps import Do, Steps, arun, run
from ostinato.errors import ConfigurationError

if TYPE_CHECKING:
    from ostinato.agents.chat import ChatResult

Chat = dict[str, Any]
"""The keywords of `initiate_chat`, with `sender` and `recipient`, and those of this module."""


def in_order(chat_queue: Iterable[Mapping[str, Any]]) -> Steps[list[ChatResult]]:
    """Hold chats one after another, and return what each was.

    A chat is the keywords of `initiate_chat` with `sender` and `recipient`; the summaries of those before it are its
    carryover, but for `finished_chat_indexes_to_exclude_from_carryover`.
    """
    queue = _checked(chat_queue)
    results: list[ChatResult] = []
    for chat in queue:
        excluded = chat.get("finished_chat_indexes_to_exclude_from_carryover") or ()
        left = [result.summary for index, result in enumerate(results) if index not in excluded]
        results.append((yield from _hold(chat, left)))
    return results


def _hold(chat: Chat, left: list[Any]) -> Steps[ChatResult]:
    carryover = _carryover_of(chat) + left
    if not chat.get("silent"):
        show_new_chat(chat.get("message"), carryover_text(carryover), verbose=bool(chat.get("verbose")))
    sender = chat["sender"]
    keywords = {name: value for name, value in chat.items() if name != "sender"}
    result: ChatResult = yield Do(
        sender.initiate_chat, sender.a_initiate_chat, (), {**keywords, "carryover": carryover}
    )
    return result


def _carryover_of(chat: Chat) -> list[Any]:
    carryover = chat.get("carryover") or []
    return [carryover] if isinstance(carryover, str) else list(carryover)


def initiate_chats(chat_queue: Iterable[Mapping[str, Any]]) -> list[ChatResult]:
    """Hold chats one after another, and return what each was; see `in_order`."""
    return run(in_order(chat_queue))


async def a_initiate_chats(chat_queue: Iterable[Mapping[str, Any]]) -> dict[Any, ChatResult]:
    """Hold chats side by side as far as they do not wait for each other, and return what each was, by `chat_id`.

    A chat waits for the `prerequisites` it names by `chat_id`, and their summaries are its carryover. Unless given, the
    id is the chat's position.

    Raises: ConfigurationError: an id stands there twice, is not there, or chats wait for each other in a circle.
    """
    queue = _checked(chat_queue)
    by_id = {chat.setdefault("chat_id", position): chat for position, chat in enumerate(queue)}
    if len(by_id) < len(queue):
        raise ConfigurationError("two chats have the same chat_id")
    tasks: dict[Any, asyncio.Task[ChatResult]] = {}

    async def hold(chat: Chat) -> ChatResult:
        left = [(await tasks[other]).summary for other in chat.get("prerequisites") or ()]
        return await arun(_hold(chat, left))

    try:
        async with asyncio.TaskGroup() as group:
            for chat_id in order_of(by_id):
                tasks[chat_id] = group.create_task(hold(by_id[chat_id]))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return {chat_id: task.result() for chat_id, task in tasks.items()}


def order_of(by_id: Mapping[Any, Chat]) -> Sequence[Any]:
    """Return the ids so that each stands behind those it waits for.

    Raises: ConfigurationError: one waits for an id that is not there, or they wait for each other.
    """
    from graphlib import CycleError, TopologicalSorter

    waiting = {chat_id: tuple(chat.get("prerequisites") or ()) for chat_id, chat in by_id.items()}
    absent = {other for others in waiting.values() for other in others} - by_id.keys()
    if absent:
        raise ConfigurationError(f"no chat has the chat_id {', '.join(map(repr, absent))} that others wait for")
    try:
        return list(TopologicalSorter(waiting).static_order())
    except CycleError as exc:
        raise ConfigurationError(f"chats wait for each other in a circle: {exc.args[1]}") from exc


def _checked(chat_queue: Iterable[Mapping[str, Any]]) -> list[Chat]:
    """Return the chats as dicts of their own.

    Raises: ConfigurationError: one names no sender or recipient.
    """
    queue = [dict(chat) for chat in chat_queue]
    for number, chat in enumerate(queue):
        for role in ("sender", "recipient"):
            if chat.get(role) is None:
                raise ConfigurationError(f"chat {number} of the queue names no {role}")
    recipients = [id(chat["recipient"]) for chat in queue]
    if len(set(recipients)) < len(recipients):
        warnings.warn("repetitive recipients: their history is cleared for each chat", UserWarning, stacklevel=4)
    return queue
