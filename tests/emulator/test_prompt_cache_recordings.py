"""The emulator's prompt caches beside recorded ones.

Recorded requests are asked again in the recorded order. The counts themselves differ, since the emulator's tokens are
an estimate; which counters are zero, and that a call reads what the one before it read and wrote, must not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ostinato.testing.emulator import Emulator
from tests.corpus import open_index, open_records

Record = dict[str, Any]
Counts = tuple[int, int]
"""Tokens read from the prompt cache, and tokens written to it."""

SPOKEN = {
    "anthropic": {"messages"},
    "bedrock-converse": {"converse", "converse-stream"},
    "bedrock-invoke": {"invoke", "invoke-stream"},
    "openai": {"chat"},
}

DISAGREE = {
    "ant-msg-0b6ad93e79": "server tools",
    "ant-msg-1c0145257a": "server tools",
    "ant-msg-9630bee119": "server tools",
    "ant-msg-187e382a16": "below the minimum by our estimate",
    "ant-msg-b70bd0c1ee": "below the minimum by our estimate",
    "oai-chat-2d2bc5cba4": "trimmed media",
}
"""The first call of each recording that does not agree, and why. docs/testing-prompt-cache.md says more."""


def counts(usage: Any) -> Counts:
    """Return what a usage says of the prompt cache, whichever vendor's it is."""
    usage = usage or {}
    details = usage.get("prompt_tokens_details") or {}
    read = ("cache_read_input_tokens", "cacheReadInputTokens")
    written = ("cache_creation_input_tokens", "cacheWriteInputTokens")
    return (
        next((usage[name] for name in read if name in usage), details.get("cached_tokens") or 0),
        next((usage[name] for name in written if name in usage), details.get("cache_write_tokens") or 0),
    )


def recordings() -> Iterator[list[Record]]:
    """Yield the answered calls of one recording that follow each other without a gap, two or more."""
    by_source: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for provider, apis in SPOKEN.items():
        for record in open_records(provider=provider):
            if record["api"] in apis and record["response"]["status"] == 200:
                source = record["source"]
                by_source[source["repo"], source["path"], source.get("blob") or ""].append(record)
    for records in by_source.values():
        records.sort(key=lambda record: record["source"]["index"])
        run = records[:1]
        for before, after in pairwise(records):
            if after["source"]["index"] != before["source"]["index"] + 1:
                yield run
                run = []
            run.append(after)
        yield run


def in_question() -> dict[str, list[Record]]:
    """Return the recordings in which a call reads what an earlier one wrote, by the id of their first call.

    OpenAI's older models do not say what they write, so there it is enough that a later call reads.
    """
    index = open_index()
    found = {}
    for run in recordings():
        recorded = [counts(index[record["id"]].get("usage")) for record in run]
        wrote = [run[0]["provider"] == "openai" or any(each[1] for each in recorded[:n]) for n in range(len(run))]
        if any(read and wrote_before for (read, _), wrote_before in zip(recorded[1:], wrote[1:], strict=True)):
            found[run[0]["id"]] = run
    return found


def asked_again(http: httpx2.Client, emulator: Emulator, run: list[Record]) -> list[Counts]:
    """Return what the emulator counts for a recording."""
    emulator.reset()
    headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
    for record in run:
        response = http.post(emulator.url + record["request"]["path"], json=record["request"]["json"], headers=headers)
        assert response.status_code == 200, response.text
    return [counts(call.outcome.usage) for call in emulator.calls]


def agree(recorded: list[Counts], ours: list[Counts]) -> bool:
    """Return whether two counts of one recording show the same reads and writes.

    A first call that reads has read what was written before the recording began; of it nothing can be said.
    """
    known = 1 if recorded[0][0] else 0
    shown = [[bool(count) for count in call] for call in recorded[known:]]
    if shown != [[bool(count) for count in call] for call in ours[known:]]:
        return False
    pairs = zip(pairwise(recorded), pairwise(ours), strict=True)
    continued = [(after[0] == sum(before), again[0] == sum(first)) for (before, after), (first, again) in pairs]
    return all(emulated or not seen for seen, emulated in continued[known:])


def test_recorded_reads_and_writes_are_those_of_the_emulator(http: httpx2.Client, emulator: Emulator) -> None:
    index = open_index()
    runs = in_question()
    differing = {}
    for first, run in runs.items():
        recorded = [counts(index[record["id"]].get("usage")) for record in run]
        ours = asked_again(http, emulator, run)
        if not agree(recorded, ours):
            differing[first] = (recorded, ours)

    expected = DISAGREE.keys() & runs.keys()
    assert differing.keys() == expected, {key: differing.get(key) for key in differing.keys() ^ expected}
    assert len(runs) > 20


@pytest.mark.parametrize(
    ("recorded", "ours", "expected"),
    [
        ([(0, 9), (9, 0)], [(0, 7), (7, 0)], True),
        ([(0, 9), (9, 0)], [(0, 7), (0, 7)], False),
        ([(0, 9), (9, 0)], [(0, 7), (6, 0)], False),
        ([(0, 9), (8, 0)], [(0, 7), (6, 0)], True),
        ([(0, 9), (9, 2)], [(0, 7), (7, 0)], False),
        ([(9, 0), (9, 0)], [(0, 7), (7, 0)], True),
        ([(9, 0), (9, 1), (10, 0)], [(0, 7), (7, 2), (8, 0)], False),
    ],
)
def test_agreement_is_of_what_is_zero_and_of_what_continues(
    recorded: list[Counts], ours: list[Counts], expected: bool
) -> None:
    assert agree(recorded, ours) is expected


def test_every_disagreement_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "testing-prompt-cache.md").read_text(encoding="utf-8")

    assert [key for key in DISAGREE if f"`{key}`" not in page] == []
