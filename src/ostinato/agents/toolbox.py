"""The functions that an agent carries out for others, and what it tells its model of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.agents.schema import arguments_for, result_text
from ostinato.agents.show import show_note
from ostinato.agents.steps import Call, Do, Steps, Together

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

Function = Callable[..., Any]


class Toolbox:
    """Functions by name."""

    def __init__(self, function_map: Mapping[str, Function] | None = None) -> None:
        self.functions: dict[str, Function] = {}
        self._typed: set[str] = set()
        self.add(function_map or {})

    def add(self, function_map: Mapping[str, Function | None]) -> None:
        """Take functions in by name; None takes one out."""
        for name, function in function_map.items():
            check_name(name)
            if function is None:
                if name not in self.functions:
                    raise ValueError(f"there is no function {name!r} to remove")
                del self.functions[name]
            elif callable(function):
                self.functions[name] = function
            else:
                raise ValueError(f"the function {name!r} must be callable, not {function!r}")
            self._typed.discard(name)

    def add_typed(self, name: str, function: Function) -> None:
        """Take a function in whose arguments are made to fit its type hints."""
        self.add({name: function})
        self._typed.add(name)

    def execute(self, agent: Agent, call: Mapping[str, Any]) -> Steps[tuple[bool, dict[str, Any]]]:
        """Carry out a call (`name`, and `arguments` as JSON text).

        Return whether it succeeded, and the message that says what came of it. Nothing that goes wrong is raised: the
        model reads it.
        """
        name = call.get("name") or ""
        function = self.functions.get(name)
        if function is None:
            return False, _message(name, f"Error: Function {name} not found.")
        try:
            arguments = _parsed(call.get("arguments"))
        except ValueError as exc:
            return False, _message(name, f"Error: {exc}\n The arguments must be in JSON format.")
        show_note(agent, f"EXECUTING FUNCTION {name}...")
        try:
            if name in self._typed:
                arguments = arguments_for(function, arguments)
            result = yield Call(function, (), arguments)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the model reads it
            return False, _message(name, f"Error: {exc}")
        return True, _message(name, result_text(result))


def _message(name: str, content: str) -> dict[str, Any]:
    return {"name": name, "role": "function", "content": content}


def _parsed(arguments: Any) -> dict[str, Any]:
    """Return the arguments that a model wrote: a JSON object, with line breaks in its texts forgiven.

    Raises: ValueError: they are none.
    """
    if isinstance(arguments, Mapping):
        return dict(arguments)
    text = arguments or "{}"
    try:
        parsed = msgspec.json.decode(text)
    except msgspec.DecodeError:
        import json

        parsed = json.loads(text, strict=False)
    if not isinstance(parsed, dict):
        raise ValueError(f"arguments are a JSON {type(parsed).__name__}, not an object")  # noqa: TRY004  # the model reads it
    return parsed


def check_name(name: str) -> None:
    """Raise ValueError for a name that no vendor takes for a function."""
    import re

    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name):
        raise ValueError(f"the function name {name!r} must be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")


def tool_reply(agent: Any, message: Mapping[str, Any]) -> Steps[tuple[bool, Any]]:
    """Answer the tool calls of a message, side by side where things are awaited."""
    calls = message.get("tool_calls") or []
    if not calls:
        return False, None
    done = yield Together([_executed(agent, tool_call.get("function") or {}) for tool_call in calls])
    answers = [
        {"tool_call_id": tool_call.get("id") or "", "role": "tool", "content": result["content"]}
        for tool_call, (_, result) in zip(calls, done, strict=True)
    ]
    joined = "\n\n".join(answer["content"] for answer in answers)
    return True, {"role": "tool", "tool_responses": answers, "content": joined}


def function_reply(agent: Any, message: Mapping[str, Any]) -> Steps[tuple[bool, Any]]:
    """Answer the function call of a message, as models of 2023 make it."""
    call = message.get("function_call")
    if not call:
        return False, None
    _, result = yield from _executed(agent, call)
    return True, result


def _executed(agent: Any, call: Mapping[str, Any]) -> Steps[tuple[bool, dict[str, Any]]]:
    done: tuple[bool, dict[str, Any]] = yield Do(agent.execute_function, agent.a_execute_function, (call,))
    return done
