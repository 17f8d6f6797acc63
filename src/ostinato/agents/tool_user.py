"""An agent with a model and tools: what it tells the model, what it carries out for others, and what that cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from ostinato.agents.agent import Agent
from ostinato.agents.answering import ask_model
from ostinato.agents.memory import Message
from ostinato.agents.schema import tool_schema
from ostinato.agents.steps import Steps, twins
from ostinato.agents.stream import IOStream
from ostinato.agents.toolbox import Toolbox, check_name, function_reply, tool_reply
from ostinato.agents.usage import Summary
from ostinato.agents.wrapper import OpenAIWrapper
from ostinato.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
LLMConfig = Mapping[str, Any] | bool | None


class ToolUser(Agent):
    """An agent with a model and tools."""

    DEFAULT_CONFIG: ClassVar[LLMConfig] = False

    def __init__(
        self,
        name: str,
        system_message: Any,
        *,
        llm_config: LLMConfig,
        function_map: Mapping[str, Callable[..., Any]] | None = None,
        description: str | None = None,
        silent: bool | None = None,
    ) -> None:
        told = system_message if isinstance(system_message, str) else None
        super().__init__(name, description=told if description is None else description, silent=silent)
        self._system: list[Message] = [{"content": system_message, "role": "system"}]
        self.toolbox = Toolbox(function_map)
        self.llm_config = checked_llm_config(self.DEFAULT_CONFIG if llm_config is None else llm_config)
        self.client = OpenAIWrapper(**self.llm_config) if isinstance(self.llm_config, dict) else None

    @property
    def system_message(self) -> Any:
        """What its model is told first."""
        return self._system[0]["content"]

    def update_system_message(self, system_message: Any) -> None:
        """Tell its model something else first."""
        self._system[0]["content"] = system_message

    @property
    def function_map(self) -> dict[str, Callable[..., Any]]:
        """The functions that it carries out, by name."""
        return self.toolbox.functions

    def reset(self) -> None:
        """Forget everything that was said, and what was used."""
        super().reset()
        if self.client is not None:
            self.client.clear_usage_summary()

    # How it answers.

    def _generate_function_call_reply(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Return whether the last message calls a function of old, and what came of it."""
        messages = self._of(messages, sender)
        return (yield from function_reply(self, messages[-1])) if messages else (False, None)

    def _generate_tool_calls_reply(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Return whether the last message calls tools, and what came of them."""
        messages = self._of(messages, sender)
        return (yield from tool_reply(self, messages[-1])) if messages else (False, None)

    def _generate_oai_reply(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Return whether it has a model, and what that says. `config` may be another `OpenAIWrapper`."""
        client = self.client if config is None else config
        if client is None:
            return False, None
        answer = yield from ask_model(client, [*self._system, *self._of(messages, sender)], agent=self)
        return answer is not None, answer

    def _of(self, messages: list[Message] | None, sender: Agent | None) -> list[Message]:
        """Return what is to be answered: unless given, the conversation with `sender`."""
        return (self.memory.by_peer[sender] if sender is not None else []) if messages is None else messages

    generate_function_call_reply, a_generate_function_call_reply = twins(
        _generate_function_call_reply, "generate_function_call_reply"
    )
    generate_tool_calls_reply, a_generate_tool_calls_reply = twins(
        _generate_tool_calls_reply, "generate_tool_calls_reply"
    )
    generate_oai_reply, a_generate_oai_reply = twins(_generate_oai_reply, "generate_oai_reply")

    # Tools.

    def _execute_function(self, func_call: Mapping[str, Any]) -> Steps[tuple[bool, dict[str, Any]]]:
        """Carry out a call (`name`, and `arguments` as JSON text). Return whether it succeeded, and what came of it."""
        return (yield from self.toolbox.execute(self, func_call))

    execute_function, a_execute_function = twins(_execute_function, "execute_function")

    def register_function(self, function_map: Mapping[str, Callable[..., Any] | None]) -> None:
        """Let it carry out functions by name; None takes one out."""
        self.toolbox.add(function_map)

    def can_execute_function(self, name: str | Iterable[str]) -> bool:
        """Return whether it carries out all functions of these names."""
        names = [name] if isinstance(name, str) else name
        return all(one in self.toolbox.functions for one in names)

    def register_for_execution(self, name: str | None = None) -> Callable[[F], F]:
        """Return a decorator that lets this agent carry out the function."""

        def decorate(function: F) -> F:
            self.toolbox.add_typed(name or tool_name(function), function)
            return function

        return decorate

    def register_for_llm(
        self, *, name: str | None = None, description: str | None = None, api_style: str = "tool"
    ) -> Callable[[F], F]:
        """Return a decorator that tells this agent's model of the function.

        Args:
            name: what the model calls it; unless given, its own name.
            description: what it is for; unless given, its docstring.
            api_style: `tool`, or `function` for servers that know no tools.

        Raises (when it decorates): RuntimeError: the agent has no model. TypeError: a parameter without a type hint.
            ConfigurationError: no description.
        """

        def decorate(function: F) -> F:
            called = name or tool_name(function)
            check_name(called)
            told = description or (function.__doc__ or "").strip()
            if not told:
                raise ConfigurationError(f"the function {called!r} needs a description for the model")
            schema = tool_schema(function, name=called, description=told)
            if api_style == "tool":
                self.update_tool_signature(schema, is_remove=False)
            elif api_style == "function":
                self.update_function_signature(schema["function"], is_remove=False)
            else:
                raise ConfigurationError(f"api_style must be 'tool' or 'function', not {api_style!r}")
            return function

        return decorate

    def update_tool_signature(self, tool_sig: str | Mapping[str, Any], is_remove: bool) -> None:
        """Tell its model of a tool, or no longer of the one of that name."""
        self._tell("tools", tool_sig, lambda tool: tool["function"]["name"], remove=is_remove)

    def update_function_signature(self, func_sig: str | Mapping[str, Any], is_remove: bool) -> None:
        """Tell its model of a function in the way of 2023, or no longer of the one of that name."""
        self._tell("functions", func_sig, lambda function: function["name"], remove=is_remove)

    def _tell(self, kind: str, given: Any, name_of: Callable[[Any], str], *, remove: bool) -> None:
        if not isinstance(self.llm_config, dict) or self.client is None:
            raise RuntimeError(f"agent {self.name!r} has no llm_config, and so nobody to tell of a function")
        name = given if isinstance(given, str) else name_of(given)
        listed = [one for one in self.llm_config.get(kind) or () if name_of(one) != name]
        if not remove:
            listed.append(given)
        self.llm_config[kind] = listed or None
        self.client.amend(**{kind: listed or None})

    # Usage.

    def register_model_client(self, model_client_cls: type, **kwargs: Any) -> None:
        """Let a class of one's own answer; see `OpenAIWrapper.register_model_client`."""
        if self.client is None:
            raise RuntimeError(f"agent {self.name!r} has no llm_config, and so no model client to register")
        self.client.register_model_client(model_client_cls, **kwargs)

    def print_usage_summary(self, mode: str | list[str] | None = None) -> None:
        """Print what this agent used over its life: `"actual"`, `"total"`, or both unless said."""
        show = IOStream.get_default().print
        if self.client is None:
            show(f"No cost incurred from agent '{self.name}'.")
        else:
            show(f"Agent '{self.name}':")
            self.client.print_usage_summary(mode)

    def get_actual_usage(self) -> Summary | None:
        """Return what was paid for over its life, or None."""
        return None if self.client is None else self.client.actual_usage_summary

    def get_total_usage(self) -> Summary | None:
        """Return what its answers took over its life, those of the response cache included, or None."""
        return None if self.client is None else self.client.total_usage_summary


def checked_llm_config(llm_config: LLMConfig) -> dict[str, Any] | bool:
    """Return an `llm_config` as a dict of the agent's own; what stands in it is shared, not copied.

    Raises: ConfigurationError: it has no model, or is no mapping.
    """
    if llm_config is None or llm_config is False:
        return False
    if not isinstance(llm_config, Mapping):
        raise ConfigurationError(f"llm_config must be a dict or False, not {llm_config!r}")
    entries = llm_config.get("config_list")
    named = llm_config.get("model") or any(entry.get("model") for entry in entries or ())
    if not named:
        raise ConfigurationError(
            "specify a non-empty 'model' either in 'llm_config' or in each config of 'config_list'"
        )
    return dict(llm_config)


def tool_name(function: Callable[..., Any]) -> str:
    """Return what a function is called."""
    return str(getattr(function, "__name__", type(function).__name__))


def register_function(
    f: Callable[..., Any],
    *,
    caller: ToolUser,
    executor: ToolUser,
    name: str | None = None,
    description: str,
) -> None:
    """Let the model of `caller` ask for `f`, and `executor` carry it out."""
    caller.register_for_llm(name=name, description=description)(f)
    executor.register_for_execution(name=name)(f)
