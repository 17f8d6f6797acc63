"""The recorded exchanges of OpenAI's chat, of OpenAI itself and of those who speak like it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ostinato.wire import find_wire
from ostinato.wire.contract import Fold
from tests.corpus import OPENAI_SPEAKING, open_records, sse_events

WIRE = find_wire("openai_chat")

Record = dict[str, Any]


def chats(*, stream: bool | None = None, failed: bool = False) -> list[Record]:
    """Return the answered chats, streamed or not, or those that failed by their status."""
    found = [
        record
        for record in open_records(api="chat")
        if record["provider"] in OPENAI_SPEAKING
        and (record["response"]["status"] >= 400) is failed
        and stream in {None, "sse_text" in record["response"]}
    ]
    assert found
    return found


def answers() -> Iterator[tuple[Record, dict[str, Any]]]:
    """Yield the unstreamed answers and their bodies, without those that are an error inside a 200."""
    for record in chats(stream=False):
        if not record["response"]["json"].get("error"):
            yield record, record["response"]["json"]


def streams() -> Iterator[tuple[Record, list[dict[str, Any]]]]:
    """Yield the streamed answers and their events, without those that an error broke off."""
    for record in chats(stream=True):
        events = sse_events(record)
        if not any(map(WIRE.event_error, events)):
            yield record, events


def folded(events: list[dict[str, Any]]) -> Fold:
    """Return a fold that has taken the events."""
    fold = WIRE.fold()
    for event in events:
        fold.feed(event)
    return fold
