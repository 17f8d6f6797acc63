"""InvokeModel with Anthropic's body, both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostinato.testing.emulator.anthropic import check as anthropic_check
from ostinato.testing.emulator.anthropic.prompt import CacheUse, listed
from ostinato.testing.emulator.anthropic.render import Envelope, render_events
from ostinato.testing.emulator.anthropic.turn import Turn
from ostinato.testing.emulator.bedrock.check import Refused, malformed
from ostinato.testing.emulator.bedrock.models import is_claude, model_name

Json = dict[str, Any]

_IN_THE_BODY = ("anthropic_version", "anthropic_beta")
_NOT_IN_THE_BODY = ("model", "stream", "cache_control", "service_tier")
"""What only Anthropic's own API takes: Bedrock has the model in the path, the rest nowhere or in headers."""
_NOT_ANSWERED = ("service_tier", "inference_geo")


def read_invoke(model_id: str, body: Any) -> Json:
    """Return the body of an Invoke request as a Messages request.

    Raises: Refused: the vendor would not answer it, or it is no Anthropic body.
    """
    if not is_claude(model_id):
        raise Refused(f"The emulator's Invoke speaks Anthropic's body alone; ask {model_id!r} through Converse.")
    if not isinstance(body, dict):
        raise Refused("The body is no JSON object.")
    if "anthropic_version" not in body:
        raise malformed("#: required key [anthropic_version] not found")
    for name in _NOT_IN_THE_BODY:
        if name in body:
            raise malformed(f"#: extraneous key [{name}] is not permitted")
    read = {name: value for name, value in body.items() if name not in _IN_THE_BODY}
    read["model"] = model_name(model_id)
    try:
        anthropic_check.check_messages(read)
    except anthropic_check.Refused as refused:
        raise Refused(str(refused)) from refused
    for index, message in enumerate(read["messages"]):
        for position, block in enumerate(listed(message["content"])):
            if isinstance(block.get("source"), dict) and block["source"].get("type") == "url":
                at = f"messages.{index}.content.{position}.{block['type']}.source"
                raise Refused(f"{at}.base64: Field required")
    return read


def usage_of(usage: Json) -> Json:
    """Return Anthropic's usage without what Bedrock leaves out."""
    return {name: value for name, value in usage.items() if name not in _NOT_ANSWERED}


def usage_headers(usage: Mapping[str, Any], cached: CacheUse, *, marked: bool) -> dict[str, str]:
    """Return the counts that an unstreamed answer carries in its headers, those of the cache where it was asked."""
    named = "x-amzn-bedrock-{}".format
    headers = {
        named("input-token-count"): str(usage["input_tokens"]),
        named("output-token-count"): str(usage["output_tokens"]),
        named("invocation-latency"): "1",
    }
    if marked:
        headers[named("cache-read-input-token-count")] = str(cached.read)
        headers[named("cache-write-input-token-count")] = str(cached.written)
    return headers


def invoke_events(env: Envelope, turn: Turn, usage: Mapping[str, Any], *, marked: bool) -> Iterator[Json]:
    """Yield the events of a streamed answer: no ping, and the totals on the last one."""
    for event in render_events(env, turn, usage):
        match event["type"]:
            case "ping":
                pass
            case "message_delta":
                yield {**event, "usage": {"output_tokens": usage["output_tokens"]}}
            case "message_stop":
                yield {**event, "amazon-bedrock-invocationMetrics": _metrics(usage, marked=marked)}
            case _:
                yield event


def _metrics(usage: Mapping[str, Any], *, marked: bool) -> Json:
    metrics = {
        "inputTokenCount": usage["input_tokens"],
        "outputTokenCount": usage["output_tokens"],
        "invocationLatency": 1,
        "firstByteLatency": 1,
    }
    if marked:
        metrics["cacheReadInputTokenCount"] = usage["cache_read_input_tokens"]
        metrics["cacheWriteInputTokenCount"] = usage["cache_creation_input_tokens"]
    return metrics
