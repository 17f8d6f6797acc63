"""What a conversation prints, in AutoGen's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ostinato.agents.session import current
from ostinato.agents.stream import SILENCE, IOStream

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

RULE = "-" * 80
STARS = "*" * 80


def stream_of(agent: Agent | None = None, *, silent: bool = False) -> IOStream:
    """Return where `agent` prints: nowhere if it, its chat or the call is silent. What the agent says counts most."""
    own = agent.silent if agent is not None else None
    if own is None:
        session = current()
        own = silent or (session is not None and session.silent)
    return SILENCE if own else IOStream.get_default()


def show_stream(texts: Iterable[str]) -> None:
    """Print pieces of an answer as they come."""
    stream = stream_of()
    for text in texts:
        stream.print(text, end="", flush=True)


def show_note(agent: Agent, note: str) -> None:
    """Print a remark such as `USING AUTO REPLY...`."""
    stream_of(agent).print(f"\n>>>>>>>> {note}", flush=True)


def show_received(agent: Agent, sender: Agent, message: Mapping[str, Any], *, silent: bool = False) -> None:
    """Print a message that `agent` got from `sender`; of several results of tools each as a message of its own."""
    stream = stream_of(agent, silent=silent)
    if stream is not SILENCE:
        for line in _told(f"{sender.name} (to {agent.name}):\n", message):
            stream.print(line, flush=True)


def _told(head: str, message: Mapping[str, Any]) -> Iterable[str]:
    responses = message.get("tool_responses") or ()
    yield head
    for response in responses:
        yield from _told(head, response)
    if not (responses and message.get("role") == "tool"):
        yield from _lines(message)
        yield f"\n{RULE}"


def _lines(message: Mapping[str, Any]) -> Iterable[str]:
    role = message.get("role")
    if role in {"function", "tool"}:
        name = message.get("name" if role == "function" else "tool_call_id", "No id found")
        head = f"***** Response from calling {role} ({name}) *****"
        yield from (head, content_text(message.get("content")), "*" * len(head))
        return
    if message.get("content") is not None:
        yield content_text(message["content"])
    call = message.get("function_call")
    if call:
        yield from _call_lines(
            f"***** Suggested function call: {call.get('name', '(No function name found)')} *****", call
        )
    for tool_call in message.get("tool_calls") or ():
        function = tool_call.get("function") or {}
        name = function.get("name", "(No function name found)")
        yield from _call_lines(
            f"***** Suggested tool call ({tool_call.get('id', 'No tool call id found')}): {name} *****", function
        )


def _call_lines(head: str, call: Mapping[str, Any]) -> Iterable[str]:
    return (head, f"Arguments: \n{call.get('arguments', '(No arguments found)')}", "*" * len(head))


def content_text(content: Any) -> str:
    """Return the text of a message's content; of a list, its parts' texts, an image as `<image>`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return str(content)
    return "".join(
        part.get("text", "") if part.get("type") == "text" else "<image>" if isinstance(part, Mapping) else str(part)
        for part in content
    )


def show_new_chat(message: Any, carryover: str, *, verbose: bool) -> None:
    """Print that a chat of a sequence begins."""
    stream = stream_of()
    stream.print(f"\n{STARS}", flush=True)
    stream.print("Starting a new chat....", flush=True)
    if verbose:
        stream.print(f"Message:\n{_described(message)}", flush=True)
        stream.print(f"Carryover:\n{carryover}", flush=True)
    stream.print(f"\n{STARS}", flush=True)


def _described(message: Any) -> str:
    if callable(message):
        return f"Callable: {getattr(message, '__name__', message)}"
    return f"Dict: {message}" if isinstance(message, Mapping) else str(message)
