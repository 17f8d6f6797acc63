"""The functions that may answer for an agent, in the order in which they are asked."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ostinato.agents.steps import Call, Steps, described

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent

ReplyFunction = Callable[..., Any]
"""`(recipient, messages, sender, config) -> (final, reply)`, of either kind."""


class SenderRequiredError(ValueError):
    """A trigger by name asks for a sender, and there is none."""


class Reply:
    """One function that may answer."""

    __slots__ = ("_initial", "_reset", "config", "function", "optional", "steps", "trigger")

    def __init__(
        self,
        trigger: Any,
        function: ReplyFunction,
        *,
        config: Any = None,
        reset_config: Callable[[Any], Any] | None = None,
        optional: bool = False,
    ) -> None:
        self.trigger = trigger
        self.function = function
        self.config = copy.copy(config)
        self._initial = config
        self._reset = reset_config
        self.optional = optional
        """Whether a coroutine function is passed over where nothing awaits."""
        self.steps = described(function)
        """What the function is made of, where it is one of ours."""

    def reset(self) -> None:
        """Bring the configuration back to what it was."""
        if self._reset is not None:
            self._reset(self.config)
        else:
            self.config = copy.copy(self._initial)

    @property
    def must_be_awaited(self) -> bool:
        """Whether a chat that waits cannot do with this function."""
        return self.steps is None and not self.optional and inspect.iscoroutinefunction(self.function)

    def ask(self, agent: Agent, messages: list[dict[str, Any]] | None, sender: Agent | None) -> Steps[tuple[bool, Any]]:
        """Return whether the function answers for good, and its answer."""
        if self.steps is not None:
            answer: tuple[bool, Any] = yield from self.steps(
                agent, messages=messages, sender=sender, config=self.config
            )
            return answer
        given = {"messages": messages, "sender": sender, "config": self.config}
        answer = yield Call(self.function, (agent,), given, instead=(False, None))
        return answer


class Replies:
    """The functions of one agent, the first to be asked at the front."""

    def __init__(self) -> None:
        self.chain: list[Reply] = []

    def add(self, reply: Reply, position: int) -> None:
        """Insert `reply` before what stands at `position`."""
        check_trigger(reply.trigger)
        self.chain.insert(position, reply)

    def replace(self, old: ReplyFunction, new: ReplyFunction) -> None:
        """Let `new` answer wherever `old` did."""
        for index, reply in enumerate(self.chain):
            if reply.function is old:
                again = Reply(
                    reply.trigger, new, config=reply._initial, reset_config=reply._reset, optional=reply.optional
                )
                self.chain[index] = again

    def of(self, sender: Agent | None, exclude: Iterable[ReplyFunction] = ()) -> Iterator[Reply]:
        """Yield what `sender` triggers. What stands there for both worlds is asked once."""
        seen = [described(function) or function for function in exclude]
        for reply in [*self.chain]:
            what = reply.steps or reply.function
            if what not in seen and triggers(reply.trigger, sender):
                if reply.steps is not None:
                    seen.append(what)
                yield reply

    def reset(self) -> None:
        """Bring every configuration back to what it was."""
        for reply in self.chain:
            reply.reset()


def check_trigger(trigger: Any) -> None:
    """Raise ValueError unless `trigger` can be matched with a sender."""
    from ostinato.agents.agent import Agent

    if not (trigger is None or isinstance(trigger, type | str | Agent | list | tuple) or callable(trigger)):
        raise ValueError("trigger must be a class, a string, an agent, a callable or a list")


def triggers(trigger: Any, sender: Agent | None) -> bool:
    """Return whether `sender` is meant: by class, by name, itself, by a test, or by one of a list; None is nobody.

    Raises: SenderRequiredError: a name, and nobody sent.
    """
    if trigger is None:
        return sender is None
    if isinstance(trigger, type):
        return isinstance(sender, trigger)
    if isinstance(trigger, str):
        if sender is None:
            raise SenderRequiredError(f"the trigger {trigger!r} asks for a sender, and there is none")
        return sender.name == trigger
    if isinstance(trigger, list | tuple):
        return any(triggers(one, sender) for one in trigger)
    return bool(trigger == sender or (callable(trigger) and trigger(sender)))
