from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from ostinato import Client
from ostinato.gateway.affinity import prefix_of
from ostinato.gateway.models import Alias, Deployment
from ostinato.gateway.router import Router
from ostinato.gateway.routing import Routing
from ostinato.testing.emulator import Emulator

SYSTEM = "You know this contract by heart. " + " ".join(
    f"Clause {number} binds flat {number}." for number in range(400)
)
ROUTES = {"openai": "openai/gpt-4o", "anthropic": "anthropic/claude-sonnet-4-5"}
MARK = {"cache_control": {"type": "ephemeral"}}

Messages = list[dict[str, Any]]


def marked(messages: Messages) -> Messages:
    """Mark the system prompt and the last message, as agents on Anthropic do."""
    blocks = [{**each, "content": [{"type": "text", "text": each["content"], **MARK}]} for each in messages]
    return [blocks[0], *messages[1:-1], blocks[-1]]


def conversation(number: int) -> Messages:
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"I am tenant {number} of the house. " * 40},
    ]


def read_share(vendor: str, count: int, *, conversations: int, turns: int, spread: bool = False) -> float:
    """Return the part of all prompt tokens that is read from the prompt caches of `count` deployments.

    With `spread` calls go to the deployments in turn, as a router without affinity has it.
    """
    with ExitStack() as stack:
        emulators = [stack.enter_context(Emulator()) for _ in range(count)]
        client = stack.enter_context(Client())
        deployments = [
            Deployment(f"d{index}", ROUTES[vendor], {"api_base": base_of(vendor, emulator), "api_key": "any"})
            for index, emulator in enumerate(emulators)
        ]
        alias, router = Alias.of("model", deployments), Router(Routing())
        said = [conversation(number) for number in range(conversations)]
        prompt = read = asked = 0
        for _ in range(turns):
            for messages in said:
                sent = marked(messages) if vendor == "anthropic" else messages
                plan = router.plan(alias, prefix_of({"messages": sent}))
                chosen = deployments[asked % count] if spread else plan.deployment
                answer = client.completion(chosen.model, sent, max_tokens=30, **chosen.params)
                plan.answered()
                asked += 1
                prompt += answer.usage.prompt_tokens
                read += answer.usage.prompt_tokens_details.cached_tokens or 0
                text = answer.choices[0].message.content
                messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And then? " * 30}]
        used = sum(bool(emulator.paid_calls) for emulator in emulators)
    assert used == count
    return read / prompt


def base_of(vendor: str, emulator: Emulator) -> str:
    return emulator.base_url if vendor == "openai" else emulator.anthropic_url


@pytest.mark.parametrize("vendor", list(ROUTES))
def test_three_deployments_read_as_much_from_prompt_caches_as_one(vendor: str) -> None:
    alone, together = (read_share(vendor, count, conversations=8, turns=12) for count in (1, 3))
    in_turn = read_share(vendor, 3, conversations=8, turns=12, spread=True)

    assert alone - together < 0.02
    assert alone - in_turn > alone - together


@pytest.mark.soak
@pytest.mark.parametrize("vendor", list(ROUTES))
def test_fifty_turns_of_twenty_conversations_read_within_two_percent_of_one_deployment(vendor: str) -> None:
    alone, together = (read_share(vendor, count, conversations=20, turns=50) for count in (1, 3))

    assert alone - together < 0.02
