"""Whether the time of an answer tells what another tenant asked: a classifier learns on half, and is tried on the rest.

Noise on a busy machine brings the classifier nearer to chance, never further from it.
"""

from __future__ import annotations

import contextvars
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ostinato.caching.key import remember_for, request_parts
from ostinato.gateway.books import Books
from ostinato.testing.emulator import Emulator
from tests.gateway.serving import Serving, config_for
from tests.gateway.test_team import WITH_MASTER, bearer, key

SIZES = {"short": 40, "long": 20_000, "longest": 900_000}
"""Characters of a prompt: below and above what stands in keys as a digest, and the largest text that is remembered."""


WAYS: dict[str, Callable[[str], list[dict[str, Any]]]] = {
    "message": lambda text: [{"role": "user", "content": text}],
    "block": lambda text: [
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "text", "text": "?"}]}
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_the_time_of_a_key_does_not_tell_what_another_tenant_hashed(way: str) -> None:
    """Without a network between, the remembered digest of a long text would tell: it takes a tenth of the time."""
    right = accuracy(contextvars.copy_context().run(keyed, WAYS[way], 400))

    assert 0.35 < right < 0.65


def keyed(messages: Callable[[str], list[dict[str, Any]]], count: int) -> list[tuple[float, bool]]:
    """Time the key of one tenant's texts, half of which another tenant had just before."""
    dice = random.Random(7)
    samples = []
    for number in range(count):
        text = f"{number} {dice.random()} ".ljust(60_000, "lorem ipsum "[number % 12])
        known = dice.random() < 0.5
        remember_for("one")
        request_parts("POST", {}, {"messages": messages(text if known else f"!{text[1:]}")})
        body = {"messages": messages(f"{text} "[:-1])}  # the same text, and not the same object
        remember_for("other")
        began_s = time.perf_counter()
        request_parts("POST", {}, body)
        samples.append((time.perf_counter() - began_s, known))
    return samples


def best_threshold(samples: list[tuple[float, bool]]) -> tuple[float, bool]:
    """Return the time, and the side of it, that tells best which prompts were asked before."""
    ordered = sorted(samples)
    total = sum(known for _, known in ordered)
    best = (0, 0.0, True)
    below = 0
    for index, (seconds, known) in enumerate(ordered, 1):
        below += known
        right = below + (len(ordered) - index) - (total - below)
        best = max(best, (right, seconds, True), (len(ordered) - right, seconds, False))
    return best[1:]


def accuracy(samples: list[tuple[float, bool]]) -> float:
    """Return the share that a threshold learnt on one half gets right on the other."""
    half = len(samples) // 2
    threshold, faster_is_known = best_threshold(samples[:half])
    tried = samples[half:]
    return sum(((seconds <= threshold) == faster_is_known) == known for seconds, known in tried) / len(tried)


def sampled(emulator: Emulator, folder: Path, size: int, count: int) -> list[tuple[float, bool]]:
    """Ask as one tenant, then time another who asks half of the same and half anew.

    Its budget is nothing, so that no vendor's time stands between: what it is told is made by the gateway alone.
    """
    dice = random.Random(7)
    with (
        Serving(config_for(emulator, WITH_MASTER), books=Books(folder / "gateway.db")) as serving,
        httpx2.Client(base_url=serving.url, timeout=60) as http,
    ):
        one, other = key(http, id="one"), key(http, id="other", budget_usd=0)

        def ask(secret: str, text: str) -> float:
            body = {"model": "gpt", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
            began_s = time.perf_counter()
            http.post("/v1/chat/completions", json=body, headers=bearer(secret))
            return time.perf_counter() - began_s

        samples = []
        for number in range(count):
            text = f"{number} {dice.random()} ".ljust(size, "lorem ipsum "[number % 12])
            known = dice.random() < 0.5
            ask(one, text if known else f"!{text[1:]}")
            samples.append((ask(other, text), known))
    return samples


@pytest.mark.parametrize("size", SIZES)
def test_the_time_of_an_answer_does_not_tell_what_another_tenant_asked(
    size: str, emulator: Emulator, tmp_path: Path
) -> None:
    right = accuracy(sampled(emulator, tmp_path, SIZES[size], 80))

    assert 0.2 < right < 0.8


@pytest.mark.soak
@pytest.mark.parametrize("size", SIZES)
def test_nor_does_it_over_many_answers(size: str, emulator: Emulator, tmp_path: Path) -> None:
    right = accuracy(sampled(emulator, tmp_path, SIZES[size], 2000))

    assert 0.45 < right < 0.55
