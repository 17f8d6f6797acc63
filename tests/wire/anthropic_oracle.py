"""What others say of the same bytes: the official client's accumulator, and a walk over every leaf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

METRICS = "amazon-bedrock-invocationMetrics"


def official_fold(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what the official client's accumulator makes of a stream, as it would have come unstreamed."""
    streaming = pytest.importorskip("anthropic.lib.streaming._beta_messages")
    headers = pytest.importorskip("httpx2").Headers()
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] not in {"ping", "error", "message_stop"}:
            snapshot = streaming.accumulate_event(
                event=event, current_snapshot=snapshot, json_bufs=buffers, request_headers=headers
            )
    if snapshot is None:
        return None
    body: dict[str, Any] = snapshot.to_dict(mode="json")
    # The accumulator writes down that there are no details, also where the vendor does not know the member.
    if body.get("stop_details") is None and not any("stop_details" in event.get("delta", ()) for event in events):
        body.pop("stop_details", None)
    return body


def leaves(value: Any) -> Iterator[Any]:
    """Yield the values of a JSON value that are no containers, nulls aside."""
    if isinstance(value, dict):
        for item in dict.values(value):
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif value is not None:
        yield value


def lost_leaves(body: dict[str, Any], completion: Any) -> Counter[str]:
    """Return the leaves of a vendor's body that are nowhere in the record that was made of it.

    The input of a tool is looked for in the arguments, the counts in `usage.raw`.
    """
    plain: Any = msgspec.to_builtins(completion)
    found = Counter(map(repr, leaves(plain)))
    message = plain["choices"][0]["message"]
    for call in message.get("tool_calls", ()):
        found.update(map(repr, leaves(msgspec.json.decode(call["function"]["arguments"]))))
    if completion.usage is not None:
        found.update(map(repr, leaves(msgspec.to_builtins(completion.usage.raw))))
    # The kinds of blocks that have a place of their own in OpenAI's shape are said by that place.
    found.update(repr(block["type"]) for block in body.get("content", ()) if block["type"] in {"text", "tool_use"})
    return Counter(map(repr, leaves(body))) - found
