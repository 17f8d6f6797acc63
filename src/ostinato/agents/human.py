"""What people say in a conversation: asked once, and where wished kept and repeated with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ostinato.agents.precedence import choose_cache
from ostinato.agents.session import count_human_input, current
from ostinato.agents.steps import Do, Steps
from ostinato.errors import ReplayMissError, warn

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
    cache = _recorder(agent)
    if cache is None:
        said: str = yield Do(agent.get_human_input, agent.a_get_human_input, (prompt,))
    else:
        key = _key(agent, prompt, messages, sender)
        kept = None
        if cache.mode != "record":
            kept = yield Do(cache.get, cache.aget, (key,))
        if kept is None and cache.mode == "replay":
            raise ReplayMissError(f"nobody is asked in replay mode, and no recorded input answers {prompt!r}")
        if kept is None:
            kept = yield Do(agent.get_human_input, agent.a_get_human_input, (prompt,))
            yield Do(cache.set, cache.aset, (key, kept))
        said = kept
    count_human_input(said)
    return said


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


def _key(agent: Agent, prompt: str, messages: Sequence[Any], sender: Agent | None) -> str:
    session = current()
    asked, sample = (len(session.human_input), session.sample_index) if session is not None else (0, None)
    whole = [agent.name, sender.name if sender is not None else None, prompt, list(messages), asked, sample or 0]
    encoded = msgspec.json.encode(whole, enc_hook=repr, order="deterministic")
    return f"human-input:{hashlib.sha256(encoded).hexdigest()}"
