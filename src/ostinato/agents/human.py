"""What people say in a conversation: asked once, and where wished kept and repeated with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ostinato.agents.precedence import choose_cache
from ostinato.agents.recorded import name_of, recorded
from ostinato.agents.session import count_human_input, current, current_sample
from ostinato.agents.steps import Do, Steps
from ostinato.errors import warn

if TYPE_CHECKING:
    from ostinato.agents.agent import Agent
    from ostinato.agents.conversable import ConversableAgent
    from ostinato.caching.cache import Cache


def ask_person(
    agent: ConversableAgent, prompt: str, messages: Sequence[Any] = (), sender: Agent | None = None
) -> Steps[str]:
    """Return what a person answers to `prompt`, from the cache where input is recorded and was given before.

    An answer belongs to everything that led to it: who asks, what was said so far, and how often people were asked.

    Raises: ReplayMissError: the cache only replays, and has no such answer.
    """

    def ask() -> Steps[str]:
        said: str = yield Do(agent.get_human_input, agent.a_get_human_input, (prompt,))
        return said

    session = current()
    asked = len(session.human_input) if session is not None else 0
    peer = None if sender is None else sender.name
    name = name_of("human-input", agent.name, peer, prompt, list(messages), asked, current_sample())
    missed = f"nobody is asked in replay mode, and no recorded input answers {prompt!r}"
    said, _ = yield from recorded(_recorder(agent), name, ask, missed=missed)
    count_human_input(said)
    return str(said)


def _recorder(agent: ConversableAgent) -> Cache | None:
    """Return the cache that keeps what people say, or None where nothing is to be kept."""
    session = current()
    wished = session.record_human_input if session is not None else None
    if not (agent.record_human_input if wished is None else wished):
        return None
    cache = choose_cache({}, agent.llm_config if isinstance(agent.llm_config, dict) else {})
    if cache is None:
        warn("record_human_input=True, but %r has no cache: pass cache= or a cache_seed", agent.name)
    return cache
