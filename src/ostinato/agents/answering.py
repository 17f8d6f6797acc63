"""How a model answers in a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ostinato.agents.memory import Message
from ostinato.agents.steps import Do, Steps
from ostinato.agents.wrapper import OpenAIWrapper

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def ask_model(client: OpenAIWrapper, messages: Iterable[Message], **settings: Any) -> Steps[Any]:
    """Return what the model says to `messages`: a text, a message that calls tools, or None where it says nothing."""
    context, sent = _sendable(messages)
    response = yield Do(client.create, client.acreate, (), {"context": context, "messages": sent, **settings})
    said = client.extract_text_or_completion_object(response)[0]
    if said is None or isinstance(said, str):
        return said
    return _speakable(said.model_dump() if hasattr(said, "model_dump") else dict(said))


def _sendable(messages: Iterable[Message]) -> tuple[Any, list[Message]]:
    """Return the last message's context, and the messages as a model reads them: each answer to a tool by itself."""
    context = None
    sent: list[Message] = []
    for message in messages:
        context = message.get("context")
        sent.extend(_taken_apart(message))
    return context, sent


def _taken_apart(message: Message) -> Iterator[Message]:
    if "tool_responses" not in message and "context" not in message:
        yield message
        return
    yield from message.get("tool_responses") or ()
    if message.get("role") != "tool" or not message.get("tool_responses"):
        yield {name: value for name, value in message.items() if name not in {"tool_responses", "context"}}


def _speakable(message: Message) -> Message:
    """Return a message of the model's with function names that it will be allowed to say again."""
    function_call = message.get("function_call")
    if function_call:
        function_call["name"] = normalized_name(function_call["name"])
    for tool_call in message.get("tool_calls") or ():
        if tool_call.get("function"):
            tool_call["function"]["name"] = normalized_name(tool_call["function"]["name"])
    return message


def normalized_name(name: str) -> str:
    """Return a function's name with the characters that no vendor takes replaced, 64 of them at most."""
    return _NO_NAME.sub("_", name)[:64]
