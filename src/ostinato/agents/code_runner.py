"""An agent that runs the code it is told, where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ostinato.agents.agent import Agent
from ostinato.agents.code import Block, Outcome, languages_told, latest_code
from ostinato.agents.memory import Message
from ostinato.agents.precedence import choose_cache
from ostinato.agents.recorded import name_of, recorded
from ostinato.agents.session import current_sample
from ostinato.agents.show import show_note
from ostinato.agents.steps import Do, Steps, twins
from ostinato.agents.tool_user import ToolUser
from ostinato.errors import ConfigurationError, warn

if TYPE_CHECKING:
    from ostinato.agents.coding import Workshop
    from ostinato.caching.cache import Cache


class CodeRunner(ToolUser):
    """An agent that runs the code it is told, where that was asked for."""

    workshop: Workshop | None = None
    """How code is carried out; None: not at all."""

    def _generate_code_execution_reply(
        self, messages: list[Message] | None = None, sender: Agent | None = None, config: Any = None
    ) -> Steps[tuple[bool, Any]]:
        """Return whether what was said holds code that it runs, and what came of it."""
        if self.workshop is None:
            return False, None
        messages = self._of(messages, sender)
        blocks = latest_code(messages, self.workshop.how_far)
        if not blocks:
            return False, None

        def carry_out() -> Steps[tuple[int, str]]:
            show_note(self, languages_told(blocks))
            pairs = [(block.language, block.code) for block in blocks]
            ended: tuple[int, str] = yield Do(self.execute_code_blocks, self.a_execute_code_blocks, (pairs,))
            return ended

        name = name_of("code", self.name, blocks, messages, current_sample())
        missed = "nothing is run in replay mode, and no record says what came of this code"
        (exit_code, output), _ = yield from recorded(self._code_recorder(), name, carry_out, missed=missed)
        return True, Outcome(exit_code, output).told

    generate_code_execution_reply, a_generate_code_execution_reply = twins(
        _generate_code_execution_reply, "generate_code_execution_reply"
    )

    def _execute_code_blocks(self, code_blocks: Sequence[tuple[str, str]]) -> Steps[tuple[int, str]]:
        """Carry out blocks, each its language and its code. Return the last exit code, and what was printed.

        Raises: ConfigurationError: the agent runs no code.
        """
        if self.workshop is None:
            raise ConfigurationError(f"agent {self.name!r} runs no code: give it a code_execution_config")
        outcome = yield from self.workshop.carry_out([Block(language, code) for language, code in code_blocks])
        return outcome.exit_code, outcome.output

    execute_code_blocks, a_execute_code_blocks = twins(_execute_code_blocks, "execute_code_blocks")

    def _code_recorder(self) -> Cache | None:
        """Return the cache that keeps what came of code, or None where nothing is to be kept."""
        if self.workshop is None or not self.workshop.records:
            return None
        cache = choose_cache({}, self.llm_config if isinstance(self.llm_config, dict) else {})
        if cache is None:
            warn("code_execution_config says record=True, but %r has no cache: pass cache= or a cache_seed", self.name)
        return cache


def workshop_of(config: Mapping[str, Any] | bool) -> Workshop | None:  # AutoGen's type
    """Return how code is carried out by an agent's `code_execution_config`, or None where none is."""
    if config is False or config is None:
        return None
    from ostinato.agents.coding import Workshop

    return Workshop({} if config is True else config)
